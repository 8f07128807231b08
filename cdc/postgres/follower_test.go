package postgres_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/cdc/postgres"
)

// feed is a cdc.Feed in memory.
type feed struct {
	mu         sync.Mutex // guards the fields below
	checkpoint string
	names      []string
	flushed    int
	connected  bool
	lag        time.Duration
}

func (f *feed) Invalidate(_ context.Context, names ...string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.names = append(f.names, names...)
	return nil
}

func (f *feed) Flush(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.flushed++
	return nil
}

func (f *feed) Checkpoint(context.Context) (position, server string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.checkpoint, "", nil
}

func (f *feed) Advance(_ context.Context, _, from, to string) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if from != f.checkpoint {
		return false, nil
	}
	f.checkpoint = to
	return true, nil
}

func (f *feed) Lead(context.Context, string, time.Duration) (bool, error) { return true, nil }
func (f *feed) Resign(context.Context, string) error                      { return nil }

func (f *feed) Refuse(context.Context, string) error { return nil }

func (f *feed) Report(_ context.Context, problem string, _ []string, _ string, _ time.Time, lag time.Duration, _ map[string]uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.connected, f.lag = problem == "", lag
	return nil
}

func (f *feed) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		f.mu.Lock()
		done := ok()
		f.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("still not %s: %+v", what, f)
		}
	}
}

// With a new slot the stream begins when its Lost batch is acknowledged, which a
// settle time delays.
func TestFollowerWithSettleTime(t *testing.T) {
	db := start(t)
	db.exec(`CREATE TABLE orders (id int PRIMARY KEY)`)
	f := new(feed)
	follower, err := cdc.NewFollower(cdc.FollowerConfig{
		Source: db.sourceOf(postgres.Config{Tables: []string{"public.orders"}}),
		Feed:   f,
		Routes: cdc.Routes{"public.orders": {All: []string{"orders"}}},
		Logger: slog.New(slog.DiscardHandler),
		Settle: 300 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := follower.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer wg.Wait()
	defer cancel()

	f.await(t, "flushed twice and connected", func() bool { return f.flushed == 2 && f.checkpoint != "" && f.connected && f.lag == 0 })
	before := f.position()
	db.exec(`INSERT INTO orders VALUES (1)`)
	f.await(t, "invalidated twice and checkpointed", func() bool { return len(f.names) == 2 && f.checkpoint != before })
	if st := follower.Stats(); st.Opened != 1 || st.Flushes != 2 {
		t.Errorf("got %d streams, %d flushes; want 1, 2", st.Opened, st.Flushes)
	}
}

func (f *feed) position() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.checkpoint
}
