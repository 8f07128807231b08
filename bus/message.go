package bus

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// A Kind says what a message is about.
type Kind uint8

// The kinds. Numbers on the wire do not change.
const (
	Invalidate Kind = 1 // Names were invalidated at Tick
	Filled     Kind = 2 // the keys Names were filled, or their leases given back
	Feed       Kind = 3 // Status of a feed
	Routes     Kind = 4 // the routes of the feed Origin can give names of the kinds Names
)

// A Message is what pods tell each other. On the wire it is the msgpack array [kind, tick, origin, names, status], where status
// is nil or [feed, connected, position, committed in Unix ms, lag in ms, counts].
type Message struct {
	_msgpack struct{} `msgpack:",as_array"` //nolint:unused // read by msgpack

	Kind   Kind
	Tick   uint64
	Origin string // who invalidated: "api", or a feed
	Names  []string
	Status *FeedStatus
}

// FeedStatus is what the follower of a feed last knew.
type FeedStatus struct {
	_msgpack struct{} `msgpack:",as_array"` //nolint:unused // read by msgpack

	Feed        string
	Connected   bool
	Position    string
	CommittedMS int64             // when the last applied change was committed, Unix ms; 0: none yet
	LagMS       int64             // since the oldest change not yet applied was committed, in ms
	Counts      map[string]uint64 // what the follower did so far, in its words
	Problem     string            `msgpack:"-"` // what keeps it from being connected; "": nothing. See problemCount
}

// problemCount begins the name of a count that carries Problem, on the wire. Pods that know nothing of a problem take it as one count more. They
// would not understand a status with another number of fields, and a message that is not understood costs a pod its L1.
const problemCount = "problem: "

// withProblem returns a status whose counts carry the problem; s is left as it is.
func (s *FeedStatus) withProblem() *FeedStatus {
	if s == nil || s.Problem == "" {
		return s
	}
	wired := *s
	wired.Counts = maps.Clone(s.Counts)
	if wired.Counts == nil {
		wired.Counts = make(map[string]uint64)
	}
	wired.Counts[problemCount+s.Problem] = 1
	return &wired
}

// takeProblem moves the problem from the counts, where withProblem has put it.
func (s *FeedStatus) takeProblem() {
	for name := range s.Counts {
		if problem, ok := strings.CutPrefix(name, problemCount); ok {
			s.Problem = problem
			delete(s.Counts, name)
		}
	}
}

// Committed is CommittedMS as a time; zero for none.
func (s FeedStatus) Committed() time.Time {
	if s.CommittedMS == 0 {
		return time.Time{}
	}
	return time.UnixMilli(s.CommittedMS).UTC()
}

// Lag is LagMS as a duration.
func (s FeedStatus) Lag() time.Duration { return time.Duration(s.LagMS) * time.Millisecond }

const (
	numbered   = "J1"
	notice     = "N1"
	lineageLen = 16
)

var errUnreadable = errors.New("bus: unreadable message")

// frame is a message as it came over pub/sub: with its place in the journal, or none for a notice.
type frame struct {
	lineage string
	n       uint64 // 0 for a notice
	payload []byte
}

func parseFrame(b []byte) (frame, error) {
	rest, ok := bytes.CutPrefix(b, []byte(notice))
	if ok {
		return frame{payload: rest}, nil
	}
	rest, ok = bytes.CutPrefix(b, []byte(numbered))
	if !ok || len(rest) < lineageLen {
		return frame{}, fmt.Errorf("%w: no frame", errUnreadable)
	}
	digits, payload, ok := bytes.Cut(rest[lineageLen:], []byte(" "))
	n, err := strconv.ParseUint(string(digits), 10, 64)
	if !ok || err != nil || n == 0 {
		return frame{}, fmt.Errorf("%w: number %q", errUnreadable, digits[:min(len(digits), 20)])
	}
	return frame{lineage: string(rest[:lineageLen]), n: n, payload: payload}, nil
}

func encode(m Message) ([]byte, error) {
	m.Status = m.Status.withProblem()
	b, err := msgpack.Marshal(&m)
	if err != nil {
		return nil, fmt.Errorf("bus: encode: %w", err)
	}
	return b, nil
}

func decode(payload []byte) (m Message, err error) {
	if m, ok := decodeInvalidation(payload); ok {
		return m, nil
	}
	if err := msgpack.Unmarshal(payload, &m); err != nil {
		return Message{}, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	if m.Status != nil {
		m.Status.takeProblem()
	}
	return m, nil
}
