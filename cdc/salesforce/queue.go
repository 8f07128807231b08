package salesforce

import (
	"context"
	"sync"
	"time"

	"github.com/tandem-cache/tandem/cdc"
)

// maxBytes bounds what the events in the queue take, roughly.
const maxBytes = 16 << 20

// item is an event, or a place that the service names in a response without events.
type item struct {
	event     *cdc.Event // nil: a place
	lost      bool       // changes before it may be missing
	replay    []byte     // after it
	committed time.Time  // zero: unknown
	since     time.Time  // when it was committed or, if that is unknown, received
	bytes     int
}

// queue carries items from the reader to Next. It never refuses one: the reader asks for room beforehand.
type queue struct {
	max     int           // events
	ready   chan struct{} // holds one token after a push
	drained chan struct{} // holds one token after the queue was emptied

	mu     sync.Mutex // guards the fields below
	items  []item
	events int
	bytes  int
}

func newQueue(maxEvents int) *queue {
	return &queue{max: maxEvents, ready: make(chan struct{}, 1), drained: make(chan struct{}, 1)}
}

// room reports whether so many more events are welcome.
func (q *queue) room(events int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.events+events <= q.max && q.bytes < maxBytes
}

// push appends items. A place replaces one that nobody has taken yet.
func (q *queue) push(items ...item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, it := range items {
		if n := len(q.items); n > 0 && it.event == nil && !it.lost && q.items[n-1].event == nil {
			q.items[n-1].replay = it.replay
			continue
		}
		q.items = append(q.items, it)
		q.bytes += it.bytes
		if it.event != nil {
			q.events++
		}
	}
	signal(q.ready)
}

// take removes the first items, of room events at most, and makes a batch of them whose position is replay. A loss begins a batch.
func (q *queue) take(room int) (b cdc.Batch, replay []byte, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for ; n < len(q.items); n++ {
		it := &q.items[n]
		if it.lost && n > 0 || it.event != nil && len(b.Events) == room {
			break
		}
		b.Lost = b.Lost || it.lost
		replay = it.replay
		q.bytes -= it.bytes
		if it.event == nil {
			continue
		}
		q.events--
		b.Events = append(b.Events, *it.event)
		if !it.committed.IsZero() {
			if b.Oldest.IsZero() {
				b.Oldest = it.committed
			}
			b.Committed = it.committed
		}
	}
	clear(q.items[:n])
	if q.items = q.items[n:]; len(q.items) == 0 {
		q.items = nil
		signal(q.drained)
	}
	return b, replay, n > 0
}

// oldest is since when the first event waits; zero: there is none.
func (q *queue) oldest() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.items {
		if q.items[i].event != nil {
			return q.items[i].since
		}
	}
	return time.Time{}
}

func (q *queue) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items) == 0
}

// waitEmpty waits until everything was taken.
func (q *queue) waitEmpty(ctx context.Context) error {
	for !q.empty() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-q.drained:
		}
	}
	return nil
}

// signal leaves a token unless one is there.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
