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

// waitLocked notes that the load behind d waits for f, and lets f go ahead of MaxLoads: the waiting load may hold the place that f waits
// for. d is nil for a caller outside a load. It refuses to wait for a flight that waits, through others, for that very load; whoever comes last
// to a cycle sees it, since it is looked for and noted under one lock.
func (t *flights) waitLocked(d *dependencies, f *flight) error {
	if d == nil {
		return nil
	}
	for _, waiting := range d.flights {
		if path := reach(f, waiting, nil); path != nil {
			keys := []string{waiting.key()}
			for _, on := range path {
				keys = append(keys, on.key())
			}
			return fmt.Errorf("%w: %s", ErrCycle, strings.Join(keys, " → "))
		}
	}
	for _, waiting := range d.flights {
		waiting.waits = append(waiting.waits, f)
	}
	if !f.hurried {
		f.hurried = true
		close(f.hurry)
	}
	return nil
}

// leave ends what waitLocked noted.
func (t *flights) leave(d *dependencies, f *flight) {
	if d == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, waiting := range d.flights {
		if i := slices.Index(waiting.waits, f); i >= 0 {
			waiting.waits = slices.Delete(waiting.waits, i, i+1)
		}
	}
}

// reach returns the flights from one to another along those that wait for each other, both included; nil: there is no way. It ends: what
// waitLocked has noted has no cycle. seen holds those that lead nowhere.
func reach(from, to *flight, seen map[*flight]bool) []*flight {
	if from == to {
		return []*flight{from}
	}
	if len(from.waits) == 0 || seen[from] {
		return nil
	}
	if seen == nil {
		seen = make(map[*flight]bool)
	}
	seen[from] = true
	for _, next := range from.waits {
		if path := reach(next, to, seen); path != nil {
			return append([]*flight{from}, path...)
		}
	}
	return nil
}

func (f *flight) key() string { return f.space.key(f.id) }
