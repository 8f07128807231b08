package main

import "fmt"

// The world of remote/lua/tick.lua: the counter, its replica, the clock, two callers. A tick taken has to be above all that anybody
// read or took before: an entry with such an S may stand on the name that is invalidated. FLUSHALL takes the entries too, and flushes
// every L1 by the lost head of the journal: only what is read after it counts then.

const (
	tickNoJump rule = iota + 1
	tickNoSeen
	tickNoTime
	tickTimeAlone
	tickReadPlain
	tickReadLow
	tickSeenRepeated
	tickStands
)

const (
	tickJump = 3 // above tickLag
	tickLag  = 2 // what a failover may lose, where the clocks differ by more than the time since the one before
	tickMax  = 16
)

// A tickCounter is what Redis stores.
type tickCounter struct {
	last  uint8 // 0: no counter
	ahead uint8 // of the clock
	reign uint8 // in which it was last written
}

type tickState struct {
	tickCounter
	replica tickCounter
	now     uint8 // the reign
	clock   uint8
	back    bool // the clock has stepped back once
	heard   [2]uint8
	high    uint8 // the highest read or taken
	flushed bool
	outran  bool // more ticks were taken than the clock has counted
	wrong   string
}

func tickWorld() world {
	return model[tickState]{
		name: "tick", about: "the counter through failovers, FLUSHALL and a clock that steps back",
		start:  tickState{clock: 1},
		next:   tickNext,
		broken: func(s tickState) string { return s.wrong },
		mutations: []mutation{
			{tickNoJump, "jump", "the counter jumps on another server by more than a failover loses"},
			{tickNoSeen, "seen", "a tick is above what its caller has seen"},
			{tickNoTime, "time", "a counter that was lost begins at the time"},
			{tickTimeAlone, "last", "a tick is above the last: the clock repeats itself"},
			{tickReadPlain, "read-by-script", "also who reads the counter makes it jump"},
			{tickReadLow, "read-raises", "a read raises the counter to what the caller has seen"},
			{tickSeenRepeated, "above-seen", "a tick is above what was seen, not equal to it"},
			{tickStands, "ahead", "each reign begins further ahead of the clock than the one before: a jump may be lost"},
		},
		reaches: []string{"caller 1: takes", "caller 2: reads", "failover", "failover that loses the jump of the one before", "FLUSHALL", "the counter is evicted"},
	}.world()
}

func tickNext(s tickState, off rule, to func(string, tickState)) {
	for i, who := range []string{"caller 1", "caller 2"} {
		tickCall(s, off, i, who, to)
	}
	t := s
	t.replica = s.tickCounter
	to("replication", t)
	if t = s; s.now < 2 && s.last <= s.replica.last+tickLag {
		t.failOver()
		to("failover", t)
	}
	if t = s; s.now < 2 && !s.back && !s.outran {
		t.failOver()
		t.clock, t.back = s.clock+1, true
		to("failover that loses the jump of the one before", t)
	}
	if t = s; !s.flushed {
		t.flushed = true
		t.tickCounter, t.replica, t.high = tickCounter{}, tickCounter{}, 0
		to("FLUSHALL", t)
	}
	if t = s; !s.flushed && s.high < s.clock+tickJump { // ticks were less than a jump ahead of the clock
		t.flushed, t.now = true, 2 // and there is no further failover
		t.tickCounter, t.replica = tickCounter{}, tickCounter{}
		to("the counter is evicted", t)
	}
	if t = s; s.clock < 3 {
		t.clock++
		to("the clock goes on", t)
	}
	if t = s; s.clock > 1 && !s.back {
		t.back = true
		t.clock--
		to("the clock steps back", t)
	}
}

// failOver goes on with what the replica has. One without a counter has nothing else either.
func (s *tickState) failOver() {
	s.now++
	if s.tickCounter = s.replica; s.last == 0 {
		s.high = 0
	}
}

func tickCall(s tickState, off rule, i int, who string, to func(string, tickState)) {
	for _, take := range []bool{false, true} {
		t := s
		answer := t.count(off, take, s.heard[i])
		if t.last > tickMax {
			continue // the world's end
		}
		t.heard[i] = max(t.heard[i], answer)
		step := who + ": reads"
		if take {
			step = who + ": takes"
			if answer <= s.heard[i] {
				t.wrong = fmt.Sprintf("took %d, and had %d before", answer, s.heard[i])
			}
			if answer <= s.high {
				t.wrong = fmt.Sprintf("took %d after somebody had %d", answer, s.high)
			}
		} else if answer < s.high {
			t.wrong = fmt.Sprintf("read %d as the last after somebody had %d", answer, s.high)
		}
		t.high = max(t.high, t.heard[i])
		t.outran = t.outran || t.last > t.clock+t.ahead
		to(step, t)
	}
}

// count is tick.lua.
func (s *tickState) count(off rule, take bool, seen uint8) uint8 {
	clock, jump := s.clock, uint8(tickJump)
	switch {
	case off == tickNoSeen:
		seen = 0
	case off == tickNoTime:
		clock = 0
	case off == tickNoJump:
		jump = 0
	case off == tickReadPlain && !take:
		return s.last
	}
	switch {
	case s.last == 0:
		s.ahead = max(jump, less(seen, clock))
		s.last, s.reign = clock+s.ahead, s.now
	case s.reign != s.now:
		if off == tickStands {
			s.ahead = 0
		}
		s.ahead = max(s.ahead, less(s.last, clock)) + jump
		s.last, s.reign = max(clock+s.ahead, seen), s.now
	}
	switch {
	case take && off == tickTimeAlone:
		s.last = max(clock, seen) + 1
	case take && off == tickSeenRepeated:
		s.last = max(s.last+1, clock, seen)
	case take:
		s.last = max(s.last, clock, seen) + 1
	}
	if off != tickReadLow {
		s.last = max(s.last, seen)
	}
	return s.last
}

// less is a-b, or 0 where b is more.
func less(a, b uint8) uint8 { return a - min(a, b) }
