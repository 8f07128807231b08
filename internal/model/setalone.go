package main

// The world of tier/set.go without Redis: one pod, a Set, who invalidates the key or, by a tag, more, and a load. The ticks are the
// pod's own. A Set looks at what the pod's table knows and applies its tick under the lock under which all ticks are taken.

const (
	aloneSnapshotLate rule = iota + 1
	aloneUnclaimed
	aloneOutOfOrder
	aloneTagsAtT
)

type aloneState struct {
	version, counter uint8
	key, tag         uint8 // in the pod's table
	applied          uint8 // the newest version whose invalidation is
	byTag            bool  // the other writer invalidates the tag, not the key

	set struct {
		pc, version, s, tick uint8
		clean                bool
	}
	other struct{ pc, version, tick uint8 }
	load  struct{ pc, version, s uint8 }
	l1    setValue
}

func setAloneWorld() world {
	return model[aloneState]{
		name: "set-alone", about: "Set in a pod without Redis, beside another writer and a load",
		next: aloneNext,
		broken: func(s aloneState) string {
			if s.l1.there == 1 && s.key <= s.l1.key && s.tag <= s.l1.tag && s.l1.version < s.applied {
				return "an invalidation was applied, and L1 has a value from before"
			}
			return ""
		},
		mutations: []mutation{
			{aloneSnapshotLate, "snapshot-before-write", "the tick of a Set is from before its write"},
			{aloneUnclaimed, "claim", "a value is stored only if nothing that it stands on was invalidated since the snapshot"},
			{aloneOutOfOrder, "in-order", "ticks are applied in the order in which they were taken"},
			{aloneTagsAtT, "tags-at-S", "what a Set's value stands on besides its key is at the snapshot's tick"},
		},
		reaches: []string{"set: stores", "set: is not clean", "load: stores"},
	}.world()
}

func aloneNext(s aloneState, off rule, to func(string, aloneState)) {
	aloneSet(s, off, to)
	aloneOther(s, off, to)
	t := s
	t.load.pc++
	switch s.load.pc {
	case 0:
		t.load.s = s.heard()
		to("load: notes the tick", t)
	case 1:
		t.load.version = s.version
		to("load: reads the source", t)
	case 2:
		t.l1 = setValue{1, s.load.version, s.load.s, s.load.s}
		to("load: stores", t)
	}
}

// heard is local.Guard.Heard: the highest tick applied.
func (s aloneState) heard() uint8 { return max(s.key, s.tag) }

func aloneSet(s aloneState, off rule, to func(string, aloneState)) {
	t := s
	w := &t.set
	w.pc++
	pc := s.set.pc
	if off == aloneSnapshotLate && pc < 2 {
		pc = 1 - pc
	}
	switch pc {
	case 0:
		w.s = s.heard()
		to("set: takes the snapshot", t)
	case 1:
		t.version++
		w.version = t.version
		to("set: changes the row", t)
	case 2: // under the lock
		w.clean = s.key <= w.s || off == aloneUnclaimed
		t.counter++
		w.tick = t.counter
		t.key = max(t.key, w.tick)
		t.applied = max(t.applied, w.version)
		step := "set: takes and applies a tick"
		if !w.clean {
			w.pc, step = 4, "set: is not clean"
		}
		to(step, t)
	case 3:
		t.l1 = setValue{1, w.version, w.tick, w.s}
		if off == aloneTagsAtT {
			t.l1.tag = w.tick
		}
		to("set: stores", t)
	}
}

func aloneOther(s aloneState, off rule, to func(string, aloneState)) {
	t := s
	w := &t.other
	w.pc++
	switch s.other.pc {
	case 0:
		t.version++
		w.version = t.version
		to("other: changes the row", t)
		t.byTag = true
		to("other: changes the row", t)
	case 1: // under the lock, with the next step
		t.counter++
		w.tick = t.counter
		if off != aloneOutOfOrder {
			t.applyOther()
		}
		to("other: takes a tick", t)
	case 2:
		t.applyOther()
		to("other: applies it", t)
	}
}

func (s *aloneState) applyOther() {
	if s.byTag {
		s.tag = max(s.tag, s.other.tick)
	} else {
		s.key = max(s.key, s.other.tick)
	}
	s.applied = max(s.applied, s.other.version)
}
