package local

import (
	"math/bits"
	"slices"
	"sync"
)

// DefaultTableSize is how many invalidated names a pod remembers: 6.5 MB.
const DefaultTableSize = 1 << 18

// ways is how many names share a set. With fewer, some sets would be full long before others.
const ways = 16

// table remembers the highest tick of each recently invalidated name, by the name's hash. Names that share a hash share the
// higher tick: that may outdate an entry without need, never keep one, and is rarer than a bad memory cell.
//
// It is bounded: a name has its place in one of the sets, and the name that was invalidated longest ago leaves a full set. What
// the set still knows is told in two ways. By ticks: every invalidation above its floor. By the guard's numbers: every one applied after
// the number left. The second serves entries of this pod. One that was found valid at a number needs only what was applied
// since, however old its ticks are: without that, all of L1 would be in doubt as soon as as many names as the table has places
// were invalidated, though it is read every second.
//
// Numbers say nothing of a value from elsewhere, since it may be older than the number that its reader noted:
//
//	1 apply: name at tick 7, number 3
//	2 the table is full of other names: floor 7, left 3
//	3 reader: notes number 9, gets from L2 a value with tick 5
//	4 by number 9 nothing happened since; by tick 5, below the floor, Redis has to be asked, which knows tick 7
//
// Once it was judged, what happened before its number needs no other look.
type table struct {
	mu    sync.RWMutex // guards the fields below
	sets  []set        // a power of two
	shift int          // what a hash is shifted by to find its set: other bits than those that find a stripe
	floor uint64       // below any set's: ticks up to it may never have been heard
	sum   uint64       // of what put fetches, so that the compiler does not leave it out
}

// A set lies in memory in one piece, so that an applier with thousands of names a batch waits for it once a name.
type set struct {
	hashes  [ways]uint64
	ticks   [ways]uint64
	numbers [ways]uint64 // of their application; 0: the place is free
	floor   uint64
	left    uint64
}

func newTable(size int) *table {
	log := bits.Len(uint(max(size, ways)-1) / ways)
	return &table{sets: make([]set, 1<<log), shift: 64 - log}
}

// fetched is how many sets put reads before it writes to them. The table is larger than the processor's caches. These reads do not
// depend on each other and wait for memory side by side; without them put waits for one set after the other.
const fetched = 64

// put notes an invalidation of each name at tick, applied as number.
func (t *table) put(hashes []uint64, tick, number uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for part := range slices.Chunk(hashes, fetched) {
		for _, hash := range part {
			s := t.setOf(hash)
			t.sum += s.hashes[0] + s.ticks[0] + s.numbers[0] + s.floor
		}
		for _, hash := range part {
			t.setOf(hash).put(hash, tick, number)
		}
	}
}

func (t *table) setOf(hash uint64) *set { return &t.sets[hash>>t.shift] }

// put keeps a name's highest tick. A lower one, of a message that came late, changes nothing: whoever is above the higher tick is
// above this one.
func (s *set) put(hash, tick, number uint64) {
	oldest := 0
	for i := range s.hashes {
		if s.hashes[i] == hash && s.numbers[i] != 0 {
			if s.ticks[i] < tick {
				s.ticks[i], s.numbers[i] = tick, number
			}
			return
		}
		if s.numbers[i] < s.numbers[oldest] {
			oldest = i
		}
	}
	s.floor = max(s.floor, s.ticks[oldest])
	s.left = s.numbers[oldest]
	s.hashes[oldest], s.ticks[oldest], s.numbers[oldest] = hash, tick, number
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
	return t.decide(names, func(*set) bool { return false })
}

// judgeSince says what the table knows of an entry that stands on names and was valid at number.
func (t *table) judgeSince(names []Name, number uint64) Verdict {
	return t.decide(names, func(s *set) bool { return number >= s.left })
}

// decide takes a name without a tick above its own as valid if the set is complete for it or its tick is not below the floor.
func (t *table) decide(names []Name, complete func(*set) bool) Verdict {
	t.mu.RLock()
	defer t.mu.RUnlock()
	verdict := Valid
	for i := range names {
		n := &names[i]
		s := t.setOf(n.hash)
		if s.tick(n.hash) > n.Tick {
			return Dead
		}
		if n.Tick < max(t.floor, s.floor) && !complete(s) {
			verdict = Unknown
		}
	}
	return verdict
}

// tick is the highest one that is known of a name; 0 for none.
func (s *set) tick(hash uint64) uint64 {
	for i := range s.hashes {
		if s.hashes[i] == hash {
			return s.ticks[i] // 0 also where the place is free
		}
	}
	return 0
}
