package local

import "sync"

// DefaultTableSize is how many invalidations a pod remembers: about 18 MB when full.
const DefaultTableSize = 1 << 18

// table remembers the highest tick of each recently invalidated name, by the name's hash. Names that share a hash share the
// higher tick: that may outdate an entry without need, never keep one, and is rarer than a bad memory cell.
//
// It is bounded: each invalidated name takes a place in a ring, and the one that leaves a full ring raises the floor to its
// tick, unless a later invalidation of the same name is still in the ring.
//
// What it still knows is told in two ways. By ticks: every invalidation above the floor. By the guard's numbers: every one
// applied after the number left. The second serves entries of this pod. One that was found valid at a number needs only what was
// applied since, however old its ticks are: without that, all of L1 would be in doubt as soon as as many names as the ring has
// places were invalidated, though it is asked every day.
type table struct {
	mu    sync.RWMutex // guards the fields below
	ticks map[uint64]uint64
	ring  []record
	next  int
	floor uint64
	left  uint64
}

type record struct {
	hash   uint64
	tick   uint64
	number uint64 // of its application
}

func newTable(size int) *table {
	return &table{ticks: make(map[uint64]uint64), ring: make([]record, size)}
}

// put notes an invalidation of each name at tick, applied as number. A tick below that of an earlier application changes nothing:
// whoever is above the earlier one is above this one.
func (t *table) put(hashes []uint64, tick, number uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, hash := range hashes {
		if t.ticks[hash] < tick {
			t.pushLocked(record{hash, tick, number})
		}
	}
}

func (t *table) pushLocked(r record) {
	old := t.ring[t.next]
	if old.tick != 0 && t.ticks[old.hash] == old.tick {
		delete(t.ticks, old.hash)
		t.floor = max(t.floor, old.tick)
		t.left = old.number
	}
	t.ticks[r.hash] = r.tick
	t.ring[t.next] = r
	t.next = (t.next + 1) % len(t.ring)
}

// raise says that invalidations up to tick may be missing. It says nothing of numbers: entries that were valid at one are flushed
// where anything was missed.
func (t *table) raise(tick uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.floor = max(t.floor, tick)
}

// judge says what the table knows of a value that stands on names and comes from elsewhere.
func (t *table) judge(names []Name) Verdict {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.judgeLocked(names, false)
}

// judgeSince says what the table knows of an entry that stands on names and was valid at number.
func (t *table) judgeSince(names []Name, number uint64) Verdict {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.judgeLocked(names, number >= t.left)
}

func (t *table) judgeLocked(names []Name, complete bool) Verdict {
	verdict := Valid
	for i := range names {
		n := &names[i]
		if t.ticks[n.hash] > n.Tick {
			return Dead
		}
		if n.Tick < t.floor && !complete {
			verdict = Unknown
		}
	}
	return verdict
}
