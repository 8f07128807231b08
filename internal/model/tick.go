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
)

const (
	tickJump = 3 // above tickLag
	tickLag  = 2 // what a failover may lose; it does not lose the jump of the one before
	tickMax  = 16
)

type tickState struct {
	last, replica uint8 // of the counter, 0: none
	moved         bool  // another server than the one stored beside the counter
	clock         uint8
	back          bool // the clock has stepped back once
	heard         [2]uint8
	high          uint8 // the highest read or taken
	failovers     uint8
	flushed       bool
	wrong         string
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
		},
		reaches: []string{"caller 1: takes", "caller 2: reads", "failover", "FLUSHALL", "the counter is evicted"},
	}.world()
}

func tickNext(s tickState, off rule, to func(string, tickState)) {
	for i, who := range []string{"caller 1", "caller 2"} {
		tickCall(s, off, i, who, to)
	}
	t := s
	t.replica = s.last
	to("replication", t)
	if t = s; s.failovers < 2 && s.last <= s.replica+tickLag {
		t.failovers++
		t.last, t.moved = s.replica, true
		to("failover", t)
	}
	if t = s; !s.flushed {
		t.flushed = true
		t.last, t.replica, t.high = 0, 0, 0
		to("FLUSHALL", t)
	}
	if t = s; !s.flushed && s.high+1 < s.clock+tickJump { // ticks were no more than a jump ahead of the clock
		t.flushed = true
		t.last, t.replica = 0, 0
		to("the counter is evicted", t)
	}
	if t = s; s.clock < 4 {
		t.clock++
		to("the clock goes on", t)
	}
	if t = s; s.clock > 1 && !s.back {
		t.back = true
		t.clock--
		to("the clock steps back", t)
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
	last := s.last
	if s.moved || s.last == 0 {
		last = max(last, clock, seen) + jump
		s.moved = false
	}
	switch {
	case take && off == tickTimeAlone:
		last = max(clock, seen) + 1
	case take && off == tickSeenRepeated:
		last = max(last+1, clock, seen)
	case take:
		last = max(last, clock, seen) + 1
	}
	if off != tickReadLow {
		last = max(last, seen)
	}
	s.last = last
	return last
}
