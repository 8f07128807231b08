package postgres_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/cdc/postgres"
	"github.com/tandem-cache/tandem/tier"
)

// crashEnv makes the test binary a follower: it holds a doom as JSON.
const crashEnv = "TANDEM_CRASH"

// traceFD is where that follower writes what it does, a line each.
const traceFD = 3

// The steps that a follower takes a batch through, each a round trip, and the
// order of one that does it the wrong way round.
var (
	rightOrder = []string{"tick", "deletes", "table", "publish", "checkpoint", "ack"}
	wrongOrder = []string{"checkpoint", "ack", "tick", "deletes", "table", "publish"}
)

// acknowledged asks the server whether it has heard of LSN %s in slot %s.
const acknowledged = `SELECT (confirmed_flush_lsn >= '%s')::text FROM pg_replication_slots WHERE slot_name = '%s'`

// doom is the life of a follower, and where it kills itself.
type doom struct {
	Redis    string // address
	Postgres string // URL
	Name     string // of the cache and of the slot
	At       string // "before" or "after", and a step
	Wrong    bool   // takes the steps in the wrong order
}

// doomed is the follower in the child process. Until a batch with changes has
// come it does its work in silence; from then on it traces each step.
type doomed struct {
	doom
	db    *database
	trace *os.File
	armed atomic.Bool
}

// follow is the child's main. It returns only when something is wrong.
func follow(t *testing.T, config string) {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // ends with the parent
		os.Exit(1)
	}()
	c := &doomed{trace: os.NewFile(traceFD, "trace")}
	if err := json.Unmarshal([]byte(config), &c.doom); err != nil {
		t.Fatal(err)
	}
	c.db = &database{t: t, conn: session(t, c.Postgres)}
	client := redis.NewClient(&redis.Options{
		Addr: c.Redis, MaxRetries: -1, // each step happens once
		ContextTimeoutEnabled: true, // or the cache would use a copy without hooks
	})
	client.AddHook(c)
	follower := newFollower(t, c.doom, client, c)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := follower.Run(ctx); err != nil {
		t.Fatal(err)
	}
	t.Fatalf("lived for %s", patience)
}

// newFollower makes a follower on a cache of its own. c is nil in one that lives.
func newFollower(t *testing.T, d doom, client *redis.Client, c *doomed) *cdc.Follower {
	t.Helper()
	feed, err := openCache(t, d.Name, client).Feed(crashFeed)
	if err != nil {
		t.Fatal(err)
	}
	src, err := postgres.NewSource(postgres.Config{ConnString: d.Postgres, Slot: d.Name, Publication: "tandem"})
	if err != nil {
		t.Fatal(err)
	}
	cfg := cdc.FollowerConfig{
		Source: src, Feed: feed,
		Routes: cdc.Routes{"public.items": {
			Row: func(r cdc.Row) []string {
				return []string{tier.Key(itemSpace, r.Must("id")), tier.Tag("item", r.Must("id"))}
			},
			All: []string{tier.SpaceName(itemSpace), tier.Entity("item")},
		}},
		Heartbeat: 100 * time.Millisecond, Standby: 20 * time.Millisecond, MinBackoff: 20 * time.Millisecond,
		Rewind: 1, // acknowledge at once
	}
	if c == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	} else {
		opened := &doomedSource{Source: src, child: c}
		cfg.Source = opened
		if d.Wrong {
			cfg.Feed = &wrongFeed{Feed: feed, source: opened}
		}
	}
	follower, err := cdc.NewFollower(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return follower
}

// at traces the point where the child is, and ends it there if it is doomed to.
func (c *doomed) at(when, step string) {
	if step == "" || !c.armed.Load() {
		return
	}
	c.say(when + " " + step)
	if when+" "+step == c.At {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // not a step further
	}
}

func (c *doomed) say(line string) { _, _ = fmt.Fprintln(c.trace, line) }

// stepOf knows a step by its command and the key in Redis that it is about; "" is
// a command that is no step, such as a report or a look at a counter.
func stepOf(cmd redis.Cmder) string {
	args := cmd.Args()
	if cmd.Name() == "unlink" {
		return "deletes"
	}
	if cmd.Name() != "evalsha" || len(args) < 4 { // EVALSHA digest keys key …
		return ""
	}
	_, key, _ := strings.Cut(fmt.Sprint(args[3]), ":")
	switch {
	case key == "{tick}" && fmt.Sprint(args[5]) == "take":
		return "tick"
	case strings.HasPrefix(key, "{names:"):
		return "table"
	case key == "{bus}:head" && strings.HasSuffix(fmt.Sprint(args[6]), ":{bus}") && !isReport(args[7]): // with a channel; else it reads the journal
		return "publish"
	case key == "{feed:"+crashFeed+"}":
		return "checkpoint"
	}
	return ""
}

// isReport says whether a message of the bus is a follower's report: of kind 3, in msgpack.
func isReport(message any) bool {
	return strings.HasPrefix(fmt.Sprintf("%s", message), "\x95\xcc\x03")
}

// DialHook implements redis.Hook.
func (*doomed) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (c *doomed) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		step := stepOf(cmd)
		c.at("before", step)
		err := next(ctx, cmd)
		c.at("after", step)
		return err
	}
}

// ProcessPipelineHook implements redis.Hook. A step is one command to one server.
func (c *doomed) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		step := stepOf(cmds[0])
		c.at("before", step)
		err := next(ctx, cmds)
		c.at("after", step)
		return err
	}
}

// doomedSource arms the child when a change comes, and traces acknowledgements.
type doomedSource struct {
	cdc.Source
	child  *doomed
	stream *doomedStream // the one opened last
}

func (s *doomedSource) Open(ctx context.Context, from string) (cdc.Stream, error) {
	st, err := s.Source.Open(ctx, from)
	if err != nil {
		return nil, err
	}
	s.stream = &doomedStream{Stream: st, child: s.child}
	return s.stream, nil
}

type doomedStream struct {
	cdc.Stream
	child   *doomed
	follows bool // something was acknowledged
}

// Next ends a child that is through with its batch and lives, so that the test
// needn't wait for it. (An acknowledgement may come a heartbeat later.)
func (s *doomedStream) Next(ctx context.Context) (cdc.Batch, error) {
	if s.child.armed.Load() && !strings.HasSuffix(s.child.At, " ack") {
		os.Exit(1)
	}
	b, err := s.Stream.Next(ctx)
	if len(b.Events) > 0 {
		s.child.say(fmt.Sprintf("change %d %s", len(b.Events), b.Position))
		s.child.armed.Store(true)
	}
	return b, err
}

// Ack returns once the server has heard of it. The first is of the flush that
// every feed begins with: from there on the slot stays and the child follows.
func (s *doomedStream) Ack(ctx context.Context, position string) error {
	c := s.child
	c.at("before", "ack")
	if err := s.Stream.Ack(ctx, position); err != nil {
		return err
	}
	if !s.follows {
		s.follows = true
		c.say("follows")
	}
	if !c.armed.Load() {
		return nil // of a position without changes
	}
	at, _ := postgres.PositionLSN(position)
	c.db.await(fmt.Sprintf(acknowledged, at, c.Name))
	c.at("after", "ack")
	return nil
}

// wrongFeed moves the checkpoint and acknowledges before it invalidates.
type wrongFeed struct {
	cdc.Feed
	source *doomedSource
	names  []string // that the follower takes for invalidated
}

func (f *wrongFeed) Invalidate(_ context.Context, names ...string) error {
	f.names = append(f.names, names...)
	return nil
}

func (f *wrongFeed) Advance(ctx context.Context, server, from, to string) (bool, error) {
	ok, err := f.Feed.Advance(ctx, server, from, to)
	if len(f.names) == 0 || err != nil || !ok {
		return ok, err
	}
	if err := f.source.stream.Ack(ctx, to[strings.LastIndexByte(to, '\n')+1:]); err != nil {
		return false, err
	}
	names := f.names
	f.names = nil
	return true, f.Feed.Invalidate(ctx, names...)
}

// reached reports whether a checkpoint is at least at.
func reached(position string, at pglogrepl.LSN) bool {
	lsn, ok := postgres.PositionLSN(position)
	return ok && lsn >= at
}
