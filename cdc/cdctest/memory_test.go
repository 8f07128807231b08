package cdctest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/cdc/cdctest"
)

const maxBatch = 10

// server is a database in memory, and the source that follows it. flaw breaks one
// rule; "": it keeps them all.
type server struct {
	flaw   string
	shared bool          // not exclusive, and remembers no acknowledgement
	end    chan struct{} // ends what a flaw leaves behind

	mu         sync.Mutex // guards the fields below
	log        []piece
	changed    chan struct{} // closed at the next change of anything
	generation int           // of positions
	acked      int           // -1: nothing
	open       int           // streams
	cuts       int
	down       bool
	revoked    bool
	frozen     bool
	losses     int
}

// piece is a transaction; without events it concerns nobody.
type piece struct {
	events []cdc.Event
	at     time.Time
}

func newServer(t testing.TB, flaw string) *server {
	s := &server{flaw: flaw, acked: -1, changed: make(chan struct{}), end: make(chan struct{})}
	t.Cleanup(func() { close(s.end) })
	return s
}

// set changes the server and wakes whoever waits for it.
func (s *server) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *server) add(events ...cdc.Event) {
	s.set(func() {
		for i := range events {
			events[i].Entity = "rows"
			events[i].Transaction = strconv.Itoa(len(s.log))
			if s.flaw == "one name for all transactions" {
				events[i].Transaction = "t"
			}
			if s.flaw == "a name for some events of a transaction" && i > 0 {
				events[i].Transaction = ""
			}
		}
		s.log = append(s.log, piece{events: events, at: time.Now()})
	})
}

// rig is the server with its faults.
func (s *server) rig() cdctest.Rig {
	return cdctest.Rig{
		Source: s, MaxBatch: maxBatch, Entity: "rows", Column: "id", Remembers: !s.shared, Secrets: []string{"hunter2"},
		Flood: 2000, Patience: 3 * time.Second, Quiet: 50 * time.Millisecond, Pause: time.Second,
		Change: func(ids ...string) {
			var events []cdc.Event
			for _, id := range ids {
				events = append(events, cdc.Event{Kind: cdc.Update, Rows: []cdc.Row{{"id": id}}})
			}
			s.add(events...)
		},
		Whole: func() {
			if s.flaw != "no event of the whole entity" {
				s.add(cdc.Event{Kind: cdc.Whole})
			}
		},
		Unrelated: func() { s.add() },
		Lose: func() {
			s.set(func() {
				if s.generation++; s.flaw != "takes a lost position" {
					s.acked = -1
				}
			})
		},
		Cut:    func() { s.set(func() { s.cuts++ }) },
		Down:   func() { s.set(func() { s.down = true; s.cuts++ }) },
		Up:     func() { s.set(func() { s.down = false }) },
		Revoke: func() { s.set(func() { s.revoked = true }) },
		Grant:  func() { s.set(func() { s.revoked = false }) },
		Freeze: func() { s.set(func() { s.frozen = true }) },
		Thaw:   func() { s.set(func() { s.frozen = false }) },
	}
}

func (s *server) Identity() string {
	switch s.flaw {
	case "has no identity":
		return ""
	case "another identity once it is open":
		s.mu.Lock()
		defer s.mu.Unlock()
		return "memory, read to " + strconv.Itoa(s.acked)
	case "a secret in its identity":
		return "memory of hunter2"
	}
	return "memory"
}

func (s *server) Exclusive() bool { return !s.shared != (s.flaw == "lies about being exclusive") }

func (s *server) position(n int) string { return fmt.Sprintf("%d:%d", s.generation, n) }

// index returns the place behind which a position lies; false: it is none.
func (s *server) index(position string) (int, bool) {
	generation, text, _ := strings.Cut(position, ":")
	n, err := strconv.Atoi(text)
	return n, err == nil && (generation == strconv.Itoa(s.generation) || s.flaw == "takes a lost position") && n <= len(s.log)
}

// Open implements cdc.Source.
func (s *server) Open(_ context.Context, from string) (cdc.Stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.down:
		return nil, errors.New("down")
	case s.revoked && s.flaw == "takes worthless credentials for a loss":
		from = "lost"
	case s.revoked && s.flaw == "names a secret":
		return nil, errors.New("password hunter2 is wrong")
	case s.revoked:
		return nil, errors.New("the password is wrong")
	case s.open > 0 && !s.shared && s.flaw != "opens twice":
		return nil, fmt.Errorf("memory: %w", cdc.ErrBusy)
	}
	st := &stream{server: s, cuts: s.cuts, at: max(s.acked, 0)}
	at, ok := s.index(from)
	switch {
	case ok:
		st.at = at
		s.startAt(st)
	case from == "" && s.acked >= 0 && !s.shared:
	case s.flaw == "panics over nothing" || s.flaw == "says nothing of a loss" && from != "":
		st.at = len(s.log)
	case s.flaw == "says once that changes were lost" && s.losses > 0:
	default:
		st.lost, st.at = true, len(s.log)
		s.losses++
	}
	if s.flaw == "holds everything in memory" {
		for _, p := range s.log[min(st.at, len(s.log)):] {
			for _, e := range p.events {
				st.hoard = append(st.hoard, cdc.Row{"id": e.Rows[0]["id"]})
			}
		}
	}
	if s.flaw == "leaves a goroutine" {
		go func() { <-s.end }()
	}
	s.open++
	return st, nil
}

// startAt is what can go wrong with a good position.
func (s *server) startAt(st *stream) {
	switch s.flaw {
	case "skips one after a resume":
		st.at = min(st.at+1, len(s.log))
	case "repeats one after a resume":
		st.at = max(st.at-1, 0)
	case "loses at every resume":
		st.lost = true
	case "begins at the end":
		st.at = len(s.log)
	}
}

// stream reads the log.
type stream struct {
	*server
	cuts   int
	at     int // pieces handed over
	part   int // events of the next one
	lost   bool
	begun  bool
	again  bool // was Lost once more
	closed bool
	hoard  []cdc.Row
}

// Next implements cdc.Stream.
func (st *stream) Next(ctx context.Context) (cdc.Batch, error) {
	for {
		b, wait, err := st.poll()
		if wait == nil {
			if ctx.Err() != nil && st.flaw == "loses a batch when the context ends" && !b.Lost {
				return cdc.Batch{}, ctx.Err()
			}
			return b, err
		}
		done := ctx.Done()
		if st.flaw == "ignores the end of the context" {
			done = nil
		}
		select {
		case <-done:
			return cdc.Batch{}, ctx.Err()
		case <-st.end:
			return cdc.Batch{}, errors.New("ended")
		case <-wait:
		}
	}
}

// poll returns a channel to wait for if there is nothing.
func (st *stream) poll() (cdc.Batch, <-chan struct{}, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	switch {
	case st.server.cuts != st.cuts && st.flaw != "doesn't notice a cut":
		if st.flaw == "names a secret when it is cut" {
			return cdc.Batch{}, nil, errors.New("hunter2 was cut")
		}
		return cdc.Batch{}, nil, errors.New("cut")
	case st.frozen || st.server.cuts != st.cuts:
		return cdc.Batch{}, st.changed, nil
	case st.lost, st.flaw == "loses twice" && st.begun && !st.again:
		st.again = !st.lost
		st.lost, st.begun = false, true
		return cdc.Batch{Lost: true, Position: st.position(st.at)}, nil, nil
	case st.at == len(st.log):
		return cdc.Batch{}, st.changed, nil
	}
	b := st.batch()
	if st.flaw == "acknowledges what it hands over" {
		st.acked = max(st.acked, st.at)
	}
	if len(b.Events) == 0 && st.flaw == "has no idle progress" || b.Events != nil && b.Events[0].Kind == cdc.Whole && st.flaw == "ends at a poison event" {
		return cdc.Batch{}, st.changed, nil
	}
	return b, nil, nil
}

// batch takes the next piece, or a part of it.
func (st *stream) batch() cdc.Batch {
	p := st.log[st.at]
	most := maxBatch
	if st.flaw == "hands over too many" {
		most++
	}
	rest := p.events[st.part:]
	if len(rest) > most {
		st.part += most
		b := cdc.Batch{Events: slices.Clone(rest[:most])}
		if st.flaw == "has a position inside a transaction" {
			b.Position = st.position(st.at + 1)
		}
		return b
	}
	st.at, st.part = st.at+1, 0
	b := cdc.Batch{Events: slices.Clone(rest), Position: st.position(st.at), Oldest: p.at, Committed: p.at}
	if st.flaw == "turns the order around" && st.at < len(st.log) && len(st.log[st.at].events) <= maxBatch {
		st.log[st.at-1], st.log[st.at] = st.log[st.at], st.log[st.at-1]
		b.Events = slices.Clone(st.log[st.at-1].events)
	}
	return b
}

// Ack implements cdc.Stream.
func (st *stream) Ack(_ context.Context, position string) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	n, ok := st.index(position)
	if !ok {
		return errors.New("no batch carried it")
	}
	if st.flaw != "forgets what was acknowledged" || st.acked < 0 {
		st.acked = max(st.acked, n)
	}
	if st.flaw == "loses what changes during the flush" && st.begun {
		st.at = len(st.log)
	}
	return nil
}

// Lag implements cdc.Stream.
func (st *stream) Lag() (time.Duration, bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	switch {
	case st.flaw == "never knows its lag":
		return 0, false
	case st.flaw == "always lags":
		return time.Minute, true
	case st.at == len(st.log), st.flaw == "never lags":
		return 0, true
	}
	return time.Since(st.log[st.at].at) + 1, true
}

// Close implements cdc.Stream.
func (st *stream) Close(context.Context) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		if st.flaw == "can't be closed twice" {
			return errors.New("closed")
		}
		return nil
	}
	if st.flaw == "hangs in Close when the server is silent" && st.frozen {
		st.mu.Unlock()
		select {
		case <-time.After(time.Minute):
		case <-st.end:
		}
		st.mu.Lock()
	}
	st.closed = true
	if st.flaw != "stays busy" {
		st.open--
	}
	return nil
}
