package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tandem-cache/tandem/cdc"
)

const (
	maxChanges = 100_000 // that a changelog keeps while nobody acknowledges them
	maxBatch   = 1000    // events of one batch
)

// A changelog is a change feed in memory: a cdc.Source that one follower holds at a time, as with a replication slot.
// Its methods may be called from any goroutine.
//
// A position is the log's id and the number of the next event. Positions of another process's log, which a checkpoint in a real
// Redis may hold, have another id.
type changelog struct {
	id string

	mu     sync.Mutex    // guards the fields below, and all of its streams'
	events []logged      // not acknowledged yet
	first  uint64        // number of events[0]
	owed   bool          // a Lost batch is owed: none was acknowledged yet, or events were dropped
	held   bool          // a stream is open
	grown  chan struct{} // closed and replaced by append
}

type logged struct {
	event cdc.Event
	at    time.Time // when it was committed
}

func newChangelog() *changelog {
	return &changelog{id: rand.Text(), owed: true, grown: make(chan struct{})}
}

// append adds a change that readers see already, or will before they get any answer.
func (l *changelog) append(e cdc.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, logged{e, time.Now()})
	if len(l.events) > maxChanges {
		l.forgetLocked(l.first + maxChanges/2)
		l.owed = true
	}
	close(l.grown)
	l.grown = make(chan struct{})
}

func (l *changelog) forgetLocked(before uint64) {
	l.events = append([]logged(nil), l.events[before-l.first:]...)
	l.first = before
}

func (l *changelog) endLocked() uint64 { return l.first + uint64(len(l.events)) }

func (l *changelog) position(next uint64) string { return l.id + "/" + strconv.FormatUint(next, 10) }

// parse returns the number in a position of this log.
func (l *changelog) parse(position string) (next uint64, ok bool) {
	digits, ok := strings.CutPrefix(position, l.id+"/")
	if !ok {
		return 0, false
	}
	next, err := strconv.ParseUint(digits, 10, 64)
	return next, err == nil
}

// Identity implements cdc.Source.
func (l *changelog) Identity() string { return "storefront changelog" }

// Exclusive implements cdc.Source.
func (l *changelog) Exclusive() bool { return true }

// Open implements cdc.Source.
func (l *changelog) Open(_ context.Context, from string) (cdc.Stream, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held {
		return nil, fmt.Errorf("memory: open the change feed: %w", cdc.ErrBusy)
	}
	l.held = true
	next, ok := l.parse(from)
	if from == "" {
		next, ok = l.first, true
	}
	if !ok || next < l.first || next > l.endLocked() {
		l.owed = true
	}
	if l.owed {
		return &changes{log: l, next: l.endLocked(), lost: true}, nil
	}
	return &changes{log: l, next: next}, nil
}

// changes is a stream of a changelog.
type changes struct {
	log    *changelog
	next   uint64 // number of the event that Next returns
	lost   bool   // the next batch says so
	closed bool
}

// Next implements cdc.Stream.
func (c *changes) Next(ctx context.Context) (cdc.Batch, error) {
	for {
		b, grown := c.take()
		if grown == nil {
			return b, nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return cdc.Batch{}, ctx.Err()
		}
	}
}

// take returns the next batch or, if there is none, what to wait for.
func (c *changes) take() (cdc.Batch, <-chan struct{}) {
	l := c.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.next < l.first { // append dropped what was to come
		c.next, c.lost = l.endLocked(), true
	}
	if c.lost {
		c.lost = false
		return cdc.Batch{Lost: true, Position: l.position(c.next)}, nil
	}
	waiting := l.events[c.next-l.first:]
	if len(waiting) == 0 {
		return cdc.Batch{}, l.grown
	}
	waiting = waiting[:min(len(waiting), maxBatch)]
	b := cdc.Batch{Oldest: waiting[0].at, Committed: waiting[len(waiting)-1].at}
	for _, w := range waiting {
		b.Events = append(b.Events, w.event)
	}
	c.next += uint64(len(waiting))
	b.Position = l.position(c.next)
	return b, nil
}

// Ack implements cdc.Stream.
func (c *changes) Ack(_ context.Context, position string) error {
	l := c.log
	l.mu.Lock()
	defer l.mu.Unlock()
	upTo, ok := l.parse(position)
	if !ok || upTo > l.endLocked() {
		return fmt.Errorf("memory: acknowledge %q: not a position of this feed", position)
	}
	if upTo >= l.first {
		l.forgetLocked(upTo)
		l.owed = false
	}
	return nil
}

// Lag implements cdc.Stream.
func (c *changes) Lag() (lag time.Duration, known bool) {
	l := c.log
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case c.lost || c.next < l.first:
		return 0, false
	case c.next == l.endLocked():
		return 0, true
	}
	return time.Since(l.events[c.next-l.first].at), true
}

// Close implements cdc.Stream.
func (c *changes) Close(context.Context) error {
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	if !c.closed {
		c.closed, c.log.held = true, false
	}
	return nil
}
