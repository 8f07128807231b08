package cdc

import (
	"slices"
	"time"
)

// ackSteps is how finely the rewind window is kept.
const ackSteps = 32

// ackQueue holds positions back until they are a rewind window old. It never
// holds more than ackSteps+1 of them.
type ackQueue struct {
	window  time.Duration
	waiting []ackEntry // oldest first
}

type ackEntry struct {
	position string
	at       time.Time // when the checkpoint was moved to position, or later
	now      bool      // don't wait
}

// newAckQueue begins with the position that a stream is opened at, which an
// earlier one may not have acknowledged; "": none.
func newAckQueue(window time.Duration, from string) *ackQueue {
	q := &ackQueue{window: window}
	if from != "" {
		q.push(from, time.Now(), false)
	}
	return q
}

// clear forgets what was pushed.
func (q *ackQueue) clear() { q.waiting = nil }

// push adds a position. now: there is nothing before it to rewind to.
// A position that follows another closely replaces it and waits for its own
// time, so that an acknowledgement comes rather later than too early.
func (q *ackQueue) push(position string, at time.Time, now bool) {
	e := ackEntry{position: position, at: at, now: now}
	if n := len(q.waiting); n > 1 && at.Sub(q.waiting[n-2].at) < q.window/ackSteps {
		q.waiting[n-1] = e
		return
	}
	q.waiting = append(q.waiting, e)
}

// due takes and returns the newest position whose time has come; "": none.
func (q *ackQueue) due(now time.Time) string {
	for i, e := range slices.Backward(q.waiting) {
		if e.now || now.Sub(e.at) >= q.window {
			q.waiting = append(q.waiting[:0], q.waiting[i+1:]...)
			return e.position
		}
	}
	return ""
}
