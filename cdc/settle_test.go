package cdc_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/tier"
)

// changes are the steps that change something, each with its time.
type changes struct {
	mu   sync.Mutex // guards list
	list []string
}

// note makes w note changes from now on.
func note(w *world) *changes {
	c, began := &changes{}, time.Now()
	w.set(func() {
		w.hook = func(step string) error {
			if step != "checkpoint" && !strings.HasPrefix(step, "open") {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.list = append(c.list, fmt.Sprint(time.Since(began), " ", step))
			}
			return nil
		}
	})
	return c
}

func (c *changes) want(t *testing.T, want ...string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if diff := cmp.Diff(want, c.list); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

// A batch is invalidated at once, and once more after the settle time. Checkpoint
// and acknowledgement wait for that. The checkpoint, which stays where it is
// meanwhile, is looked at each heartbeat, and the follower doesn't step down.
func TestSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, batch("a"))
		w.settle = 2500 * time.Millisecond
		cfg := w.config()
		cfg.Rewind = 2 * time.Second
		c := note(w)
		f, stop := run(t, cfg)
		nap(1195 * time.Millisecond) // it looks each 10 ms
		w.set(func() { w.batches = append(w.batches, batch("b", "c")) })
		nap(20 * time.Second)
		stop()
		c.want(t,
			"0s invalidate a", "1.2s invalidate b c",
			"2.5s invalidate a", "2.5s advance -1",
			"3.7s invalidate b c", "3.7s advance 1-2",
			"4.7s ack 1", "5.7s ack 2", // 1 was due at 4.5 s, between two looks
		)
		got := f.Stats()
		got.Committed, got.Lag = time.Time{}, 0
		if diff := cmp.Diff(cdc.Stats{Events: 3, Batches: 2, Invalidated: 6, Opened: 1, Position: "2"}, got); diff != "" {
			t.Errorf("stats (-want +got):\n%s", diff)
		}
		if n := w.count("checkpoint"); n < 15 {
			t.Errorf("looked at the checkpoint %d times in 21 s; want about once a second", n)
		}
	})
}

// A change counts as applied after its repeat.
func TestLagUntilTheRepeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := batch("a")
		late.Oldest = time.Now().Add(-time.Minute)
		w := newWorld(t, late)
		w.settle = 5 * time.Second
		f, stop := run(t, w.config())
		want := func(held int, position string, lag, reported time.Duration) {
			t.Helper()
			st := f.Stats()
			if st.Held != held || st.Position != position || st.Lag != lag {
				t.Errorf("got %d held, position %q, lag %s; want %d, %q, %s", st.Held, st.Position, st.Lag, held, position, lag)
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			if got, want := w.reports[len(w.reports)-1], (report{true, position, reported}); got != want {
				t.Errorf("got report %+v; want %+v", got, want)
			}
		}
		nap(2 * time.Second)
		w.set(func() { w.batches = append(w.batches, batch("b")) })
		nap(2500 * time.Millisecond)
		want(2, atStart, 64500*time.Millisecond, 64*time.Second)
		nap(2 * time.Second)
		want(1, "1", 4500*time.Millisecond, 4*time.Second)
		nap(2 * time.Second)
		want(0, "2", 0, 0)
		stop()
	})
}

// The parts of a big transaction have no position, and are repeated too.
func TestSettleWithoutPosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		part := batch("b")
		part.Position = "none"
		w := newWorld(t, batch("a"), part)
		w.settle = 2 * time.Second
		c := note(w)
		_, stop := run(t, w.config())
		nap(1195 * time.Millisecond) // it looks each 10 ms
		w.set(func() { w.batches = append(w.batches, batch("c")) })
		nap(1500 * time.Millisecond)
		c.want(t, "0s invalidate a", "0s invalidate b", "1.2s invalidate c", "2s invalidate a b", "2s advance -1")
		nap(5 * time.Second)
		stop()
		if w.checkpoint != "3" {
			t.Errorf("got checkpoint %q; want 3", w.checkpoint)
		}
	})
}

// What is due at the same time is repeated in one call, names once, and moves the
// checkpoint once, but a call doesn't get longer than any other.
func TestSettledTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for n := range 700 {
			w.batches = append(w.batches, batch("same", fmt.Sprint("n", n)))
		}
		w.settle = 2 * time.Second
		f, stop := run(t, w.config())
		nap(time.Second)
		if n := w.count("invalidate"); n != 700 {
			t.Errorf("got %d invalidations; want 700", n)
		}
		nap(3 * time.Second)
		stop()
		if n := w.count("invalidate") - 700; n != 3 {
			t.Errorf("repeated in %d calls; want 3", n)
		}
		if n := w.count("advance"); n != 3 || w.checkpoint != "700" {
			t.Errorf("checkpoint %q in %d steps; want 700 in 3", w.checkpoint, n)
		}
		if st := f.Stats(); st.Batches != 700 || st.Events != 1400 || st.Invalidated != 1400+703 {
			t.Errorf("got %+v; want 700 batches, 1400 events, 2103 names", st)
		}
	})
}

// A follower that ends before the repeat leaves the change to the next one.
func TestSettlingIsLeftToTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, batch("a"))
		w.settle = 3 * time.Second
		_, stop := run(t, w.config())
		nap(2 * time.Second)
		stop()
		_, stop = run(t, w.config())
		nap(2 * time.Second)
		w.set(func() { w.broken = errDown }) // its stream breaks, and is opened again
		nap(10 * time.Millisecond)
		w.set(func() { w.broken = nil })
		nap(time.Second)
		if n := w.count("invalidate a"); n != 3 || w.count("advance") != 0 {
			t.Errorf("got %d invalidations by three sessions, %d moves of the checkpoint; want 3, none", n, w.count("advance"))
		}
		nap(5 * time.Second)
		stop()
		if n := w.count("invalidate a"); n != 4 || w.count("advance") != 1 || w.checkpoint != "1" {
			t.Errorf("got %d invalidations, %d moves of the checkpoint to %q; want 4, 1, 1", n, w.count("advance"), w.checkpoint)
		}
	})
}

// While the cache's server is down a repeat is retried like a first invalidation.
func TestFeedDownAtTheRepeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, batch("a"))
		w.settle = 2 * time.Second
		f, stop := run(t, w.config())
		nap(time.Second)
		w.set(func() { w.hook = func(string) error { return errDown } })
		nap(time.Minute)
		if st := f.Stats(); st.Retries < 5 || st.Lag < time.Minute || st.Position != atStart {
			t.Errorf("got %d retries, lag %s, position %q; want some, a minute, the start", st.Retries, st.Lag, st.Position)
		}
		w.set(func() { w.hook = nil })
		nap(15 * time.Second)
		stop()
		if st := f.Stats(); w.checkpoint != "1" || st.Batches != 1 || w.opened != 1 {
			t.Errorf("got checkpoint %q, %d batches, %d streams; want 1, 1, 1", w.checkpoint, st.Batches, w.opened)
		}
	})
}

// Another server is noticed within a heartbeat, also while the source is so busy
// that it never waits, and no repeat has moved the checkpoint yet.
func TestFailoverWhileSettling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for range 100 {
			w.batches = append(w.batches, batch("a"))
		}
		w.settle = 20 * time.Second
		w.after = func(step string) error {
			if strings.HasPrefix(step, "invalidate") {
				time.Sleep(100 * time.Millisecond)
			}
			return nil
		}
		f, stop := run(t, w.config())
		nap(5 * time.Second)
		w.failOver("a")
		nap(3 * time.Second)
		if st := f.Stats(); st.Rewinds != 1 {
			t.Errorf("got %d rewinds within 3 s; want 1", st.Rewinds)
		}
		nap(time.Minute)
		stop()
		wantRewind(t, w, f, "a")
	})
}

// When as much waits as may, the source is not read until the oldest is due.
func TestSettlingIsBounded(t *testing.T) {
	many := make([]string, 100_000)
	for n := range many {
		many[n] = fmt.Sprint("n", n)
	}
	for _, c := range []struct {
		name  string
		batch func() cdc.Batch
		taken int // batches
	}{
		{"batches", func() cdc.Batch { return batch() }, 10_000},
		{"names", func() cdc.Batch { return batch(many...) }, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				for range c.taken + 1 {
					w.batches = append(w.batches, c.batch())
				}
				w.settle = 10 * time.Second
				f, stop := run(t, w.config())
				wantTaken := func(taken, applied int) {
					t.Helper()
					if st := f.Stats(); w.count("next") != taken || st.Batches != uint64(applied) || st.StepDowns != 0 {
						t.Errorf("got %d batches taken, %d applied, %d step-downs; want %d, %d, 0", w.count("next"), st.Batches, st.StepDowns, taken, applied)
					}
				}
				nap(9500 * time.Millisecond)
				wantTaken(c.taken, 0)
				if n := w.count("checkpoint"); n != 10 {
					t.Errorf("looked at the checkpoint %d times in 9.5 s; want 10", n)
				}
				nap(time.Second)
				wantTaken(c.taken+1, c.taken)
				nap(10 * time.Second)
				wantTaken(c.taken+1, c.taken+1)
				stop()
			})
		})
	}
}

// A flush for what the source lost is repeated too. Only then is the position
// acknowledged, and the source read on: the stream may begin with that. What it
// was opened at is not acknowledged, however long that takes.
func TestLostIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, batch("a"), batch("b"))
		w.checkpoint, w.lostBelow, w.settle = "0", 1, 2*time.Second
		c := note(w)
		f, stop := run(t, w.config())
		nap(5500 * time.Millisecond)
		stop()
		c.want(t,
			"0s flush", "2s flush", "2s advance 0-1", "2s ack 1",
			"2s invalidate b", "4s invalidate b", "4s advance 1-2", "5s ack 2",
		)
		if st := f.Stats(); st.Flushes != 2 || st.Batches != 2 {
			t.Errorf("got %d flushes, %d batches; want 2, 2", st.Flushes, st.Batches)
		}
	})
}

// What is repeated is what the cache accepted in place of a poisonous event, which
// is counted once.
func TestPoisonIsRepeated(t *testing.T) {
	for _, c := range []struct {
		name string
		bad  []string
		want []string // of the repeat
	}{
		{"missing column", nil, []string{"1s invalidate all-t good", "1s advance -1", "2s ack 1"}},
		{"malformed name", []string{"good"}, []string{"1s invalidate all-t", "1s advance -1", "2s ack 1"}},
		{"malformed All", []string{"all-t"}, []string{"1s flush", "1s invalidate good", "1s advance -1", "2s ack 1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := batch("good")
				b.Events = append([]cdc.Event{{Entity: "t", Kind: cdc.Update, Rows: []cdc.Row{{"x": "1"}}}}, b.Events...)
				w := newWorld(t, b)
				w.names[""], w.names["good"] = time.Now().Add(time.Hour), time.Now().Add(time.Hour)
				for _, n := range c.bad {
					w.bad[n] = true
				}
				w.settle = 2 * time.Second
				f, stop := run(t, w.config())
				nap(time.Second)
				before := f.Stats()
				repeated := note(w)
				nap(3 * time.Second)
				stop()
				repeated.want(t, c.want...)
				if st := f.Stats(); st.Poisonous != before.Poisonous || st.Poisonous == 0 || st.Position != "1" {
					t.Errorf("got %d poisonous events, %d before the repeat, position %q; want as many, 1", st.Poisonous, before.Poisonous, st.Position)
				}
			})
		})
	}
}

// A name that was accepted is not refused when it is repeated. A cache that does so
// all the same is flushed.
func TestRepeatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, batch("a"))
		w.settle = 2 * time.Second
		_, stop := run(t, w.config())
		nap(time.Second)
		w.set(func() {
			w.bad["a"] = true
			w.names["a"] = time.Now().Add(time.Hour) // it won't be
		})
		c := note(w)
		nap(1500 * time.Millisecond)
		stop()
		c.want(t, "1s invalidate a", "1s flush", "1s advance -1")
	})
}

// replicated is one row on a primary, and on a replica that shows a change after lag.
type replicated struct {
	lag time.Duration

	mu      sync.Mutex // guards the fields below
	before  int
	version int
	changed time.Time
}

func (r *replicated) write(version int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.before, r.version, r.changed = r.version, version, time.Now()
}

func (r *replicated) loadFromReplica(context.Context, string) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.changed) < r.lag {
		return r.before, nil
	}
	return r.version, nil
}

// A reader fills the cache from a replica that has not replayed the change yet.
// Without the repeat the old value stays.
func TestLaggingReplica(t *testing.T) {
	for settle, want := range map[time.Duration]int{0: 1, 3 * time.Second: 2} {
		t.Run(settle.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				row := &replicated{lag: 2 * time.Second}
				cache, rows := openReplicated(t, row)
				feed, err := cache.Feed("rows")
				if err != nil {
					t.Fatal(err)
				}
				primary := &table{versions: make(map[string]int)}
				_, stop := run(t, cdc.FollowerConfig{
					Source: primary, Feed: feed, Settle: settle, Logger: slog.New(slog.DiscardHandler),
					Routes: cdc.Routes{"t": {
						Row: func(r cdc.Row) []string { return []string{tier.Key("shop:row", r.Must("name"))} },
						All: []string{tier.SpaceName("shop:row")},
					}},
				})
				wantVersion := func(want int) {
					t.Helper()
					if got, err := rows.Get(t.Context(), "a"); got != want || err != nil {
						t.Errorf("got version %d, %v; want %d", got, err, want)
					}
				}
				row.write(1)
				nap(5 * time.Second)
				wantVersion(1)
				row.write(2)
				primary.write("a")
				nap(time.Second)
				wantVersion(1) // invalidated, and filled with the old row
				nap(5 * time.Second)
				wantVersion(want)
				stop()
				if err := cache.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func openReplicated(t *testing.T, row *replicated) (*tier.Cache, *tier.Space[int]) {
	t.Helper()
	cache, err := tier.Open(t.Context(), tier.Config{Name: "shop", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := tier.NewSpace(cache, tier.SpaceConfig[int]{Name: "shop:row", Strategy: tier.CDC("rows"), Load: row.loadFromReplica})
	if err != nil {
		t.Fatal(err)
	}
	return cache, rows
}
