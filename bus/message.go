package bus

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
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
	Warnings    []string          `msgpack:"-"` // what else a reader of health should know. See warningCount
	Refused     bool              `msgpack:"-"` // it may not follow: the feed is another source's. Problem says so; see refusedCount
}

// problemCount begins the name of a count that carries Problem, on the wire. Pods that know nothing of a problem take it as one count more. They
// would not understand a status with another number of fields, and a message that is not understood costs a pod its L1.
const problemCount = "problem: "

// warningCount begins the name of a count that carries one of Warnings, for the same reason. Its number is the place among them, from 1.
const warningCount = "warning: "

// refusedCount is problemCount of a status that is Refused.
const refusedCount = "refused: "

// withSentences returns a status whose counts carry the problem and the warnings; s is left as it is.
func (s *FeedStatus) withSentences() *FeedStatus {
	if s == nil || s.Problem == "" && len(s.Warnings) == 0 {
		return s
	}
	wired := *s
	wired.Counts = maps.Clone(s.Counts)
	if wired.Counts == nil {
		wired.Counts = make(map[string]uint64)
	}
	switch {
	case s.Refused:
		wired.Counts[refusedCount+s.Problem] = 1
	case s.Problem != "":
		wired.Counts[problemCount+s.Problem] = 1
	}
	for i, warning := range s.Warnings {
		wired.Counts[warningCount+warning] = uint64(i + 1)
	}
	return &wired
}

// takeSentences moves the problem and the warnings from the counts, where withSentences has put them.
func (s *FeedStatus) takeSentences() {
	place := make(map[string]uint64)
	for name, n := range s.Counts {
		if problem, ok := strings.CutPrefix(name, problemCount); ok {
			s.Problem = problem
			delete(s.Counts, name)
		}
		if warning, ok := strings.CutPrefix(name, warningCount); ok {
			s.Warnings = append(s.Warnings, warning)
			place[warning] = n
			delete(s.Counts, name)
		}
		if problem, ok := strings.CutPrefix(name, refusedCount); ok {
			s.Problem, s.Refused = problem, true
			delete(s.Counts, name)
		}
	}
	slices.SortFunc(s.Warnings, func(a, b string) int { return cmp.Compare(place[a], place[b]) })
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
	mark    uint64 // as the journal has it; 0: not known
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
	m.Status = m.Status.withSentences()
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
		m.Status.takeSentences()
	}
	return m, nil
}
