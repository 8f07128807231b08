// Package episode keeps a log short while something goes wrong: a line when it begins, one each 30 s while it lasts, and one, with how long it
// took, when it is over.
package episode

import (
	"sync"
	"time"
)

// Every is the time between two lines of one episode.
const Every = 30 * time.Second

// An Episode is a time in which one thing fails again and again. The zero value has not begun. Its methods may be called from any goroutine.
type Episode struct {
	mu       sync.Mutex // guards the fields below
	since    time.Time  // zero: all is well
	said     time.Time  // the last line; of an earlier episode, too: what begins and ends each second is two lines in 30 s
	told     bool       // this episode was logged
	failures int
}

// Fails notes a failure. due reports whether it is to be logged: the first one, and then the first after each 30 s, of this episode and those
// before it.
func (e *Episode) Fails() (so Far, due bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	if e.since.IsZero() {
		e.since = now // so.For of the first is 0
	}
	e.failures++
	if due = e.said.IsZero() || now.Sub(e.said) >= Every; due {
		e.said, e.told = now, true
	}
	return Far{For: now.Sub(e.since), Failures: e.failures}, due
}

// Ends ends the episode. ok reports whether that is to be logged: there was one, and Fails had said so. Usually there is none, which costs a
// lock.
func (e *Episode) Ends() (so Far, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.since.IsZero() {
		return Far{}, false
	}
	so, ok = Far{For: time.Since(e.since), Failures: e.failures}, e.told
	e.since, e.told, e.failures = time.Time{}, false, 0
	return so, ok
}

// Far is how far an episode has come.
type Far struct {
	For      time.Duration
	Failures int
}

// Attrs returns attributes for a line of log/slog, in front of others: for and failures, but in the line about a beginning.
func (f Far) Attrs(others ...any) []any {
	if f.For == 0 {
		return others
	}
	return append([]any{"for", f.For.Round(time.Millisecond).String(), "failures", f.Failures}, others...)
}
