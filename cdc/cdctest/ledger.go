package cdctest

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tandem-cache/tandem/cdc"
)

// maxProblems bounds what a Ledger remembers of broken rules.
const maxProblems = 20

// Ledger is the model of a feed: it stands in for the cache and for a source's
// memory, notes what followers do, and checks each step:
//
//   - The checkpoint moves to a position that a batch carried, after everything
//     up to there was invalidated.
//   - Nothing is acknowledged upstream before the checkpoint was stored.
//   - After a Lost batch the source is not read before that is acknowledged.
//
// It outlives its followers, as a cache does. Its methods may be called from any
// goroutine.
type Ledger struct {
	names func(cdc.Event) []string

	mu          sync.Mutex        // guards the fields below
	clock       uint64            // counts effects
	invalidated map[string]uint64 // when each name was last
	flushed     uint64            // when everything was last
	flushes     int
	checkpoint  string
	acked       string // last
	leader      string // of the lease; "": nobody
	until       time.Time
	report      Report
	problems    []string
	steps       map[string]int
}

// Report is what a follower said last of how the feed is.
type Report struct {
	Problem  string        // "": it is connected
	Warnings []string      // for a reader of health
	Lag      time.Duration // 0: caught up
}

// NewLedger makes an empty one. names are what an event must outdate: what the
// follower's routes make of it, without FollowerConfig.Collapse. An event of an
// unknown entity must flush everything.
func NewLedger(names func(cdc.Event) []string) *Ledger {
	return &Ledger{names: names, invalidated: make(map[string]uint64), steps: make(map[string]int)}
}

// Follower returns what one follower is given: source, watched, and its feed. The
// next follower, in the place of one that died, is given others.
func (l *Ledger) Follower(source cdc.Source) (cdc.Source, cdc.Feed) {
	return l.follower(source, nil)
}

func (l *Ledger) follower(source cdc.Source, hook hook) (cdc.Source, cdc.Feed) {
	w := &watch{book: &life{ledger: l}, names: l.names, hook: hook}
	return &watchedSource{Source: source, watch: w}, &watchedFeed{watch: w}
}

// Problems are the rules that were broken, at most 20 of them.
func (l *Ledger) Problems() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.problems)
}

// Invalidated reports whether a name was invalidated.
func (l *Ledger) Invalidated(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.invalidated[name] > 0
}

// Flushes is how often everything was invalidated.
func (l *Ledger) Flushes() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.flushes
}

// Position is the checkpoint, and Acknowledged the last position that was told
// the source; "": none.
func (l *Ledger) Position() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.checkpoint
}

// Acknowledged is documented at Position.
func (l *Ledger) Acknowledged() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked
}

// Report is the last one.
func (l *Ledger) Report() Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.report
}

// counts are the steps so far, by name.
func (l *Ledger) counts() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.steps)
}

func (l *Ledger) problemLocked(format string, args ...any) {
	if len(l.problems) < maxProblems {
		l.problems = append(l.problems, fmt.Sprintf(format, args...))
	}
}

// staleLocked returns a name that was not invalidated after a time; "": all were.
func (l *Ledger) staleLocked(names []string, after uint64) string {
	if l.flushed > after {
		return ""
	}
	i := slices.IndexFunc(names, func(name string) bool { return l.invalidated[name] <= after })
	if i < 0 {
		return ""
	}
	return names[i]
}
