package main

// The world of remote/table.go: one bucket of Redis's table with room for one name, invalidations of A and B, two makers of the bucket,
// evictions, a load. The entry stands on tag A, so that nobody deletes it: the bucket alone tells that it is dead.

const (
	bucketMissingValid rule = iota + 1
	bucketNonceIgnored
	bucketNonceKept
	bucketNonceShared
	bucketReadFirst
	bucketFloorStays
	bucketMadeByTouch
	bucketTickLate
	bucketFloorIgnored
)

const (
	bucketMissing uint8 = iota
	bucketNonce
	bucketMade
)

type bucket struct{ kind, nonce, floor, name, tick uint8 }

type bucketState struct {
	bucket           bucket
	version, counter uint8
	acked            uint8
	inval            [2]struct{ pc, tick, version uint8 } // of A, of B
	maker            [2]struct{ pc, floor uint8 }
	load             struct{ pc, tick, version uint8 }
	value            leaseKey
	evicted          uint8
	wrong            string
}

func bucketWorld() world {
	return model[bucketState]{
		name: "bucket", about: "a bucket of Redis's table that overflows, is evicted and made again by two pods simultaneously",
		start:  bucketState{bucket: bucket{kind: bucketMade, floor: 1}, counter: 1},
		next:   bucketNext,
		broken: func(s bucketState) string { return s.wrong },
		mutations: []mutation{
			{bucketMissingValid, "missing-is-dead", "what asks a bucket without a floor is dead"},
			{bucketNonceIgnored, "nonce", "a floor is set only if the maker's nonce stands"},
			{bucketNonceKept, "nonce-deleted", "an invalidation deletes the nonce of a bucket that is being made"},
			{bucketNonceShared, "nonce-random", "two makers have nonces of their own"},
			{bucketReadFirst, "nonce-first", "a maker reads the counter after it wrote the nonce"},
			{bucketFloorStays, "floor-rises", "when a name leaves a full bucket the floor rises to its tick"},
			{bucketMadeByTouch, "touch-makes-none", "an invalidation stores nothing in a bucket without a floor"},
			{bucketTickLate, "S-before-read", "the tick of a load is read before the source"},
			{bucketFloorIgnored, "floor", "a value below the floor is dead"},
		},
		reaches: []string{"a read hits", "maker 1: sets the floor", "maker 2: finds its nonce gone", "B: makes room, the floor rises"},
	}.world()
}

func bucketNext(s bucketState, off rule, to func(string, bucketState)) {
	bucketInvalidate(s, off, 0, "A", to)
	bucketInvalidate(s, off, 1, "B", to)
	bucketMake(s, off, 0, "maker 1", to)
	bucketMake(s, off, 1, "maker 2", to)
	bucketLoad(s, off, to)
	t := s
	if s.evicted == 0 && s.bucket.kind != bucketMissing {
		t.evicted++
		t.bucket = bucket{}
		to("the bucket is evicted", t)
	}
	if t = s; s.value.kind == keyValue && s.bucket.valid(s.value.tick, off) {
		t.value = leaseKey{} // read it often enough, at any time
		if s.value.version < s.acked {
			t.wrong = "a read that began after the acknowledgement got the value from before"
		}
		to("a read hits", t)
	}
}

// valid is remote.Store.Judge of a value that stands on A.
func (b bucket) valid(tick uint8, off rule) bool {
	if b.kind != bucketMade {
		return off == bucketMissingValid
	}
	return (tick >= b.floor || off == bucketFloorIgnored) && (b.name != 1 || b.tick <= tick)
}

func bucketInvalidate(s bucketState, off rule, i int, who string, to func(string, bucketState)) {
	t := s
	v := &t.inval[i]
	v.pc++
	switch s.inval[i].pc {
	case 0:
		if i == 0 {
			t.version++
			v.version = t.version
		}
		to(who+": the row is changed", t)
	case 1:
		t.counter++
		v.tick = t.counter
		to(who+": takes a tick", t)
	case 2:
		rose := t.bucket.touch(uint8(i)+1, v.tick, off)
		t.acked = max(t.acked, v.version)
		if i == 0 && s.version < 2 {
			v.pc, v.tick = 0, 0
		}
		step := who + ": touches the table, is acknowledged"
		if rose {
			step = who + ": makes room, the floor rises"
		}
		to(step, t)
	}
}

// touch is touch.lua.
func (b *bucket) touch(name, tick uint8, off rule) (rose bool) {
	switch {
	case b.kind != bucketMade && off == bucketMadeByTouch:
		*b = bucket{kind: bucketMade, name: name, tick: tick}
		return false
	case b.kind != bucketMade:
		if off != bucketNonceKept {
			*b = bucket{}
		}
		return false
	case b.name == 0, b.name == name:
		b.name, b.tick = name, max(b.tick, tick)
		return false
	}
	gone := min(b.tick, tick) // the lower of the two goes
	if tick >= b.tick {
		b.name, b.tick = name, tick
	}
	if off != bucketFloorStays {
		b.floor = max(b.floor, gone)
	}
	return true
}

// bucketMake is remote.Store.MakeTable.
func bucketMake(s bucketState, off rule, i int, who string, to func(string, bucketState)) {
	t := s
	m := &t.maker[i]
	m.pc++
	nonce := uint8(i) + 1
	if off == bucketNonceShared {
		nonce = 1
	}
	first, second := s.maker[i].pc == 0, s.maker[i].pc == 1
	if off == bucketReadFirst {
		first, second = second, first
	}
	switch {
	case first:
		if s.bucket.kind != bucketMade {
			t.bucket = bucket{kind: bucketNonce, nonce: nonce}
			to(who+": writes a nonce", t)
		}
	case second:
		m.floor = s.counter
		to(who+": reads the counter", t)
	case s.maker[i].pc == 2:
		m.floor = 0
		if s.bucket.kind == bucketNonce && s.bucket.nonce == nonce || off == bucketNonceIgnored && s.bucket.kind != bucketMade {
			t.bucket = bucket{kind: bucketMade, floor: s.maker[i].floor}
			to(who+": sets the floor", t)
			return
		}
		to(who+": finds its nonce gone", t)
	}
}

// bucketLoad is a leased load of any pod.
func bucketLoad(s bucketState, off rule, to func(string, bucketState)) {
	t := s
	l := &t.load
	l.pc++
	switch s.load.pc {
	case 0:
		l.tick = s.counter
		to("load: reads the tick", t)
	case 1:
		l.version = s.version
		to("load: reads the source", t)
	case 2:
		t.value = leaseKey{kind: keyValue, version: l.version, tick: l.tick}
		if off == bucketTickLate {
			t.value.tick = s.counter
		}
		t.load.pc, t.load.tick, t.load.version = 0, 0, 0
		to("load: fills", t)
	}
}
