package main

// The world of remote/lua (acquire, fill, renew, release) and tier/lease.go: one key in Redis, two loads, a refresh, changes of the
// row whose invalidation deletes the key, or, by a tag, only raises its tick. A pod's own knowledge is left out: Redis judges.

const (
	leaseFillAny rule = iota + 1
	leaseBusyIgnored
	leaseDeadAny
	leaseRenewAny
	leaseReleaseAny
	leaseRefreshAny
	leaseClientToken
	leaseTickLate
	leaseNotJudged
	leaseLostKept
	leaseOwnBusy
	leaseAnyLife
)

const (
	keyEmpty uint8 = iota
	keyMarker
	keyValue
)

// A leaseKey is the string in Redis.
type leaseKey struct {
	kind, token   uint8 // the token is the load's number from 1
	version, tick uint8
}

const (
	loadIdle uint8 = iota
	loadMiss       // found nothing, a marker, or a dead value
	loadGranted
	loadRead // the source
	loadLost // acquired, but the answer got lost: it loads alone
	loadOver
)

type leaseLoad struct {
	pc            uint8
	dead          uint8 // token of the value that it found dead
	acked         uint8 // when it began
	version, tick uint8
}

type leaseState struct {
	key              leaseKey
	version, counter uint8
	table            uint8 // the key's tick in Redis
	acked            uint8 // the version whose invalidation is acknowledged

	inval  struct{ pc, tick uint8 }
	loads  [3]leaseLoad
	fresh  leaseLoad // the refresh; pc 1: has found a value, 2: has read the source
	target uint8     // the token of the value that it found

	grants  uint8 // since the lease or the value was last taken away by an invalidation, an expiry or a release
	expired uint8 // markers that have expired
	endless bool  // the server's clock was set back: the marker lives for longer than any lease
	lost    bool  // an answer was lost
	crashed uint8 // the load whose holder died
	wrong   string
}

func leaseWorld() world {
	return model[leaseState]{
		name: "lease", about: "lease, fill, renewal, refresh of a key; loads that outlive their lease, die, or miss an answer",
		next:   leaseNext,
		broken: func(s leaseState) string { return s.wrong },
		mutations: []mutation{
			{leaseFillAny, "fill-token", "a fill stores only over the marker of its own load"},
			{leaseBusyIgnored, "busy", "a lease that somebody holds is not granted again"},
			{leaseDeadAny, "dead-token", "a dead value is replaced by comparing its token"},
			{leaseRenewAny, "renew-token", "a renewal extends only its own marker"},
			{leaseReleaseAny, "release-token", "a release deletes only its own marker"},
			{leaseRefreshAny, "refresh-token", "a refresh replaces only the value whose token it read"},
			{leaseClientToken, "token-per-load", "two loads of one client have tokens of their own"},
			{leaseTickLate, "S-before-read", "the tick of a load is read before the source"},
			{leaseNotJudged, "judged", "a value from L2 is judged by its tick"},
			{leaseLostKept, "lost-answer", "a lease whose answer was lost is given back"},
			{leaseOwnBusy, "own-marker", "an acquire that the client sends again is granted again"},
			{leaseAnyLife, "life", "a marker with more life than a lease keeps nobody waiting"},
		},
		reaches: []string{
			"load 1: hits L2", "load 1: fills", "load 2: is busy",
			"refresh: replaces", "load 2: is granted in place of an endless marker", "load 1: is refused by fill", "load 2: finds a dead value",
		},
	}.world()
}

func leaseNext(s leaseState, off rule, to func(string, leaseState)) {
	for i := range s.loads {
		leaseStep(s, off, i, func(step string, t leaseState) { to("load "+string(rune('1'+i))+": "+step, t) })
	}
	leaseRefresh(s, off, to)
	leaseInvalidate(s, to)
	if s.key.kind == keyMarker && s.expired == 0 {
		t := s
		t.expired++
		t.take()
		to("the marker expires", t)
		t = s
		t.endless, t.expired = true, s.expired+1
		to("the clock is set back", t)
	}
}

// take empties the key: whoever loads from now on does so once more, rightly.
func (s *leaseState) take() { s.key, s.grants, s.endless = leaseKey{}, 0, false }

// leaseInvalidate is the row's change and what tier.Cache.invalidateRemote does in Redis.
func leaseInvalidate(s leaseState, to func(string, leaseState)) {
	t := s
	switch s.inval.pc {
	case 0:
		t.version++
		t.inval.pc = 1
		to("the row is changed", t)
	case 1:
		t.counter++
		t.inval.pc, t.inval.tick = 2, t.counter
		to("invalidation: takes a tick", t)
	case 2:
		t.inval.pc = 3
		to("invalidation: of a tag, deletes nothing", t)
		t.take()
		to("invalidation: deletes the key", t)
	case 3:
		t.table, t.acked, t.grants = s.inval.tick, s.version, 0
		t.inval.pc = 4
		to("invalidation: raises the table's tick, is acknowledged", t)
	}
}

// token of a load: two loads of one pod share it where tokens are per client.
func token(i int, off rule) uint8 {
	if off == leaseClientToken {
		return uint8(max(i, 1))
	}
	return uint8(i) + 1
}

// leaseStep is tier.Cache.fetch, fetchLeased, loadLeased and settle.
func leaseStep(s leaseState, off rule, i int, to func(string, leaseState)) {
	t := s
	l, own := &t.loads[i], token(i, off)
	switch l.pc {
	case loadIdle:
		l.acked = s.acked
		leaseGet(t, off, i, to)
	case loadMiss:
		leaseAcquire(s, off, i, to)
	case loadGranted:
		l.pc, l.version = loadRead, s.version
		to("reads the source", t)
		leaseRenew(s, off, i, to)
		if s.crashed == 0 {
			t = s
			t.loads[i], t.crashed = leaseLoad{pc: loadOver}, own
			to("its pod dies", t)
		}
	case loadRead:
		leaseFill(s, off, i, to)
	case loadLost:
		*l = leaseLoad{pc: loadOver}
		if off == leaseLostKept {
			t.orphan(own)
			to("has loaded alone, keeps the lease", t)
			return
		}
		t.release(own, off)
		t.orphan(own)
		to("has loaded alone, gives the lease back", t)
	}
}

func (s *leaseState) orphan(own uint8) {
	if s.key.kind == keyMarker && s.key.token == own {
		s.wrong = "a load is over and its lease makes others wait"
	}
}

// release is release.lua.
func (s *leaseState) release(own uint8, off rule) {
	switch {
	case s.key.kind == keyMarker && s.key.token == own:
		s.take()
	case s.key.kind == keyMarker && off == leaseReleaseAny:
		s.key, s.endless = leaseKey{}, false // and its holder still loads
	}
}

func leaseGet(t leaseState, off rule, i int, to func(string, leaseState)) {
	l := &t.loads[i]
	switch {
	case t.key.kind == keyValue && (t.key.tick >= t.table || off == leaseNotJudged):
		if t.key.version < l.acked {
			t.wrong = "a read that began after the acknowledgement got the value from before"
		}
		*l = leaseLoad{pc: loadOver}
		to("hits L2", t)
	case t.key.kind == keyValue:
		l.pc, l.dead = loadMiss, t.key.token
		to("finds a dead value", t)
	default:
		l.pc = loadMiss
		to("finds nothing", t)
	}
}

// leaseAcquire is acquire.lua, with the counter read in the same round trip.
func leaseAcquire(s leaseState, off rule, i int, to func(string, leaseState)) {
	t := s
	l, own := &t.loads[i], token(i, off)
	k := s.key
	switch {
	case k.kind == keyMarker && k.token != own && s.endless && off != leaseAnyLife:
		t.take()
		t.key, t.grants = leaseKey{kind: keyMarker, token: own}, 1
		l.pc, l.dead, l.tick = loadGranted, 0, s.counter
		to("is granted in place of an endless marker", t)
	case k.kind == keyMarker && k.token != own && s.endless:
		t.wrong = "a load waits for a marker that no lease explains"
		to("is busy", t)
	case k.kind == keyMarker && k.token == own && off == leaseOwnBusy:
		t.wrong = "a load waits for its own lease"
		to("is busy", t)
	case k.kind == keyMarker && k.token != own && off != leaseBusyIgnored:
		l.dead = 0
		to("is busy", t)
		l.pc = loadIdle
		to("is busy", t)
	case k.kind == keyValue && k.token != l.dead && off != leaseDeadAny:
		l.pc, l.dead = loadIdle, 0
		to("is told of a value", t)
	default:
		if k.kind != keyMarker || k.token != own { // else the client sends it again
			t.grants++
		}
		if t.grants > 1 {
			t.wrong = "two loads under one lease"
		}
		t.key, t.endless = leaseKey{kind: keyMarker, token: own}, false
		if !s.lost {
			u := t
			u.lost = true
			to("is granted, the answer gets lost, the client asks again", u)
			u.loads[i] = leaseLoad{pc: loadLost}
			to("is granted, the answer gets lost for good", u)
		}
		l.pc, l.dead, l.tick = loadGranted, 0, s.counter
		to("is granted", t)
	}
}

// leaseRenew is renew.lua. A renewal gives the marker a life of a lease again. Without an expiry to be seen, what matters is whose marker lives on.
func leaseRenew(s leaseState, off rule, i int, to func(string, leaseState)) {
	own := token(i, off)
	if s.key.kind == keyMarker && s.key.token != own && s.key.token == s.crashed && off == leaseRenewAny {
		t := s
		t.wrong = "the lease of a dead holder is extended"
		to("renews another's marker", t)
	}
	if s.endless && s.key.kind == keyMarker && s.key.token == own {
		t := s
		t.endless = false
		to("renews its own marker", t)
	}
}

// leaseFill is fill.lua, or release.lua for a load that failed.
func leaseFill(s leaseState, off rule, i int, to func(string, leaseState)) {
	t := s
	own := token(i, off)
	l := s.loads[i]
	if off == leaseTickLate {
		l.tick = s.counter
	}
	t.loads[i] = leaseLoad{pc: loadOver}
	if s.key.token == own && s.key.kind != keyEmpty || off == leaseFillAny {
		t.key, t.endless = leaseKey{kind: keyValue, token: own, version: l.version, tick: l.tick}, false
		to("fills", t)
		return
	}
	to("is refused by fill", t)
	t = s
	t.loads[i] = leaseLoad{pc: loadOver}
	t.release(own, off)
	to("has failed, gives the lease back", t)
}

// leaseRefresh is a load beside a value that is served meanwhile: DESIGN section 4, "Lease".
func leaseRefresh(s leaseState, off rule, to func(string, leaseState)) {
	const own = 9
	t := s
	switch s.fresh.pc {
	case 0:
		if s.key.kind == keyValue && s.key.tick >= s.table {
			t.fresh = leaseLoad{pc: 1, tick: s.counter}
			t.target = s.key.token
			to("refresh: begins, notes token and tick", t)
		}
	case 1:
		t.fresh.pc, t.fresh.version = 2, s.version
		to("refresh: reads the source", t)
	case 2:
		t.fresh = leaseLoad{pc: 3}
		t.target = 0
		if s.key.kind == keyValue && s.key.token == s.target || off == leaseRefreshAny {
			value := leaseKey{kind: keyValue, token: own, version: s.fresh.version, tick: s.fresh.tick}
			if s.key.kind == keyValue && s.key.tick >= s.table && value.tick < s.table {
				t.wrong = "a refresh replaced a good value by an outdated one: one load too many"
			}
			t.key = value
			to("refresh: replaces", t)
			return
		}
		to("refresh: is refused", t)
	}
}
