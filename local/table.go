package local

import "sync"

// DefaultTableSize is how many invalidations a pod remembers by name: about 10 MB when full of short names.
const DefaultTableSize = 1 << 16

// table remembers the highest tick of each recently invalidated name. It is complete for every tick above its floor.
//
// It is bounded: each invalidated name takes a place in a ring, and the one that leaves a full ring raises the floor to its
// tick, unless a later invalidation of the same name is still in the ring.
type table struct {
	mu    sync.RWMutex // guards the fields below
	ticks map[string]uint64
	ring  []record
	next  int
	floor uint64
}

type record struct {
	name string
	tick uint64
}

func newTable(size int) *table {
	return &table{ticks: make(map[string]uint64), ring: make([]record, size)}
}

// put notes an invalidation of each name at tick.
func (t *table) put(names []string, tick uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range names {
		if t.ticks[name] < tick {
			t.pushLocked(record{name, tick})
		}
	}
}

func (t *table) pushLocked(r record) {
	old := t.ring[t.next]
	if old.tick != 0 && t.ticks[old.name] == old.tick {
		delete(t.ticks, old.name)
		t.floor = max(t.floor, old.tick)
	}
	t.ticks[r.name] = r.tick
	t.ring[t.next] = r
	t.next = (t.next + 1) % len(t.ring)
}

// raise says that invalidations up to tick may be missing.
func (t *table) raise(tick uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.floor = max(t.floor, tick)
}

// judge says what the table knows of a value that stands on names.
func (t *table) judge(names []Name) Verdict {
	t.mu.RLock()
	defer t.mu.RUnlock()
	verdict := Valid
	for i := range names {
		n := &names[i]
		if t.ticks[n.Text] > n.Tick {
			return Dead
		}
		if n.Tick < t.floor {
			verdict = Unknown
		}
	}
	return verdict
}
