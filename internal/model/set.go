package main

import "fmt"

// The world of tier/set.go, tier/invalidate.go and the scripts claim and touch: up to three writers of one row on two pods, of which
// some Set the row's entry and others invalidate its key or its tag; a load on pod 2; a bucket of Redis's table that makes room, or
// is lost and made again. A pod judges an entry by the ticks of the messages that it has applied: that numbers and stripes do the
// same is shown by the world guard, and that a bucket is made around an invalidation by the world bucket.
//
// A message names the key, except that of who invalidates the tag.

const (
	setSnapshotLate rule = iota + 1
	setUnclaimed
	setFloorUnclaimed
	setMissingClean
	setOneTick
	setFloorNotBehind
	setMissingNotBehind
	setTouchedOnce
	setPublishesFirst
	setClaimForgotten
	setTagsAtT
	setLoadLate
)

const (
	byNobody uint8 = iota
	bySet
	byKey
	byTag
)

// The steps of a writer. Who Sets and finds somebody else's claim goes on as who invalidates the key, from wTick.
const (
	wSnapshot uint8 = iota
	wWrite
	wTick
	wDelete
	wTouch
	wSecondTick
	wSecondTouch
	wStore
	wPublish
	wApply
	wAcked
)

type setWriter struct {
	kind, pc, version uint8
	s, tick, second   uint8 // the snapshot's tick, the invalidation's
}

// A setValue stands on the row's key and tag, at ticks of their own.
type setValue struct{ there, version, key, tag uint8 }

type setState struct {
	cast             uint8 // who plays
	version, counter uint8
	made             bool // the key's bucket
	floor, key, tag  uint8
	gone             uint8 // how often the bucket was lost, or made room

	writers [3]setWriter
	applied [2]uint8 // by pod, a bit for each writer's message

	l2     setValue
	marker bool // of the load
	load   struct{ pc, s, version uint8 }
	l1     [2]setValue
}

func setWorld() world {
	return model[setState]{
		name: "set", about: "Sets of a key beside invalidations of it, a load, and a bucket of the table that is lost",
		start: setState{counter: 1, made: true, floor: 1},
		next:  setNext, broken: setBroken,
		mutations: []mutation{
			{setSnapshotLate, "snapshot-before-write", "the tick of a Set is from before its write"},
			{setUnclaimed, "claim", "a value is stored only if nobody invalidated its key since the snapshot"},
			{setFloorUnclaimed, "claim-floor", "where the floor is above the snapshot nobody knows"},
			{setMissingClean, "claim-missing", "where the bucket is missing nobody knows"},
			{setOneTick, "second-tick", "who finds the key at a higher tick takes one more: it may be a Set's"},
			{setFloorNotBehind, "behind-floor", "so does who finds the floor above its tick: a Set may have left the bucket"},
			{setMissingNotBehind, "behind-missing", "so does who finds no bucket"},
			{setTouchedOnce, "second-touch", "the table learns the second tick"},
			{setPublishesFirst, "second-published", "the pods learn the second tick"},
			{setClaimForgotten, "claim-is-invalidation", "a Set that stores nothing invalidates anew"},
			{setTagsAtT, "tags-at-S", "what a Set's value stands on besides its key is at the snapshot's tick"},
			{setLoadLate, "S-before-read", "the tick of a load is read before the source"},
		},
		reaches: []string{
			"writer 1: claims, is clean", "writer 1: claims, is not clean", "writer 2: touches, is behind", "writer 1: stores in L2",
			"writer 1: stores in L1", "pod 2: reads a Set's value from L2", "load: fills L2", "load: is refused",
		},
	}.world()
}

// setCasts are who plays together: all at once would be too many states.
var setCasts = []struct {
	writers      [3]uint8
	load, bucket bool
	noL1         bool
}{
	{writers: [3]uint8{bySet, byTag}, load: true},
	{writers: [3]uint8{bySet, byKey}, load: true, bucket: true},
	{writers: [3]uint8{bySet, bySet}, bucket: true},
	{writers: [3]uint8{bySet, byKey, bySet}, noL1: true},
}

// setBroken looks at what each pod would return if it read now.
func setBroken(s setState) string {
	for pod := range s.applied {
		if s.valid(pod, s.l1[pod]) && s.l1[pod].version < s.known(pod) {
			return fmt.Sprintf("pod %d has applied an invalidation, and L1 has a value from before", pod+1)
		}
		if s.valid(pod, s.l2) && s.l2.version < s.known(pod) {
			return fmt.Sprintf("pod %d has applied an invalidation, and takes a value from before from L2", pod+1)
		}
	}
	if s.validInRedis(s.l2) && s.l2.version < s.acked() {
		return "an invalidation is acknowledged, and L2 has a value from before, valid by Redis's table"
	}
	return ""
}

// valid is local.Guard.Check or Judge.
func (s setState) valid(pod int, v setValue) bool {
	key, tag := s.heard(pod)
	return v.there == 1 && key <= v.key && tag <= v.tag
}

// heard is what a pod's table knows.
func (s setState) heard(pod int) (key, tag uint8) {
	for i, w := range s.writers {
		switch {
		case s.applied[pod]&(1<<i) == 0:
		case w.kind == byTag:
			tag = max(tag, w.tick)
		default:
			key = max(key, w.tick)
		}
	}
	return key, tag
}

// validInRedis is remote.Store.Judge.
func (s setState) validInRedis(v setValue) bool {
	return v.there == 1 && s.made && s.floor <= v.key && s.key <= v.key && s.tag <= v.tag
}

// known is the newest version whose invalidation a pod has applied.
func (s setState) known(pod int) (version uint8) {
	for i, w := range s.writers {
		if s.applied[pod]&(1<<i) != 0 {
			version = max(version, w.version)
		}
	}
	return version
}

func (s setState) acked() (version uint8) {
	for _, w := range s.writers {
		if w.pc == wAcked {
			version = max(version, w.version)
		}
	}
	return version
}

func setNext(s setState, off rule, to func(string, setState)) {
	if s.cast == 0 {
		for i, cast := range setCasts {
			t := s
			t.cast = uint8(i) + 1
			for w, kind := range cast.writers {
				t.writers[w].kind = kind
				if kind != bySet {
					t.writers[w].pc = wWrite
				}
			}
			to("the cast is chosen", t)
		}
		return
	}
	cast := setCasts[s.cast-1]
	for i := range s.writers {
		if s.writers[i].kind != byNobody {
			setWrite(s, off, i, to)
		}
	}
	if cast.load {
		setLoad(s, off, to)
	}
	if cast.bucket {
		setBucket(s, to)
	}
	for pod := range s.applied {
		t := s
		for i, w := range s.writers {
			if t = s; w.pc > wPublish && s.applied[pod]&(1<<i) == 0 && i%2 != pod {
				t.applied[pod] |= 1 << i
				to(fmt.Sprintf("pod %d: hears writer %d", pod+1, i+1), t)
			}
		}
	}
	if t := s; !cast.noL1 && (s.valid(1, s.l2) || s.validInRedis(s.l2)) {
		t.l1[1] = s.l2
		step := "pod 2: reads L2"
		if s.l2.key != s.l2.tag {
			step = "pod 2: reads a Set's value from L2"
		}
		to(step, t)
	}
}

// setWrite is tier's invalidateRemote and set.
func setWrite(s setState, off rule, i int, to func(string, setState)) {
	t := s
	w := &t.writers[i]
	w.pc++
	step := ""
	pc := s.writers[i].pc
	if off == setSnapshotLate && w.kind == bySet && pc <= wWrite {
		pc = wWrite - pc
	}
	switch pc {
	case wSnapshot:
		w.s = s.counter
		step = "takes the snapshot"
	case wWrite:
		t.version++
		w.version = t.version
		step = "changes the row"
	case wTick:
		t.counter++
		w.tick = t.counter
		step = "takes a tick"
		if w.kind == byTag {
			w.pc = wTouch
		}
	case wDelete:
		t.l2, t.marker = setValue{}, false
		step = "deletes the key in L2"
	case wTouch:
		step = t.touch(w, off)
	case wSecondTick:
		t.counter++
		w.second = t.counter
		step = "takes a second tick"
	case wSecondTouch:
		if off != setTouchedOnce {
			t.raise(w, w.second)
		}
		if off != setPublishesFirst {
			w.tick = w.second
		}
		w.second, w.pc = 0, wPublish
		step = "touches again"
	case wStore:
		if s.l2.there == 0 && !s.marker {
			t.l2 = w.value(off)
		}
		step = "stores in L2"
	case wPublish:
		step = "publishes"
	case wApply:
		t.applied[i%2] |= 1 << i
		step = "applies its own"
		if w.kind == bySet {
			t.l1[i%2] = w.value(off)
			step = "stores in L1"
		}
	default:
		return
	}
	to(fmt.Sprintf("writer %d: %s", i+1, step), t)
}

// touch is touch.lua of a writer's first tick, or claim.lua.
func (s *setState) touch(w *setWriter, off rule) (step string) {
	key, floor, made := s.key, s.floor, s.made
	s.raise(w, w.tick)
	if w.kind == bySet {
		clean := (made || off == setMissingClean) && (floor <= w.s || off == setFloorUnclaimed) && (key <= w.s || off == setUnclaimed)
		switch {
		case clean:
			w.pc = wStore
			return "claims, is clean"
		case off == setClaimForgotten:
			w.kind, w.pc = byKey, wPublish
		default:
			w.kind, w.pc = byKey, wTick
		}
		return "claims, is not clean"
	}
	latest := w.kind == byTag || (made || off == setMissingNotBehind) && (floor <= w.tick || off == setFloorNotBehind) && key < w.tick
	if latest || off == setOneTick {
		w.pc = wPublish
		return "touches"
	}
	return "touches, is behind"
}

// raise notes a tick in the table.
func (s *setState) raise(w *setWriter, tick uint8) {
	switch {
	case w.kind == byTag:
		s.tag = max(s.tag, tick)
	case s.made:
		s.key = max(s.key, tick)
	}
}

// value is what a Set stores.
func (w *setWriter) value(off rule) setValue {
	v := setValue{1, w.version, w.tick, w.s}
	if off == setTagsAtT {
		v.tag = w.tick
	}
	return v
}

// setLoad is a load on pod 2 that has the lease, if L2 has neither value nor marker.
func setLoad(s setState, off rule, to func(string, setState)) {
	t := s
	l := &t.load
	l.pc++
	switch s.load.pc {
	case 0:
		if s.l2.there == 0 {
			t.marker, l.s = true, s.counter
			to("load: gets the lease", t)
		}
	case 1:
		l.version = s.version
		to("load: reads the source", t)
	case 2:
		if off == setLoadLate {
			l.s = s.counter
		}
		v := setValue{1, l.version, l.s, l.s}
		t.l1[1] = v
		if s.marker {
			t.l2, t.marker = v, false
			to("load: fills L2", t)
			return
		}
		to("load: is refused", t)
	}
}

// setBucket plays the key's bucket: it is lost and made again, or the key has to make room.
func setBucket(s setState, to func(string, setState)) {
	t := s
	switch {
	case !s.made:
		t.made, t.floor = true, s.counter
		to("the bucket is made", t)
	case s.gone == 0:
		t.gone++
		t.made, t.floor, t.key = false, 0, 0
		to("the bucket is lost", t)
		t.made, t.floor = true, max(s.floor, s.key)
		if s.key != 0 {
			to("the key makes room, the floor rises", t)
		}
	}
}
