package salesforcetest

import (
	"sort"
	"time"

	"github.com/tandem-cache/tandem/cdc/salesforce/internal/eventbus"
)

// topic is a run of events, and who is subscribed to them. The server's lock guards it.
type topic struct {
	name    string
	schema  *definition // of every event; nil: they differ
	publish bool        // clients might publish to it
	era     uint16      // of its replay ids

	events  []stored // oldest first
	dropped uint64   // place of the last event that isn't kept; 0: none
	floor   uint64   // replay ids below this place are too old

	silent bool // nothing is sent
	denied bool // the user may not subscribe
	subs   map[*subscription]struct{}
}

type stored struct {
	place uint64
	at    time.Time
	event *eventbus.ConsumerEvent
}

// size is about what the event takes in a response.
func (e stored) size() int { return len(e.event.Event.Payload) + 64 }

// append stores an event, and drops the oldest if there are more than limit.
func (t *topic) append(e stored, limit int) {
	t.events = append(t.events, e)
	t.drop(len(t.events) - limit)
	t.wakeAll()
}

// drop forgets the n oldest events, and their replay ids.
func (t *topic) drop(n int) {
	if n <= 0 {
		return
	}
	t.dropped = t.events[n-1].place
	t.floor = max(t.floor, t.dropped+1)
	clear(t.events[:n])
	t.events = t.events[n:]
}

// expire drops the events before the given time.
func (t *topic) expire(before time.Time) {
	t.drop(sort.Search(len(t.events), func(i int) bool { return !t.events[i].at.Before(before) }))
}

// after returns the events behind a place.
func (t *topic) after(place uint64) []stored {
	return t.events[sort.Search(len(t.events), func(i int) bool { return t.events[i].place > place }):]
}

func (t *topic) wakeAll() {
	for sub := range t.subs {
		sub.wakeUp()
	}
}
