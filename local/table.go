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
//
// A name that the pod dropped by itself, because Redis gave no tick for its invalidation, stands in the table with the highest tick heard until
// then and the mark dropped. A value from elsewhere is in doubt unless it is above that tick. An entry of this pod that was found valid at
// a later number has passed that look, or was read from the source afterwards: it may stand at the tick itself.
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

// dropped marks the tick of a name that has none of its own. Ticks are far below.
const dropped = 1 << 63

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
			if s.ticks[i]&^dropped < tick&^dropped || tick&dropped != 0 {
				s.ticks[i], s.numbers[i] = tick, number
			}
			return
		}
		if s.numbers[i] < s.numbers[oldest] {
			oldest = i
		}
	}
	s.floor = max(s.floor, s.ticks[oldest]&^dropped+s.ticks[oldest]>>63) // what stands at the tick of a dropped name is in doubt as well
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
	return t.decide(names, 0, func(*set) bool { return false })
}

// judgeSince says what the table knows of an entry that stands on names and was valid at number.
func (t *table) judgeSince(names []Name, number uint64) Verdict {
	return t.decide(names, number, func(s *set) bool { return number >= s.left })
}

// decide takes a name without a tick above its own as valid if the set is complete for it or its tick is not below the floor. number is one
// at which the entry was valid; 0: none.
func (t *table) decide(names []Name, number uint64, complete func(*set) bool) Verdict {
	t.mu.RLock()
	defer t.mu.RUnlock()
	verdict := Valid
	for i := range names {
		n := &names[i]
		s := t.setOf(n.hash)
		if s.outdates(n, number) {
			return Dead
		}
		if n.Tick < max(t.floor, s.floor) && !complete(s) {
			verdict = Unknown
		}
	}
	return verdict
}

// outdates reports whether an invalidation of a name is known that an entry which was valid at number does not reflect.
func (s *set) outdates(n *Name, number uint64) bool {
	for i := range s.hashes {
		if s.hashes[i] != n.hash {
			continue
		}
		if tick := s.ticks[i]; tick&dropped == 0 {
			return tick > n.Tick // 0 also where the place is free
		} else if number < s.numbers[i] {
			return tick&^dropped >= n.Tick
		}
		return false
	}
	return false
}

// tick is the highest one that is known of a name; 0 for none.
func (s *set) tick(hash uint64) uint64 {
	for i := range s.hashes {
		if s.hashes[i] == hash {
			return s.ticks[i] &^ dropped
		}
	}
	return 0
}
