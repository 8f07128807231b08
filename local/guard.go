package local

import (
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
)

// stripeCount is the number of stripes: 512 KiB a guard. With s stripes moved since an entry was checked, the share of
// checks that have to look at the table is about s·(names of the entry)/stripeCount.
const stripeCount = 1 << 16

// A Verdict is what a guard knows of an entry.
type Verdict uint8

// The verdicts.
const (
	Valid   Verdict = iota
	Dead            // one of its names was invalidated after it was read
	Unknown         // this pod has not heard enough to tell; Redis decides
)

// A Guard tells which entries are outdated.
//
// The invalidations that a pod applies are numbered. A reader notes the number before it touches L2 or the source; what it
// read is born at that number. Each name maps to a stripe that holds the number of the last invalidation which touched it, so
// an entry none of whose stripes is above its number is valid. Stripes are shared by many names: when one moved, the table
// of recent names decides.
//
// The number is stored last. Were it stored before the stripes, or before the table:
//
//	1 apply: number = 6               1 apply: number = 6, stripe = 6
//	2 check: notes 6, stripe is 5     2 check: notes 6, stripe moved, the table knows nothing
//	3 check: valid, verified = 6      3 check: valid, verified = 6
//	4 apply: stripe = 6, not above 6  4 apply: table = tick, and nobody asks it again
//
// and the old value would be valid for ever. For the same reason a check reads the number first.
type Guard struct {
	number  atomic.Uint64 // invalidations applied
	flushed atomic.Uint64 // the number of the last flush; what was born earlier is dead
	heard   atomic.Uint64 // the highest tick read or heard

	stripes [stripeCount]atomic.Uint64
	table   *table

	applying sync.Mutex // one applier at a time: number is read, then stored
	hashes   []uint64   // of the names being applied; guarded by applying

	collisions atomic.Uint64
}

// NewGuard returns a guard that remembers up to tableSize invalidations by name.
func NewGuard(tableSize int) *Guard {
	return &Guard{table: newTable(tableSize)}
}

// Number is the count of invalidations applied so far. Note it before reading L2 or the source.
func (g *Guard) Number() uint64 { return g.number.Load() }

// Heard is the highest tick that this pod has read or heard. Note it before reading the source.
func (g *Guard) Heard() uint64 { return g.heard.Load() }

// Hear counts a tick as heard.
func (g *Guard) Hear(tick uint64) {
	for {
		old := g.heard.Load()
		if tick <= old || g.heard.CompareAndSwap(old, tick) {
			return
		}
	}
}

// Apply outdates every entry that stands on one of names with a tick below tick. When it returns, no check passes for them.
func (g *Guard) Apply(names []string, tick uint64) {
	g.applying.Lock()
	defer g.applying.Unlock()
	g.applyLocked(names, tick)
	g.Hear(tick)
}

// Drop outdates every entry of this pod that stands on one of names, and, in [Guard.Judge], values from elsewhere with ticks up to the highest
// one heard. It is for an invalidation that failed before it had a tick; when it returns, no check passes for what was read before.
//
// No tick is made up for it. Were it the next one after the highest heard:
//
//	1 pod: has heard tick 7; drops a name at 8, and counts 8 as heard
//	2 pod: loads another name, at tick 8, before its change
//	3 another pod: takes tick 8 for that change, broadcasts it
//	4 pod: hears it; its value stands at 8, and stays
func (g *Guard) Drop(names []string) {
	g.applying.Lock()
	defer g.applying.Unlock()
	g.applyLocked(names, g.Heard()|dropped)
}

func (g *Guard) applyLocked(names []string, tick uint64) {
	g.hashes = g.hashes[:0]
	for _, name := range names {
		g.hashes = append(g.hashes, xxhash.Sum64String(name))
	}
	n := g.number.Load() + 1
	g.table.put(g.hashes, tick, n)
	for _, hash := range g.hashes {
		g.stripe(hash).Store(n)
	}
	g.number.Store(n)
}

// Flush outdates every entry born so far. The table keeps what it knows.
func (g *Guard) Flush() {
	g.applying.Lock()
	defer g.applying.Unlock()
	n := g.number.Load() + 1
	g.flushed.Store(n) // before number, as Guard says
	g.number.Store(n)
}

// RaiseFloor says that invalidations up to tick may never have been heard here: of values read before, only Redis knows.
func (g *Guard) RaiseFloor(tick uint64) {
	g.table.raise(tick)
	g.Hear(tick)
}

// Check says whether e is still valid. The common case, nothing invalidated since the last check, is one comparison.
func (g *Guard) Check(e *Entry) Verdict {
	n := g.number.Load() // before the stripes: what is found valid is valid up to n
	v := e.verified.Load()
	if v == n {
		return Valid
	}
	return g.recheck(e, v, n)
}

func (g *Guard) recheck(e *Entry, v, n uint64) Verdict {
	if v < g.flushed.Load() {
		return Dead
	}
	if g.moved(e.Names, v) {
		if verdict := g.table.judgeSince(e.Names, v); verdict != Valid {
			return verdict
		}
		g.collisions.Add(1)
	}
	e.verified.CompareAndSwap(v, n) // not Store: it would bring back an entry that was outdated meanwhile
	return Valid
}

// moved says whether the stripe of any name is above v.
func (g *Guard) moved(names []Name, v uint64) bool {
	for i := range names {
		if g.stripe(names[i].hash).Load() > v {
			return true
		}
	}
	return false
}

// Judge says what this pod knows of a value that stands on names and was read by somebody else.
func (g *Guard) Judge(names []Name) Verdict { return g.table.judge(names) }

// Collisions counts the checks that a stripe sent to the table and the table found valid.
func (g *Guard) Collisions() uint64 { return g.collisions.Load() }

func (g *Guard) stripe(hash uint64) *atomic.Uint64 { return &g.stripes[hash%stripeCount] }
