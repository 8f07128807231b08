package cdc_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandem-cache/tandem/cdc"
)

// A feed without a checkpoint is flushed: nobody knows what its entries have heard of the changes up to where the stream begins. Before that
// it is not connected.
func TestNoCheckpoint(t *testing.T) {
	for name, batches := range map[string][]cdc.Batch{"a batch comes": {batch("a")}, "nothing comes": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, batches...)
				w.bare = true
				w.hook = func(step string) error {
					if step == "flush" {
						return errDown
					}
					return nil
				}
				f, stop := run(t, w.config())
				nap(10 * time.Second)
				if st := f.Stats(); st.Connected || !strings.Contains(st.Problem, "no checkpoint") || st.Position != "" {
					t.Errorf("before the flush: connected %t, problem %q, position %q; want false, that there is no checkpoint, none", st.Connected, st.Problem, st.Position)
				}
				w.set(func() {
					w.hook = nil
					if got := w.reports[len(w.reports)-1]; got.connected {
						t.Error("the feed reports itself as connected before it is flushed")
					}
				})
				nap(10 * time.Second)
				stop()
				if st := f.Stats(); st.Flushes != 1 || st.Opened != 1 || st.Events != uint64(len(batches)) {
					t.Errorf("got %d flushes, %d streams, %d events; want 1, 1, %d", st.Flushes, st.Opened, st.Events, len(batches))
				}
			})
		})
	}
}

// With a settle time that flush is repeated, too.
func TestNoCheckpointSettles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.bare, w.settle = true, 3*time.Second
		f, stop := run(t, w.config())
		nap(10 * time.Second)
		stop()
		if st := f.Stats(); st.Flushes != 2 {
			t.Errorf("got %d flushes; want 2", st.Flushes)
		}
	})
}

// A checkpoint that a version before stored is of nobody knows which source: it is as good as none.
func TestCheckpointWithoutASource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, batch("a"), batch("b"))
		stored := "2"
		cfg := w.config()
		cfg.Feed = textFeed{feed{w}, &stored}
		f, stop := run(t, cfg)
		nap(3 * time.Second)
		stop()
		if st := f.Stats(); st.Flushes != 1 || st.Events != 2 || stored != "world\n2" {
			t.Errorf("got %d flushes, %d events, the checkpoint %q; want 1, 2, world's 2", st.Flushes, st.Events, stored)
		}
	})
}

// textFeed stores checkpoints as they are.
type textFeed struct {
	feed
	stored *string
}

func (f textFeed) Checkpoint(context.Context) (position, server string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return *f.stored, "", nil
}

func (f textFeed) Advance(_ context.Context, _, from, to string) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if from != *f.stored {
		return false, nil
	}
	*f.stored = to
	f.checkpoint = strip(f.t, to)
	return true, nil
}

// Another source's checkpoint is refused, with advice; the source is not opened, and the lease is left to the other's follower. When the
// checkpoint is forgotten the feed is flushed and followed.
func TestCheckpointOfAnotherSource(t *testing.T) {
	for name, shared := range map[string]bool{"exclusive": false, "shared": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, batch("a"))
				w.checkpoint, w.foreign, w.bare, w.shared = "70", "another", true, shared
				w.leader, w.leads = "the other's follower", time.Now().Add(time.Hour)
				f, stop := run(t, w.config())
				nap(30 * time.Second)
				if st := f.Stats(); st.Connected || st.Standby || st.Flushes != 0 || !strings.Contains(st.Problem, `"another", and this is "world"`) {
					t.Errorf("got connected %t, standby %t, %d flushes, problem %q; want a problem that names both sources", st.Connected, st.Standby, st.Flushes, st.Problem)
				}
				w.set(func() {
					if len(w.reports) > 1 || len(w.refusals) < 25 { // before the first attempt it may have reported
						t.Errorf("got %d reports, %d refusals; want refusals each second", len(w.reports), len(w.refusals))
					}
					if last := w.refusals[len(w.refusals)-1]; !strings.Contains(last, "tier.CDC(") || !strings.Contains(last, "Forget") {
						t.Errorf("got the refusal %q; want advice", last)
					}
				})
				if n := w.count("open") + w.count("lead") + w.count("advance"); n != 0 {
					t.Errorf("a feed of another source was opened, led or moved %d times", n)
				}
				w.set(func() { w.checkpoint, w.foreign, w.leader = "", "", "" })
				nap(30 * time.Second)
				stop()
				if st := f.Stats(); st.Flushes != 1 || st.Position != "1" {
					t.Errorf("after the checkpoint was forgotten: %d flushes, position %q; want 1, 1", st.Flushes, st.Position)
				}
				w.set(func() {
					if n := len(w.reports); n < 10 || !w.reports[n-1].connected {
						t.Errorf("got %d reports; want it connected again", n)
					}
				})
			})
		})
	}
}

// The checkpoint of a feed that is followed is forgotten, and another source takes the feed: the first one steps down, and is refused.
func TestCheckpointTakenByAnotherSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, batch("a"))
		f, stop := run(t, w.config())
		nap(3 * time.Second)
		w.set(func() { w.foreign = "another" })
		nap(15 * time.Second)
		stop()
		if st := f.Stats(); st.StepDowns != 1 || st.Connected {
			t.Errorf("got %d step-downs, connected %t; want 1, false", st.StepDowns, st.Connected)
		}
		if w.set(func() {
			if len(w.refusals) == 0 {
				t.Error("nobody was told")
			}
		}); w.count("open") != 1 {
			t.Errorf("opened %d times; want 1", w.count("open"))
		}
	})
}

// A source that has no name that can be stored is refused.
func TestBadIdentity(t *testing.T) {
	for _, id := range []string{"", "two\nlines", strings.Repeat("x", 257), "\xff"} {
		cfg := newWorld(t).config()
		cfg.Source = named{cfg.Source, id}
		if _, err := cdc.NewFollower(cfg); err == nil || !strings.Contains(err.Error(), "Identity") {
			t.Errorf("%.20q: got %v; want an error about Identity", id, err)
		}
	}
}

type named struct {
	cdc.Source
	id string
}

func (n named) Identity() string { return n.id }
