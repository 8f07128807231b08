package main

// The world of nested reads (DESIGN section 4, "Dependencies through nesting"): a pod loads an outer entry, whose loader Gets an
// inner one from L1, L2 or its source. The inner stands on a row's tag and on its own key, and has a life. The outer's loader reads
// nothing else. The pod hears ticks with its leases, before it hears the broadcast.

const (
	nestOuterTick rule = iota + 1
	nestNoTags
	nestNoKey
	nestOuterLife
	nestStale
)

const nestLife = 2

// A nestEntry stands on two names: the row's tag, at ticks of their own.
type nestEntry struct {
	there    bool
	version  uint8
	tag, key uint8 // S for the tag and for the inner's key; nestFree: does not stand on it
	expires  uint8
}

const nestFree = 9

type nestState struct {
	version, counter uint8
	now              uint8
	changed          uint8 // when the row was changed silently, plus 1: only a TTL ends what stands on it
	inval            struct{ pc, tick, version uint8 }
	byKey            bool  // the invalidation names the inner's key, not the tag
	heard, applied   uint8 // by the pod: ticks, and the tick of the broadcast
	acked            uint8

	inner, outer nestEntry
	load         struct {
		pc, tick uint8
		got      nestEntry
	}
	wrong string
}

func nestingWorld() world {
	return model[nestState]{
		name: "nesting", about: "an outer entry that is made from an inner one",
		next: nestNext, broken: nestBroken,
		mutations: []mutation{
			{nestOuterTick, "inner-S", "an inner entry hands over its names with its own S"},
			{nestNoTags, "names", "an inner entry hands over what it depends on"},
			{nestNoKey, "inner-key", "an inner entry hands over its own key"},
			{nestOuterLife, "life", "an outer entry lives no longer than the inner"},
			{nestStale, "stale", "what was loaded from a stale value is not stored as fresh"},
		},
		reaches: []string{"outer: gets the inner from the cache", "outer: the inner is loaded", "outer: is stored", "the broadcast arrives"},
	}.world()
}

// valid is local.Guard.Judge, with the life.
func (s nestState) valid(e nestEntry) bool {
	name := e.tag
	if s.byKey {
		name = e.key
	}
	return e.there && s.now < e.expires && s.applied <= name
}

func nestBroken(s nestState) string {
	if s.wrong == "" && s.valid(s.outer) {
		if s.outer.version < s.acked {
			return "the pod has applied an invalidation, and the outer entry was made from before"
		}
		if s.changed != 0 && s.outer.version == 0 && s.now >= s.changed-1+nestLife {
			return "a value lives longer than its TTL after the row was changed"
		}
	}
	return s.wrong
}

func nestNext(s nestState, off rule, to func(string, nestState)) {
	nestChange(s, to)
	nestLoad(s, off, to)
	t := s
	if s.now < 4 {
		t.now++
		to("time goes on", t)
	}
	if t = s; s.load.pc == 0 && !s.inner.there {
		t.heard = max(s.heard, s.counter)
		t.inner = s.fresh(t.heard)
		to("the inner is loaded", t)
	}
}

// fresh is an inner entry loaded at a tick.
func (s nestState) fresh(tick uint8) nestEntry {
	return nestEntry{there: true, version: s.version, tag: tick, key: tick, expires: s.now + nestLife}
}

func nestChange(s nestState, to func(string, nestState)) {
	t := s
	v := &t.inval
	switch s.inval.pc {
	case 0:
		t.version++
		v.pc, v.version = 1, t.version
		to("the row is changed", t)
		t.byKey = true
		to("the row is changed, the key is to be invalidated", t)
		t = s
		t.version++
		t.inval.pc, t.changed = 4, s.now+1
		to("the row is changed, and no feed tells", t)
	case 1:
		t.counter++
		v.pc, v.tick = 2, t.counter
		to("invalidation: takes a tick", t)
	case 2:
		v.pc = 3
		t.applied, t.heard, t.acked = v.tick, max(s.heard, v.tick), v.version
		to("the broadcast arrives", t)
	}
}

// nestLoad is the load of the outer entry.
func nestLoad(s nestState, off rule, to func(string, nestState)) {
	t := s
	l := &t.load
	switch s.load.pc {
	case 0:
		l.pc, l.tick = 1, max(s.heard, s.counter) // with its lease
		t.heard = l.tick
		to("outer: notes the tick", t)
	case 1:
		l.pc = 2
		if s.valid(s.inner) {
			l.got = s.inner
			to("outer: gets the inner from the cache", t)
			return
		}
		if s.inner.there { // a refresh runs elsewhere, or Redis is down
			l.got = s.inner
			l.got.expires = s.now // stale
			if off == nestStale {
				l.got.expires, l.got.tag, l.got.key = s.now+nestLife, s.heard, s.heard
			}
			to("outer: gets a stale inner", t)
		}
		t.heard = max(s.heard, s.counter)
		l.got = t.fresh(t.heard)
		t.inner = l.got
		to("outer: the inner is loaded", t)
	case 2:
		nestStore(s, off, to)
	}
}

func nestStore(s nestState, off rule, to func(string, nestState)) {
	t := s
	e := s.load.got
	switch off {
	case nestOuterTick:
		e.tag, e.key = s.load.tick, s.load.tick
	case nestNoTags:
		e.tag = nestFree
	case nestNoKey:
		e.key = nestFree
	case nestOuterLife:
		e.expires = s.now + nestLife
	}
	t.outer = e
	t.load.pc, t.load.tick, t.load.got = 0, 0, nestEntry{}
	if s.now >= e.expires {
		t.outer = nestEntry{}
		to("outer: is not stored", t)
		return
	}
	to("outer: is stored", t)
}
