package main

// The world of local/guard.go and local/table.go: one pod, one entry that stands on name A. Names A and B have stripes of their
// own and share a set of the table that has room for one of them. One applier invalidates A, another B.

const (
	guardNumberFirst rule = iota + 1
	guardNumberBeforeTable
	guardNoLock
	guardNumberLate
	guardBornLate
	guardTickLate
	guardNoRecheck
	guardDelAlone
	guardByNumber
	guardAllKnown
	guardStripeAlone
)

// An item is a value with what its entry remembers.
type item struct {
	there   bool
	version uint8 // of the row
	tick    uint8 // S
	valid   uint8 // local.Entry.verified
}

// A guardSet is a set of local/table.go with one way.
type guardSet struct{ name, tick, number, floor, left uint8 }

type guardApplier struct{ pc, n, tick, version uint8 }

type guardState struct {
	version, counter uint8 // of the row, and the last tick given out
	redis            uint8 // A's tick in Redis's table
	acked            uint8 // the version whose Apply returned

	applier       [2]guardApplier // of A, of B
	locked        bool
	number, heard uint8
	stripe        [2]uint8
	set           guardSet

	flight struct{ pc, born, tick, version uint8 }
	queued item // set in ristretto, which shows it later
	l1     item

	check struct { // local.Guard.Check under way, of an entry found in L1
		pc, n, v, acked uint8
		e               item
		gone            bool // L1 has another by now
	}
	joiner struct {
		pc, arrived, acked uint8
		e                  item
	}
	joins bool // there is a joiner and no L1; else a check and no joiner
	wrong string
}

func guardWorld() world {
	return model[guardState]{
		name: "guard", about: "numbers, stripes and table of a pod; two appliers, a check, sets that show late",
		start:  guardState{l1: item{there: true}},
		next:   guardNext,
		broken: func(s guardState) string { return s.wrong },
		mutations: []mutation{
			{guardNumberFirst, "number-last", "an applier stores the number after table and stripes"},
			{guardNumberBeforeTable, "table-first", "an applier stores the number after the table"},
			{guardNoLock, "one-applier", "one invalidation is applied at a time"},
			{guardNumberLate, "number-read-first", "a check is good up to the number that it read first"},
			{guardBornLate, "born-before-read", "a load notes the number before it reads the source"},
			{guardTickLate, "S-before-read", "a load notes the tick before it reads the source"},
			{guardDelAlone, "stripes", "an entry is judged when it is read: a delete misses what ristretto shows later"},
			{guardByNumber, "L2-by-tick", "a value from L2 is judged by ticks: it may be older than the number"},
			{guardAllKnown, "left", "where a name has left the table since the entry was checked, the table knows nothing"},
			{guardStripeAlone, "exact-table", "where a stripe moved the table decides: an entry read after the change stays"},
		},
		reaches: []string{"check: stripe moved", "check: valid by the table", "check: nothing moved", "flight: L2 is valid"},
	}.world()
}

func joinerWorld() world {
	return model[guardState]{
		name: "joiner", about: "the same pod; a caller joins the flight of another",
		start:  guardState{joins: true},
		next:   guardNext,
		broken: func(s guardState) string { return s.wrong },
		mutations: []mutation{
			{guardNoRecheck, "joiner", "who joined a flight judges what it brings"},
			{guardBornLate, "born-before-read", "a load notes the number before it reads the source"},
			{guardTickLate, "S-before-read", "a load notes the tick before it reads the source"},
			{guardByNumber, "L2-by-tick", "a value from L2 is judged by ticks: it may be older than the number"},
		},
		reaches: []string{"joiner: returns", "joiner: goes round", "flight: L2 is valid"},
	}.world()
}

func guardNext(s guardState, off rule, to func(string, guardState)) {
	guardApply(s, off, 0, "invalidate A", to)
	guardApply(s, off, 1, "invalidate B", to)
	guardFlight(s, off, to)
	if s.joins {
		guardJoin(s, off, to)
		return
	}
	guardCheck(s, off, to)
	if s.queued.there {
		t := s
		t.show(s.queued)
		t.queued = item{}
		to("ristretto: shows the set", t)
	}
}

// show puts an entry into L1, or takes the one there away.
func (s *guardState) show(e item) {
	s.l1 = e
	s.check.gone = s.check.pc != 0
}

// guardApply is tier.Cache.invalidateOnce: the source was changed, tick and L2, then local.Guard.Apply and the keeper's delete.
func guardApply(s guardState, off rule, i int, who string, to func(string, guardState)) {
	t := s
	a := &t.applier[i]
	a.pc++
	step := ""
	switch s.applier[i].pc {
	case 0:
		if i == 0 {
			t.version++
			a.version = t.version
		} else { // of B only the tick matters
			a.pc, t.counter = 2, t.counter+1
			a.tick = t.counter
		}
		step = ": the row is changed"
	case 1:
		t.counter++
		a.tick = t.counter
		if i == 0 {
			t.redis = a.tick
		}
		step = ": takes a tick, outdates L2"
	case 2:
		if s.locked && off != guardNoLock {
			return
		}
		t.locked = true
		a.n = t.number + 1
		step = ": locks, reads the number"
	case 3, 4, 5:
		step = guardStore(&t, a, i, guardOrder(off)[s.applier[i].pc-3])
	case 6:
		t.heard = max(t.heard, a.tick)
		t.locked = false
		t.acked = max(t.acked, a.version)
		if off == guardDelAlone {
			t.show(item{})
		}
		step = ": hears the tick, unlocks, is acknowledged"
	case 7:
		if i != 0 || !s.l1.there || s.l1.version >= a.version {
			return
		}
		t.show(item{})
		step = ": deletes from L1"
	default:
		return
	}
	to(who+step, t)
}

func guardOrder(off rule) string {
	switch off {
	case guardNumberFirst:
		return "nts"
	case guardNumberBeforeTable:
		return "snt"
	}
	return "tsn"
}

func guardStore(t *guardState, a *guardApplier, i int, what byte) string {
	switch what {
	case 't':
		t.set.put(uint8(i)+1, a.tick, a.n)
		return ": stores the table"
	case 's':
		t.stripe[i] = a.n
		return ": stores the stripe"
	}
	t.number = a.n
	return ": stores the number"
}

// put is set.put of local/table.go.
func (set *guardSet) put(name, tick, number uint8) {
	if set.name == name {
		if set.tick < tick {
			set.tick, set.number = tick, number
		}
		return
	}
	set.floor, set.left = max(set.floor, set.tick), set.number
	set.name, set.tick, set.number = name, tick, number
}

// judge is table.decide for an entry that stands on A. since is the number up to which it was valid, or none for a value of elsewhere.
func (set guardSet) judge(tick, since uint8, byNumber bool) (dead, unknown bool) {
	if set.name == 1 && set.tick > tick {
		return true, false
	}
	return false, tick < set.floor && (!byNumber || since < set.left)
}

// guardFlight is tier.Cache.fetch: the number, then L2, or the tick and then the source. L2 holds the oldest value.
func guardFlight(s guardState, off rule, to func(string, guardState)) {
	t := s
	f := &t.flight
	switch s.flight.pc {
	case 0:
		if s.queued.there {
			return // the keeper lets ristretto catch up first
		}
		f.pc, f.born = 1, s.number
		to("flight: notes the number", t)
	case 1:
		f.pc = 4
		f.version, f.tick = 0, 0
		to("flight: reads L2", t)
		f.pc, f.tick = 2, s.heard
		to("flight: notes the tick", t)
		t.heard = max(s.heard, s.counter)
		f.tick = t.heard
		to("flight: hears the tick with its lease", t)
	case 2:
		f.pc, f.version = 3, s.version
		to("flight: reads the source", t)
	case 3:
		if off == guardBornLate {
			f.born = s.number
		}
		if off == guardTickLate {
			f.tick = max(s.heard, s.counter)
		}
		t.land()
		to("flight: lands with the source's value", t)
	default:
		guardAdmit(s, off, to)
	}
}

// guardAdmit is tier.Cache.judge of a value from L2.
func guardAdmit(s guardState, off rule, to func(string, guardState)) {
	t := s
	if s.flight.pc == 5 {
		if s.redis > s.flight.tick {
			t.flight.pc = 1
			to("flight: L2 is dead by Redis", t)
			return
		}
		t.land()
		to("flight: L2 is valid by Redis", t)
		return
	}
	dead, unknown := s.set.judge(s.flight.tick, s.flight.born, off == guardByNumber)
	switch {
	case dead:
		t.flight.pc = 1
		to("flight: L2 is dead", t)
	case unknown:
		t.flight.pc = 5
		to("flight: L2 is for Redis to judge", t)
	default:
		t.land()
		to("flight: L2 is valid", t)
	}
}

// land hands the flight's entry to the joiner or, for the check, to the keeper.
func (s *guardState) land() {
	f := s.flight
	e := item{there: true, version: f.version, tick: f.tick, valid: f.born}
	if !s.joins {
		s.queued = e
	} else if s.joiner.pc == 1 {
		s.joiner.pc, s.joiner.e = 2, e
	}
	s.flight.pc, s.flight.born, s.flight.tick, s.flight.version = 0, 0, 0, 0
}

// guardCheck is local.Guard.Check, one load of an atomic after the other, on the entry that L1 holds.
func guardCheck(s guardState, off rule, to func(string, guardState)) {
	t := s
	c := &t.check
	switch s.check.pc {
	case 0:
		if s.l1.there {
			c.pc, c.n, c.acked, c.e = 1, s.number, s.acked, s.l1
			to("check: begins, reads the number", t)
		}
	case 1:
		c.v = s.verified()
		switch {
		case c.v == s.check.n, off == guardDelAlone:
			t.answer()
			to("check: nothing moved", t)
		case s.stripe[0] > c.v:
			c.pc = 2
			to("check: stripe moved", t)
		default:
			c.pc = 3
			to("check: stripe stands", t)
		}
	case 2:
		dead, unknown := s.set.judge(s.check.e.tick, s.check.v, true)
		unknown = unknown && off != guardAllKnown
		dead = dead || off == guardStripeAlone
		if dead && s.check.e.tick >= s.redis {
			t.wrong = "an entry above its name's tick was taken for dead"
		}
		c.pc = 3
		step := "check: valid by the table"
		if dead || unknown {
			t.check = guardState{}.check
			step = "check: not valid by the table"
		}
		to(step, t)
	case 3:
		verified := s.check.n
		if off == guardNumberLate {
			verified = s.number
		}
		if !s.check.gone {
			t.l1.valid = verified
		}
		t.answer()
		to("check: stores the number, valid", t)
	}
}

// verified is the field of the entry that is checked, which L1 shares as long as it holds it.
func (s *guardState) verified() uint8 {
	if s.check.gone {
		return s.check.e.valid
	}
	return s.l1.valid
}

// answer ends the check: the value is returned.
func (s *guardState) answer() {
	if s.check.e.version < s.check.acked {
		s.wrong = "a read that began after Apply had returned got the value from before"
	}
	s.check = guardState{}.check
}

// guardJoin is tier's space.read of a caller that joins a flight.
func guardJoin(s guardState, off rule, to func(string, guardState)) {
	t := s
	j := &t.joiner
	switch s.joiner.pc {
	case 0:
		if s.flight.pc != 0 {
			j.pc, j.arrived, j.acked = 1, s.number, s.acked
			to("joiner: joins", t)
		}
	case 2:
		e := s.joiner.e
		moved := e.valid < s.joiner.arrived && s.stripe[0] > e.valid
		dead, unknown := s.set.judge(e.tick, e.valid, true)
		t.joiner = guardState{}.joiner
		if moved && (dead || unknown) && off != guardNoRecheck {
			to("joiner: goes round", t)
			return
		}
		if e.version < s.joiner.acked {
			t.wrong = "a joiner that came after Apply had returned got the value from before"
		}
		to("joiner: returns", t)
	}
}
