package tier

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrCycle says that a loader waits, through the loaders of other entries, for the entry that it loads. It is returned to the Get that would
// have closed the cycle; its text names the keys.
var ErrCycle = errors.New("tier: a cycle of loaders")

// A call is one call of a loader: of Load, for one flight, or of LoadMany for several. Its fields are guarded by flights.mu.
type call struct {
	hurried bool
	hurry   chan struct{} // closed when it is to load ahead of MaxLoads
	waits   []*flight     // those that the loader waits for
}

func newCall() *call { return &call{hurry: make(chan struct{})} }

func (l *call) hurryLocked() {
	if !l.hurried {
		l.hurried = true
		close(l.hurry)
	}
}

// together makes flights that were just made those of one call.
func (t *flights) together(flights []*flight) {
	t.mu.Lock()
	defer t.mu.Unlock()
	shared := flights[0].call
	for _, f := range flights {
		if f.call.hurried {
			shared.hurryLocked()
		}
		f.call = shared
	}
}

// apart gives a flight a call of its own.
func (t *flights) apart(f *flight) {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := newCall()
	if f.call.hurried {
		own.hurryLocked()
	}
	f.call = own
}

func (t *flights) hurryOf(f *flight) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return f.call.hurry
}

// waitLocked notes that the load behind d waits for f, and lets f go ahead of MaxLoads: the waiting load may hold the place that f waits
// for. d is nil for a caller outside a load. It refuses to wait for a flight that waits, through others, for that very load; whoever comes last
// to a cycle sees it, since it is looked for and noted under one lock.
func (t *flights) waitLocked(d *dependencies, f *flight) error {
	if d == nil {
		return nil
	}
	if path := reach(f, d.flight.call, make(map[*flight]bool)); path != nil {
		return fmt.Errorf("%w: %s", ErrCycle, strings.Join(append([]string{d.flight.key()}, path...), " → "))
	}
	d.flight.call.waits = append(d.flight.call.waits, f)
	if d.write { // it has no place
		return nil
	}
	f.call.hurryLocked()
	return nil
}

// leave ends what waitLocked noted.
func (t *flights) leave(d *dependencies, f *flight) {
	if d == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	waits := d.flight.call.waits
	if i := slices.Index(waits, f); i >= 0 {
		d.flight.call.waits = slices.Delete(waits, i, i+1)
	}
}

// reach returns the keys of the flights that lead from one to a call, along those that wait for each other; nil: there is no way. seen
// holds those that were tried.
func reach(from *flight, to *call, seen map[*flight]bool) []string {
	if from.call == to {
		return []string{from.key()}
	}
	if seen[from] {
		return nil
	}
	seen[from] = true
	for _, next := range from.call.waits {
		if path := reach(next, to, seen); path != nil {
			return append([]string{from.key()}, path...)
		}
	}
	return nil
}

func (f *flight) key() string { return f.space.key(f.id) }
