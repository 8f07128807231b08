package cdc_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandem-cache/tandem/cdc"
)

// failOver puts another server in the place of the cache's, which has the
// checkpoint and has forgotten names.
func (w *world) failOver(names ...string) {
	w.set(func() {
		w.server += "'"
		for _, n := range names {
			delete(w.names, n)
		}
	})
}

func wantRewind(t *testing.T, w *world, f *cdc.Follower, names ...string) {
	t.Helper()
	w.set(func() {
		for _, n := range names {
			if _, ok := w.names[n]; !ok {
				t.Errorf("%q was forgotten by the failover and not invalidated again", n)
			}
		}
		if index(w.checkpoint) != len(w.batches) {
			t.Errorf("checkpoint %q after %d batches", w.checkpoint, len(w.batches))
		}
	})
	if st := f.Stats(); st.Rewinds != 1 || st.Standby {
		t.Errorf("got %d rewinds, standby %t; want 1, false", st.Rewinds, st.Standby)
	}
	time.Sleep(2 * cdc.DefaultHeartbeat) // the next report
	w.set(func() {
		if w.counts["rewinds"] != 1 {
			t.Errorf("the report says %v; want 1 rewind", w.counts)
		}
	})
}

// The server changes in the middle of a batch. It has the checkpoint from before
// the batch, so that comparing positions shows nothing, but it may lack the
// first deletes.
func TestFailoverWithinABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, batch("a"), batch("b"))
		failed := false
		w.after = func(step string) error {
			if step == "invalidate b" && !failed {
				failed = true
				w.failOver("b")
			}
			return nil
		}
		f, stop := run(t, w.config())
		nap(3 * time.Second)
		stop()
		wantRewind(t, w, f, "a", "b")
	})
}

// Of a transaction that comes in several batches only the last one moves the
// checkpoint. The server changes between two of them, while nothing happens.
func TestFailoverWithinATransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := batch("a")
		first.Position = "none"
		w := newWorld(t, first)
		f, stop := run(t, w.config())
		nap(500 * time.Millisecond)
		w.failOver("a")
		nap(2 * time.Second) // it looks at the checkpoint, which stands as before
		if st := f.Stats(); st.Rewinds != 1 {
			t.Errorf("%d rewinds while nothing happens; want 1", st.Rewinds)
		}
		w.set(func() { w.batches = append(w.batches, batch("b")) })
		nap(3 * time.Second)
		stop()
		wantRewind(t, w, f, "a", "b")
	})
}

// A server that lost its last writes has an older checkpoint, or none. The
// follower starts again from there, also if nothing changes any more.
func TestFailoverWhileIdle(t *testing.T) {
	for name, checkpoint := range map[string]string{"older": "1", "none": ""} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, batch("a"), batch("b"), batch("c"))
				cfg := w.config()
				cfg.Rewind = time.Minute // nothing is acknowledged yet
				f, stop := run(t, cfg)
				nap(500 * time.Millisecond)
				w.failOver("b", "c")
				w.set(func() { w.checkpoint = checkpoint })
				nap(3 * time.Second)
				stop()
				wantRewind(t, w, f, "a", "b", "c")
			})
		})
	}
}
