package cdc

import (
	"cmp"
	"context"
	"time"
)

// Bounds of what waits for its repeat. With a settle time of 5 s they allow 2,000
// batches and 20,000 names a second.
const (
	maxSettling      = 10_000
	maxSettlingNames = 100_000
)

// settleQueue holds batches that were invalidated, until the settle time has
// passed and they are invalidated again. Without the repeat:
//
//  1. the primary commits a change, and a replica has not replayed it yet
//  2. the change is invalidated
//  3. a load reads the old row from the replica, and fills the cache
//  4. the replica replays the change: nobody outdates what the load stored
//
// The checkpoint waits: a follower that died after 2 with the checkpoint behind
// the change would not see it again, and nobody would repeat it. For that reason
// the queue may simply be dropped when the session ends.
type settleQueue struct {
	waiting []*work // oldest first
	names   int     // of all of them
}

// push adds w, which the cache has accepted. Its events are let go: they may be
// many times as large as the names.
func (q *settleQueue) push(w *work, due time.Time) {
	w.due, w.repeat, w.batch.Events = due, true, nil
	if w.flush != "" {
		w.flush += ": repeated after the settle time"
	}
	q.waiting = append(q.waiting, w)
	q.names += len(w.names)
}

// next is when the oldest is due.
func (q *settleQueue) next() (due time.Time, waits bool) {
	if len(q.waiting) == 0 {
		return time.Time{}, false
	}
	return q.waiting[0].due, true
}

// full reports whether the source must not be read now. It must not be after a
// Lost batch either: a stream may begin only when that is acknowledged, as
// PostgreSQL's does with a new slot.
func (q *settleQueue) full() bool {
	n := len(q.waiting)
	return n >= maxSettling || q.names >= maxSettlingNames || n > 0 && q.waiting[n-1].batch.Lost
}

// take removes and returns the oldest if it is due, joined with those after it
// that are due too and fit into one call of Feed.Invalidate; nil: none is due.
func (q *settleQueue) take(now time.Time) *work {
	n, names := 0, 0
	for _, w := range q.waiting {
		if w.due.After(now) || n > 0 && names+len(w.names) > maxNames {
			break
		}
		n++
		names += len(w.names)
	}
	if n == 0 {
		return nil
	}
	w := join(q.waiting[:n])
	clear(q.waiting[:n])
	q.waiting = q.waiting[n:]
	q.names -= names
	return w
}

// join makes one repeat of several in a row.
func join(all []*work) *work {
	w := &work{repeat: true}
	var names nameSet
	for _, one := range all {
		names.add(one.names)
		w.flush = cmp.Or(w.flush, one.flush)
		w.batches += one.batches
		w.events += one.events
		w.batch.Lost = w.batch.Lost || one.batch.Lost
		w.batch.Position = cmp.Or(one.batch.Position, w.batch.Position)
		if one.batch.Committed.After(w.batch.Committed) {
			w.batch.Committed = one.batch.Committed
		}
	}
	w.names = names.list
	return w
}

// repeat invalidates again what has settled, and moves the checkpoint behind it.
func (s *session) repeat(ctx context.Context) error {
	for {
		w := s.settling.take(time.Now())
		if w == nil {
			return nil
		}
		if err := s.apply(ctx, w); err != nil {
			return err
		}
	}
}
