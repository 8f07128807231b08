package tiertest

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/tier"
)

// reportEach is how often a feed reports. Followers do so each second; a test may have a short Config.FeedLimit.
const reportEach = 100 * time.Millisecond

// A Feed is a change feed whose changes a test makes up. It reports itself as a follower does, connected and without lag, so that the spaces
// it covers stay with their strategy.
type Feed struct {
	t    testing.TB
	feed *tier.Feed
	name string
	stop context.CancelFunc // ends run
	done chan struct{}      // closed when run has returned

	mu       sync.Mutex // guards the fields below
	position int        // changes so far
	changed  time.Time  // of the last one; zero: none
	stopped  bool
}

// NewFeed starts the feed called name, as the strategies of spaces name it. It stops when the test ends.
func NewFeed(t testing.TB, cache *tier.Cache, name string) *Feed {
	t.Helper()
	feed, err := cache.Feed(name)
	if err != nil {
		t.Fatalf("tiertest: %v", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	f := &Feed{t: t, feed: feed, name: name, stop: stop, done: make(chan struct{})}
	if err := f.report(ctx); err != nil {
		stop()
		t.Fatalf("tiertest: the feed %q: %v", name, err)
	}
	go f.run(ctx)
	t.Cleanup(f.Stop)
	return f
}

// Change invalidates names, as the feed's follower does when rows have changed: see tier.Tag, tier.Entity, tier.Key and tier.SpaceName. Put
// the new rows into the source before. If it fails, or the feed was stopped, the test fails.
func (f *Feed) Change(names ...string) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped {
		f.t.Errorf("tiertest: a change of %q after the feed %q was stopped", names, f.name)
		return
	}
	if err := f.feed.Invalidate(context.Background(), names...); err != nil {
		f.t.Errorf("tiertest: the feed %q: %v", f.name, err)
		return
	}
	f.position++
	f.changed = time.Now()
}

// Stop makes the feed silent: Config.FeedLimit after its last report the spaces it covers fall back to Config.FallbackTTL. NewFeed starts it
// again. Twice is fine.
func (f *Feed) Stop() {
	f.mu.Lock()
	f.stopped = true
	f.mu.Unlock()
	f.stop()
	<-f.done
}

func (f *Feed) run(ctx context.Context) {
	defer close(f.done)
	turn := time.NewTicker(reportEach)
	defer turn.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-turn.C:
			_ = f.report(ctx) // a Redis that fails is the test's matter; the next report may get through
		}
	}
}

func (f *Feed) report(ctx context.Context) error {
	f.mu.Lock()
	position, changed := f.position, f.changed
	f.mu.Unlock()
	return f.feed.Report(ctx, "", nil, strconv.Itoa(position), changed, 0, nil)
}
