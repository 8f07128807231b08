package cdctest

import (
	"context"
	"slices"
	"time"

	"github.com/tandem-cache/tandem/cdc"
)

// reading is a stream that is read by a test.
type reading struct {
	*probe
	stream    cdc.Stream
	waiting   []cdc.Event // of the batch that was Lost
	skipOld   bool        // after a loss the source may begin earlier than it must
	abandoned bool        // a call of it has not returned
	position  string      // last that a batch carried
	closed    bool
}

// next waits for a batch.
func (r *reading) next() cdc.Batch {
	r.Helper()
	b, err := r.tryNext(r.rig.Patience)
	if err != nil {
		r.Fatalf("next: %v", err)
	}
	return b
}

// tryNext waits for d.
func (r *reading) tryNext(d time.Duration) (cdc.Batch, error) {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return r.nextUntil(ctx, d)
}

// nextUntil waits until ctx ends, which it does after d.
func (r *reading) nextUntil(ctx context.Context, d time.Duration) (b cdc.Batch, err error) {
	r.Helper()
	if !returns(d, func() { b, err = r.stream.Next(ctx) }) {
		r.abandoned = true
		r.Fatalf("next: it doesn't end with its context, which ended %s ago", slack)
	}
	if err == nil {
		r.looksRight(b)
	}
	return b, err
}

// slack is what a busy machine may add to a deadline.
const slack = 5 * time.Second

// returns runs a call that must end within d, and says whether it did.
func returns(d time.Duration, call func()) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		call()
	}()
	timer := time.NewTimer(d + slack)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// looksRight checks what holds for every batch.
func (r *reading) looksRight(b cdc.Batch) {
	r.Helper()
	if len(b.Events) > r.rig.MaxBatch {
		r.Errorf("a batch holds %d events; want at most %d", len(b.Events), r.rig.MaxBatch)
	}
	if b.Lost && b.Position == "" {
		r.Fatal("a batch is Lost and carries no position")
	}
	if b.Position != "" {
		r.position = b.Position
	}
	for _, e := range b.Events {
		if e.Entity != r.rig.Entity && e.Entity != "" {
			r.Fatalf("got an event of %q; want it of %q", e.Entity, r.rig.Entity)
		}
	}
}

// lost takes the first batch, which must be Lost.
func (r *reading) lost() cdc.Batch {
	r.Helper()
	b := r.next()
	if !b.Lost {
		r.Fatalf("got a first batch with %d events, at %q; want it Lost", len(b.Events), b.Position)
	}
	r.waiting, r.skipOld = b.Events, true
	return b
}

// take takes batches until they have brought the rows of these transactions, and
// nothing else. Rows of a transaction may come in any order.
func (r *reading) take(transactions ...[]string) (batches []cdc.Batch) {
	r.Helper()
	w := wanted{reading: r, left: slices.Clone(transactions)}
	w.see(r.waiting)
	r.waiting = nil
	for len(w.left) > 0 {
		b := r.next()
		if b.Lost {
			r.Fatalf("changes were lost while these were waited for: %v", w.left)
		}
		w.see(b.Events)
		batches = append(batches, b)
	}
	r.skipOld = false
	return batches
}

// wanted are the transactions that a reading waits for.
type wanted struct {
	*reading
	left [][]string
}

func (w *wanted) see(events []cdc.Event) {
	w.Helper()
	for _, e := range events {
		ids := w.ids(e)
		if len(ids) == 0 {
			w.Fatalf("got an event without rows, %q %s, %v; want rows of %v", e.Entity, e.Kind, e.Err, w.left)
		}
		for _, id := range ids {
			w.row(id)
		}
	}
}

func (w *wanted) row(id string) {
	w.Helper()
	if len(w.left) > 0 {
		if i := slices.Index(w.left[0], id); i >= 0 {
			if w.left[0] = slices.Delete(slices.Clone(w.left[0]), i, i+1); len(w.left[0]) == 0 {
				w.left = w.left[1:]
			}
			return
		}
	}
	wanted := slices.ContainsFunc(w.left, func(ids []string) bool { return slices.Contains(ids, id) })
	switch {
	case wanted:
		w.Fatalf("got row %s before the rows %v of an earlier transaction", id, w.left[0])
	case !w.skipOld || !w.old[id]:
		w.Fatalf("got row %s, which lies before the position or came twice; want %v", id, w.left)
	}
}

// at returns the position behind what was taken: the last one that came, or the
// next that comes.
func (r *reading) at(batches []cdc.Batch) string {
	r.Helper()
	if last := batches[len(batches)-1]; last.Position != "" {
		return last.Position
	}
	for {
		b := r.next()
		if len(b.Events) > 0 || b.Lost {
			r.Fatalf("got %d more events before a position", len(b.Events))
		}
		if b.Position != "" {
			return b.Position
		}
	}
}

// silent asserts that nothing comes but positions.
func (r *reading) silent() {
	r.Helper()
	for end := time.Now().Add(r.rig.Quiet); ; {
		b, err := r.tryNext(time.Until(end))
		switch {
		case isContext(err):
			return
		case err != nil:
			r.Fatalf("next: %v", err)
		case len(b.Events) > 0 || b.Lost:
			r.Fatalf("got %d events, lost %t; want nothing", len(b.Events), b.Lost)
		}
	}
}

func (r *reading) ack(position string) {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), r.rig.Patience)
	defer cancel()
	if err := r.stream.Ack(ctx, position); err != nil {
		r.Fatalf("ack %q: %v", position, err)
	}
}

// close ends the stream, which may be broken, in time.
func (r *reading) close() {
	r.Helper()
	if r.closed || r.abandoned {
		return
	}
	r.closed = true
	if err := r.closeWithin(r.rig.Patience); err != nil {
		r.Errorf("close: %v", err)
	}
}

func (r *reading) closeWithin(d time.Duration) (err error) {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	if !returns(d, func() { err = r.stream.Close(ctx) }) {
		r.abandoned = true
		r.Fatalf("close: it doesn't end with its context, which ended %s ago", slack)
	}
	return err
}
