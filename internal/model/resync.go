package main

// The world of tier/listen.go, tier/l2.go and tier/invalidate.go: a pod that begins, or begins anew because the journal does not
// reach back, or that loses its trust in L1 for a while because it reads no head, beside two changes of one row. The entry stands on a tag, so that L2 keeps it; Redis's table is exact. The pod's own
// table and its number are exact too (see the guard's world).

const (
	resyncFloorEarly rule = iota + 1
	resyncNoFloor
	resyncPublishFirst
	resyncNoFlush
	resyncTrustEarly
	resyncTickLate
	resyncBornLate
	resyncAwayForgotten
	resyncOlderTaken
)

type resyncInval struct{ pc, tick, version uint8 }

type resyncState struct {
	version, counter uint8
	redis            uint8    // the tag's tick in Redis's table
	journal          [2]uint8 // which invalidation, from 1
	head             uint8
	inval            [2]resyncInval

	at              uint8 // handed over
	phase           uint8 // of a resync; resyncDone: none
	to, floorRead   uint8
	lost            bool // the journal was
	trusted         bool
	lapsed          bool // trust has run out once: no head was read for MaxStaleness
	number, flushed uint8
	stripe          uint8
	tick, floor     uint8 // of the tag in the pod's table, and below it
	heard           uint8
	covered         uint8 // the version that the pod has applied or made good
	pending         uint8 // covered, once the resync is over

	flight struct{ pc, born, tick, version, covered, verdict uint8 }
	l1     item
	loaded bool  // L1's entry, by this pod; L2 never has it
	seen   uint8 // the newest version that the pod has loaded and answered
	wrong  string
}

const resyncDone = 5

func resyncWorld() world {
	return model[resyncState]{
		name: "resync", about: "a pod that begins, and begins anew; its floor, its trust; L2 before the broadcast",
		next:   resyncNext,
		broken: resyncBroken,
		mutations: []mutation{
			{resyncFloorEarly, "F-after-head", "the floor is read after the head of the journal from which the pod goes on"},
			{resyncNoFloor, "F", "of values from before its floor a pod knows nothing"},
			{resyncPublishFirst, "L2-before-broadcast", "L2 is outdated before the broadcast"},
			{resyncNoFlush, "flush", "who missed something flushes L1"},
			{resyncTrustEarly, "distrust", "L1 does not answer during a resync, until floor and flush stand"},
			{resyncTickLate, "S-before-read", "a load notes the tick before it reads the source"},
			{resyncBornLate, "number-before-L2", "a flight notes the number before it reads L2"},
			{resyncAwayForgotten, "away-kept", "what is loaded while L1 is not trusted takes the older entry's place"},
			{resyncOlderTaken, "older-in-L2", "what L2 has from before such a load is not taken"},
		},
		reaches: []string{
			"flight: L2 is valid here", "flight: L2 is valid by Redis", "flight: L2 is dead here",
			"flight: L2 is dead by Redis", "the journal is lost",
			"trust runs out", "a head is read again: Fresh", "flight: L2 is older than what the pod has loaded",
		},
	}.world()
}

// resyncBroken looks at what L1 would answer at any time.
func resyncBroken(s resyncState) string {
	switch {
	case s.wrong == "" && s.hits() && s.l1.version < s.covered:
		return "L1 answers with a value from before an invalidation that the pod has applied or made good"
	case s.wrong == "" && s.hits() && s.l1.version < s.seen:
		return "L1 answers with an older value than the pod has loaded"
	}
	return s.wrong
}

// hits is tier.Cache.usable.
func (s resyncState) hits() bool {
	if !s.l1.there || !s.trusted {
		return false
	}
	if s.l1.valid == s.number {
		return true
	}
	return s.l1.valid >= s.flushed && (s.stripe <= s.l1.valid || s.tick <= s.l1.tick)
}

func resyncNext(s resyncState, off rule, to func(string, resyncState)) {
	resyncInvalidate(s, off, 0, "invalidation 1", to)
	resyncInvalidate(s, off, 1, "invalidation 2", to)
	if s.phase < resyncDone {
		resyncPhase(s, off, to)
	} else {
		resyncListen(s, to)
		if s.trusted && !s.lapsed {
			t := s
			t.trusted, t.lapsed = false, true
			to("trust runs out", t)
		}
	}
	resyncFlight(s, off, to)
}

// resyncInvalidate is tier.Cache.invalidateRemote on another pod.
func resyncInvalidate(s resyncState, off rule, i int, who string, to func(string, resyncState)) {
	t := s
	v := &t.inval[i]
	v.pc++
	pc := s.inval[i].pc
	if off == resyncPublishFirst && (pc == 2 || pc == 3) {
		pc = 5 - pc
	}
	switch pc {
	case 0:
		t.version++
		v.version = t.version
		to(who+": the row is changed", t)
	case 1:
		t.counter++
		v.tick = t.counter
		to(who+": takes a tick", t)
	case 2:
		t.redis = max(t.redis, v.tick)
		to(who+": outdates L2", t)
	case 3:
		t.journal[t.head] = uint8(i) + 1
		t.head++
		to(who+": is published", t)
	}
}

// resyncPhase is bus's receiver.resync with tier's listener.Resync and Fresh.
func resyncPhase(s resyncState, off rule, to func(string, resyncState)) {
	t := s
	t.phase++
	phase := s.phase
	if off == resyncFloorEarly && phase <= 1 {
		phase = 1 - phase
	}
	switch phase {
	case 0: // receiver.catchUp has read the head; Resync distrusts
		t.to = s.head
		t.trusted = off == resyncTrustEarly
		for n := range s.head {
			t.pending = max(t.pending, s.inval[s.journal[n]-1].version)
		}
		if off == resyncTrustEarly {
			t.covered = max(t.covered, t.pending)
		}
		to("resync: reads the head, distrusts", t)
	case 1:
		t.floorRead = s.counter
		to("resync: reads the counter", t)
	case 2:
		if off != resyncNoFloor {
			t.floor = s.floorRead
		}
		t.heard = max(s.heard, s.floorRead)
		t.floorRead = 0
		to("resync: raises the floor", t)
	case 3:
		t.number = 2 // a first flush is followed by at most two messages, a second one by none
		if s.lost {
			t.number = 5
		}
		if off != resyncNoFlush {
			t.flushed = t.number
		}
		to("resync: flushes", t)
	case 4:
		t.trusted, t.at, t.to = true, s.to, 0
		t.covered, t.pending = max(s.covered, s.pending), 0
		to("resync: Fresh", t)
	}
}

// resyncListen applies what comes next, or learns that it can't be had.
func resyncListen(s resyncState, to func(string, resyncState)) {
	t := s
	if s.at == s.head {
		t.trusted = true
		to("a head is read again: Fresh", t)
		return
	}
	v := s.inval[s.journal[s.at]-1]
	t.at++
	t.number++
	t.stripe = t.number
	t.tick = max(t.tick, v.tick)
	t.heard = max(t.heard, v.tick)
	t.covered = max(t.covered, v.version)
	to("the pod applies a message", t)
	if !s.lost {
		t = s
		t.lost, t.phase = true, 0
		to("the journal is lost", t)
	}
}

// resyncFlight is tier.Cache.fetch and judge.
func resyncFlight(s resyncState, off rule, to func(string, resyncState)) {
	t := s
	f := &t.flight
	switch s.flight.pc {
	case 0:
		f.pc, f.born, f.covered = 1, s.number, s.covered
		to("flight: notes the number", t)
	case 1:
		f.pc, f.tick, f.version = 3, 0, 0 // L2 has the oldest value
		to("flight: reads L2", t)
		f.pc, f.tick = 2, s.heard
		to("flight: notes the tick", t)
	case 2:
		f.pc, f.version = 5, s.version
		to("flight: reads the source", t)
	case 5:
		if off == resyncTickLate {
			f.tick = s.counter
		}
		t.land(s.number, true, off)
		to("flight: has loaded", t)
	case 3:
		f.pc, f.verdict = 4, s.look(false)
		to("flight: looks at trust", t)
	case 4:
		resyncJudge(s, off, to)
	}
}

// look is one of the two looks of judge: at trust or at the pod's table. 0: not known here, 1: valid, 2: dead.
func (s *resyncState) look(table bool) uint8 {
	switch {
	case !table && s.trusted, table && s.tick <= s.flight.tick && s.flight.tick >= s.floor:
		return 1
	case table && s.tick > s.flight.tick:
		return 2
	}
	return 0
}

func resyncJudge(s resyncState, off rule, to func(string, resyncState)) {
	t := s
	one, two := s.flight.verdict, s.look(true)
	switch {
	case s.l1.there && s.loaded && off != resyncOlderTaken: // tier's space.overtaken: L2 has the oldest value
		t.flight.pc, t.flight.verdict = 1, 0
		to("flight: L2 is older than what the pod has loaded", t)
	case one == 2 || two == 2:
		t.flight.pc, t.flight.verdict = 1, 0
		to("flight: L2 is dead here", t)
	case one == 1 && two == 1:
		t.land(s.number, false, off)
		to("flight: L2 is valid here", t)
	case s.redis > s.flight.tick:
		t.flight.pc, t.flight.verdict = 1, 0
		to("flight: L2 is dead by Redis", t)
	default:
		t.land(s.number, false, off)
		to("flight: L2 is valid by Redis", t)
	}
}

// land returns the entry to who started the flight, and keeps it, trusted or not.
func (s *resyncState) land(number uint8, loaded bool, off rule) {
	f := s.flight
	if f.version < s.seen && !loaded {
		s.wrong = "a flight brings an older value than the pod has loaded"
	}
	if loaded {
		s.seen = max(s.seen, f.version)
	}
	if f.version < f.covered {
		s.wrong = "a flight that began after an invalidation was applied or made good brings the value from before"
	}
	if off == resyncBornLate {
		f.born = number
	}
	if s.trusted || off != resyncAwayForgotten {
		s.l1, s.loaded = item{there: true, version: f.version, tick: f.tick, valid: f.born}, loaded
	}
	s.flight.pc, s.flight.born, s.flight.tick, s.flight.version, s.flight.covered, s.flight.verdict = 0, 0, 0, 0, 0, 0
}
