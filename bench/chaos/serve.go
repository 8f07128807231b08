package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/tier"
)

// The hidden commands of the processes that the program starts.
const (
	podCommand      = "pod"
	followerCommand = "follower"
)

// The ways to break the cache, each for a check to find.
const (
	sabotageDrop   = "drop"   // some invalidations of the feed are acknowledged and never done: promise 1
	sabotageForget = "forget" // the follower does not notice that the server is another: promise 1, in a promotion
	sabotageFake   = "fake"   // direct invalidations are acknowledged and never done: promise 2
	sabotageHerd   = "herd"   // some reads load beside the cache: promise 3

	sabotageTimeline = "timeline" // the follower takes a promoted standby for the primary before it: promise 1, in a failover of PostgreSQL
)

// sabotaged says whether the run breaks the cache in a way.
func (c childConfig) sabotaged(how string) bool { return slices.Contains(c.Sabotage, how) }

var sabotages = []string{sabotageDrop, sabotageForget, sabotageFake, sabotageHerd, sabotageTimeline}

const (
	cacheName    = "chaos"
	feedName     = "items"
	itemSpace    = "chaos:item"
	shelfSpace   = "chaos:shelf"
	pageSpace    = "chaos:page"
	maxStaleness = 2 * time.Second

	// remoteTimeout is longer than the default: on a machine that runs the whole fleet, that would measure the machine.
	remoteTimeout = 500 * time.Millisecond
)

// serve is the life of a child: until in ends, which it does at the latest with the program.
func serve(command string, in io.Reader, out io.Writer) error {
	lines := bufio.NewReader(in)
	first, err := lines.ReadBytes('\n')
	if err != nil {
		return err
	}
	var cfg childConfig
	if err := json.Unmarshal(first, &cfg); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, lines)
		stop()
	}()
	h, err := newHistory(cfg.History)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	wg.Go(func() { flushing(ctx, h) })
	if command == podCommand {
		err = servePod(ctx, cfg, h, out)
	} else {
		err = serveFollower(ctx, cfg, h, out)
	}
	stop()
	wg.Wait()
	return errors.Join(err, h.close())
}

func flushing(ctx context.Context, h *history) {
	for tick := time.NewTicker(flushEvery); ; h.flush() {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// openCache opens a child's cache through its proxy. Every failed call of Redis is written down: it may be why a load had no
// lease.
func openCache(ctx context.Context, addr string, h *history) (*tier.Cache, *redis.Client, error) {
	client := redis.NewClient(&redis.Options{
		Addr: addr, MaxRetries: -1, // the cache's own answer to a failure is what is under test
		ContextTimeoutEnabled: true, // or the cache would use a copy without the hook
	})
	client.AddHook(&witness{history: h})
	c, err := tier.Open(ctx, tier.Config{
		Name: cacheName, Redis: client, RemoteTimeout: remoteTimeout, MaxStaleness: maxStaleness, Logger: slog.Default(),
	})
	return c, client, err
}

// A mark is how far a read went: it travels in the read's context, which loads and calls of Redis inherit.
type mark struct {
	mu   sync.Mutex // guards tier
	tier string
}

type markKey struct{}

// The tiers of a read. One that shared another's flight counts as from memory.
const (
	fromMemory = "memory"
	fromL2     = "l2"
	fromSource = "source"
)

func (m *mark) reach(tier string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tier != fromSource {
		m.tier = tier
	}
}

func (m *mark) reached() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tier
}

func marked(ctx context.Context, tier string) {
	if m, ok := ctx.Value(markKey{}).(*mark); ok {
		m.reach(tier)
	}
}

// A witness sees every call of Redis.
type witness struct{ history *history }

// DialHook implements redis.Hook.
func (*witness) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (w *witness) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		marked(ctx, fromL2)
		err := next(ctx, cmd)
		w.note(err)
		return err
	}
}

// ProcessPipelineHook implements redis.Hook.
func (w *witness) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		marked(ctx, fromL2)
		err := next(ctx, cmds)
		w.note(err)
		return err
	}
}

func (w *witness) note(err error) {
	var answer redis.Error // what the server says, such as that it does not know a script, is no failure of the way to it
	if err != nil && !errors.As(err, &answer) {
		w.history.write(false, "X", int64(now()))
	}
}

// say tells the program something.
func say(out io.Writer, line ...any) { _, _ = fmt.Fprintln(out, line...) }
