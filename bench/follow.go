package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/cdc/postgres"
	"github.com/tandem-cache/tandem/tier"
)

// The ways to break the cache, so that the checks can be seen to fail.
const (
	sabotageDrop = "drop" // some invalidations are acknowledged and never done
	sabotageLate = "late" // all are acknowledged at once and done later
	sabotageKeep = "keep" // readers of pods that don't follow hold on to the first value that they see
)

const (
	dropEvery = 7
	lateBy    = 300 * time.Millisecond
)

// floors are versions that the follower's pod is about to invalidate.
type floors struct {
	Sent     uint64        `json:"sent"` // names that the follower will have tried to invalidate by then, these included
	Versions map[int]int64 `json:"versions"`
}

// following is the part of the one pod that follows the feed.
type following struct {
	pod      *coherencePod
	follower *cdc.Follower
	feed     *watchedFeed
}

func newFollowing(p *coherencePod) (*following, error) {
	source, err := postgres.NewSource(postgres.Config{
		ConnString: p.cfg.Postgres, Slot: "tandem_bench", Publication: "tandem_bench",
		Tables: []string{"public.pgbench_accounts"}, Temporary: true, Logger: quiet(),
	})
	if err != nil {
		return nil, err
	}
	feed, err := p.cache.Feed(accountFeed)
	if err != nil {
		return nil, err
	}
	watched := &watchedFeed{Feed: feed, pod: p, changed: make(map[string]int64), acks: make(chan uint64, p.cfg.Others)}
	f := &following{pod: p, feed: watched}
	f.follower, err = cdc.NewFollower(cdc.FollowerConfig{
		Source: source, Feed: watched, Logger: quiet(),
		Routes: cdc.Routes{"public.pgbench_accounts": {Row: watched.route, All: []string{tier.SpaceName(accountSpace)}}},
	})
	return f, err
}

// quiet keeps what is usual at a start, such as the first flush, out of the way.
func quiet() *slog.Logger {
	return slog.New(levelHandler{slog.Default().Handler()})
}

// levelHandler passes errors on.
type levelHandler struct{ slog.Handler }

func (h levelHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelError
}

// start runs the follower until the pod closes, and returns once it follows.
func (f *following) start(ctx context.Context) error {
	if f == nil {
		return errors.New("another pod follows")
	}
	ctx, stop := context.WithCancel(ctx)
	end := f.pod.stop
	f.pod.stop = func() { stop(); end() }
	f.pod.wg.Go(func() { _ = f.follower.Run(ctx) }) // fails only when it runs already
	return await(ctx, "follow the feed", func() bool {
		stats := f.follower.Stats()
		return stats.Connected && stats.Position != ""
	})
}

// drain returns once everything before lsn is applied.
func (f *following) drain(ctx context.Context, lsn string) error {
	if f == nil {
		return errors.New("another pod follows")
	}
	end, err := parseLSN(lsn)
	if err != nil {
		return err
	}
	return await(ctx, "drain the feed up to "+lsn, func() bool {
		reached, err := positionLSN(f.follower.Stats().Position)
		return err == nil && reached >= end
	})
}

// positionLSN returns the place in the log of a position of cdc/postgres, <system identifier>/<timeline>/<LSN>+<print>.
func positionLSN(position string) (uint64, error) {
	position, _, _ = strings.Cut(position, "+")
	parts := strings.SplitN(position, "/", 3)
	return parseLSN(parts[len(parts)-1])
}

// parseLSN reads PostgreSQL's "16/B374D848".
func parseLSN(text string) (uint64, error) {
	high, low, ok := strings.Cut(text, "/")
	h, err1 := strconv.ParseUint(high, 16, 32)
	l, err2 := strconv.ParseUint(low, 16, 32)
	if !ok || err1 != nil || err2 != nil {
		return 0, fmt.Errorf("%q is no place in a log", text)
	}
	return h<<32 | l, nil
}

// A watchedFeed tells the other pods what it is about to invalidate, and waits until they know. So that they can tell when they
// have applied it: once they have applied as many names as will have been sent by then. In this pod it is applied when
// Invalidate has returned. All methods but Report and acked are called by the follower's one goroutine.
//
// A call that fails may or may not have reached the bus; from then on the others would count wrong, and the run is void.
type watchedFeed struct {
	*tier.Feed
	pod     *coherencePod
	changed map[string]int64 // versions whose invalidations are due, by name
	sent    uint64           // names
	acks    chan uint64      // of the others, each with the count that it knows
	names   int              // for the saboteur that drops
}

// route is the feed's route: it returns the row's key and notes its version.
func (f *watchedFeed) route(r cdc.Row) []string {
	name := tier.Key(accountSpace, r.Must("aid"))
	version, err := strconv.ParseInt(r.Must("version"), 10, 64)
	if err != nil {
		panic(fmt.Errorf("column version: %w", err))
	}
	f.changed[name] = max(f.changed[name], version)
	return []string{name}
}

// Flush implements cdc.Feed.
func (f *watchedFeed) Flush(ctx context.Context) error {
	f.sent++ // one name: the feed's
	return f.Feed.Flush(ctx)
}

// Invalidate implements cdc.Feed.
func (f *watchedFeed) Invalidate(ctx context.Context, names ...string) error {
	f.sent += uint64(len(names))
	due := floors{Sent: f.sent, Versions: make(map[int]int64)}
	for _, name := range names {
		if version, ok := f.changed[name]; ok {
			aid, err := strconv.Atoi(name[strings.LastIndexByte(name, ':')+1:])
			if err != nil {
				return err
			}
			due.Versions[aid] = version
		}
	}
	if err := f.announce(ctx, due); err != nil {
		return err
	}
	if err := f.invalidate(ctx, names); err != nil {
		return err
	}
	for aid, version := range due.Versions {
		f.pod.checks.raise(aid, version)
	}
	for _, name := range names {
		delete(f.changed, name)
	}
	return nil
}

// announce returns when all other pods know what is due.
func (f *watchedFeed) announce(ctx context.Context, due floors) error {
	if err := f.pod.out.send("push-floors", due); err != nil {
		return err
	}
	for known := 0; known < f.pod.cfg.Others; {
		select {
		case sent := <-f.acks:
			if sent == due.Sent {
				known++
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// acked says that a pod knows what is due up to sent.
func (f *watchedFeed) acked(sent uint64) {
	select {
	case f.acks <- sent:
	default: // the follower has given up waiting
	}
}

func (f *watchedFeed) invalidate(ctx context.Context, names []string) error {
	switch f.pod.cfg.Sabotage {
	case sabotageDrop:
		kept := make([]string, 0, len(names))
		for _, name := range names {
			if f.names++; f.names%dropEvery != 0 {
				kept = append(kept, name)
			}
		}
		return f.Feed.Invalidate(ctx, kept...)
	case sabotageLate:
		f.pod.wg.Go(func() {
			select {
			case <-ctx.Done():
			case <-time.After(lateBy):
				_ = f.Feed.Invalidate(ctx, names...) // it is sabotage
			}
		})
		return nil
	}
	return f.Feed.Invalidate(ctx, names...)
}
