package main

// The world of tier/keeper.go and tier/flight.go: one pod, one key, two callers, invalidations. Ristretto shows a set of a new key
// later, and drops the second of two that it has not shown. Its policy evicts nothing here, and the keeper's queue is not full. A value
// that was loaded since the last invalidation must not be loaded again.

const (
	keeperForgets rule = iota + 1
	keeperNoLook
	keeperUnchecked
	keeperTwoWriters
	keeperNoCatchUp
)

const (
	keeperInvalidations = 2
	keeperDelete        = 9 // a job that is no set
)

type keeperState struct {
	now uint8 // invalidations applied, from 1; a value is valid if it was loaded at this
	// The flight in the table: at which number it began, 0: none, and whether it has finished.
	flight   uint8
	finished bool
	landed   uint8 // the newest value loaded

	jobs    [5]uint8 // of the keeper: values to set, or keeperDelete; 0: none
	stored  uint8    // mask of values set since ristretto caught up
	queued  [2]uint8 // ristretto's sets of new keys
	l1      uint8    // the value that it shows
	caller  [2]bool  // has looked at L1 and found nothing
	applied bool     // an invalidation is, and its delete not asked for
	doomed  bool     // a writer beside the keeper has found a dead entry
	wrong   string
}

func keeperWorld() world {
	return model[keeperState]{
		name: "keeper", about: "flights that end, sets that ristretto shows late or drops, deletes of dead entries",
		start:  keeperState{now: 1},
		next:   keeperNext,
		broken: func(s keeperState) string { return s.wrong },
		mutations: []mutation{
			{keeperForgets, "flight-stays", "a finished flight stays in the table until L1 shows its entry"},
			{keeperNoLook, "second-look", "who starts a flight has looked at L1 under the table's lock"},
			{keeperUnchecked, "delete-dead", "the keeper deletes only an entry that is dead"},
			{keeperTwoWriters, "one-writer", "one goroutine sets and deletes"},
			{keeperNoCatchUp, "catch-up", "a key is set again when ristretto has shown the set before"},
		},
		reaches: []string{
			"caller: finds the finished flight", "caller: finds it in L1 after all",
			"keeper: deletes", "keeper: lets ristretto catch up",
		},
	}.world()
}

func keeperNext(s keeperState, off rule, to func(string, keeperState)) {
	for i := range s.caller {
		keeperCaller(s, off, i, to)
	}
	t := s
	if s.flight != 0 && !s.finished {
		t.finish(off)
		to("flight: has loaded", t)
	}
	if t = s; s.now <= keeperInvalidations && !s.applied {
		t.now++
		t.applied = off != keeperTwoWriters
		to("an invalidation is applied", t)
	}
	if t = s; s.applied { // Cache.apply, after the guard's: a fresh set may be in the queue already
		if t.applied = false; s.l1 != 0 {
			t.offer(keeperDelete)
		}
		to("an invalidation asks for a delete", t)
	}
	if off == keeperTwoWriters {
		keeperOther(s, to)
	}
	if t = s; s.queued[0] != 0 {
		t.show()
		to("ristretto: shows a set", t)
	}
	keeperJobs(s, off, to)
}

// keeperCaller is space.local, then Cache.join.
func keeperCaller(s keeperState, off rule, i int, to func(string, keeperState)) {
	t := s
	t.caller[i] = !s.caller[i]
	switch {
	case !s.caller[i] && s.l1 == s.now:
		return // a hit
	case !s.caller[i]:
		to("caller: finds nothing in L1", t)
	case s.flight != 0 && !s.finished:
		to("caller: joins", t)
	case s.flight == s.now:
		to("caller: finds the finished flight", t)
	case s.l1 == s.now && off != keeperNoLook:
		to("caller: finds it in L1 after all", t)
	default:
		t.flight, t.finished = s.now, false
		if s.landed == s.now {
			t.wrong = "a value was loaded again though nothing was invalidated"
		}
		to("caller: starts a flight", t)
	}
}

// finish is Cache.finish: a flight whose entry is dead leaves the table at once.
func (s *keeperState) finish(off rule) {
	s.landed = max(s.landed, s.flight)
	s.finished = true
	if s.flight != s.now {
		s.flight, s.finished = 0, false
		return
	}
	s.offer(s.flight)
	if off == keeperForgets {
		s.flight, s.finished = 0, false
	}
}

func (s *keeperState) offer(job uint8) {
	for i := range s.jobs {
		if s.jobs[i] == 0 {
			s.jobs[i] = job
			return
		}
	}
	panic("bug: the keeper's queue is full")
}

// show is ristretto's: the set of a key that it has got by now is dropped.
func (s *keeperState) show() {
	if s.l1 == 0 {
		s.l1 = s.queued[0]
	}
	s.queued = [2]uint8{s.queued[1], 0}
}

// keeperJobs is keeper.do and catchUp.
func keeperJobs(s keeperState, off rule, to func(string, keeperState)) {
	t := s
	job := s.jobs[0]
	t.jobs = [5]uint8{s.jobs[1], s.jobs[2], s.jobs[3], s.jobs[4]}
	switch {
	case job == 0:
	case job == keeperDelete:
		if s.l1 != s.now || off == keeperUnchecked {
			t.l1 = 0
		}
		to("keeper: deletes", t)
	case s.queued[1] != 0:
	case s.stored != 0 && off != keeperNoCatchUp: // the key was set since
	default:
		t.stored |= 1 << job
		switch {
		case s.l1 != 0:
			t.l1 = job // ristretto replaces at once
		case s.queued[0] != 0:
			t.queued[1] = job
		default:
			t.queued[0] = job
		}
		to("keeper: sets", t)
	}
	if s.stored != 0 && s.queued[0] == 0 {
		t = s
		if t.stored = 0; s.finished && s.stored&(1<<s.flight) != 0 {
			t.flight, t.finished = 0, false
		}
		to("keeper: lets ristretto catch up", t)
	}
}

// keeperOther deletes beside the keeper: it looks, then deletes.
func keeperOther(s keeperState, to func(string, keeperState)) {
	t := s
	switch t.doomed = !s.doomed; {
	case s.doomed:
		t.l1 = 0
		to("another writer: deletes", t)
	case s.l1 != 0 && s.l1 != s.now:
		to("another writer: finds a dead entry", t)
	}
}
