package main

import "time"

// eras are the facts as each primary of PostgreSQL has them: a failover takes versions back, and from then on what the new primary began with
// is right.
type eras struct {
	failovers []*failover // in the order in which they were made
	floors    []floors    // one more: before, between and after them
}

func newEras(failovers []*failover) *eras {
	e := &eras{failovers: failovers}
	for range len(failovers) + 1 {
		e.floors = append(e.floors, make(floors))
	}
	return e
}

// add takes facts in any order; seal must follow.
func (e *eras) add(at instant, rows versions) {
	e.floors[0].add(at, rows)
	left := append(versions(nil), rows...)
	for i, f := range e.failovers {
		for n, r := range left {
			if f.tookBack(r) {
				left[n].version = f.fork[r.id]
			}
		}
		e.floors[i+1].add(at, left)
	}
}

func (e *eras) seal() {
	for _, f := range e.floors {
		f.seal()
	}
}

// age is as that of floors. A read that began before a failover may have waited for the new primary, for as long as a reader's patience.
func (e *eras) age(at instant, rows versions) (age time.Duration, old rowVersion) {
	era := 0
	for era < len(e.failovers) && at > e.failovers[era].Cut.add(-callLimit) {
		era++
	}
	return e.floors[era].age(at, rows)
}

// A returned is the moment from which on the cache has taken back what a failover did.
type returned struct {
	*failover
	at instant
}

// settle finds what the feed has acknowledged of the failovers. An advance of the checkpoint on the new timeline comes after the flush. One
// that is beyond what was written there passes that, event or not. stands returns from when on an advance counts; 0: it was lost for good.
func settle(failovers []*failover, moves []moved, stands func(moved) instant, acknowledge func(instant, versions)) (done []returned) {
	for _, f := range failovers {
		flushed, passed := instant(0), instant(0)
		for _, m := range moves {
			if m.begin < f.Cut || m.timeline < f.Timeline {
				continue
			}
			at := stands(m)
			flushed = earliest(flushed, at)
			if m.position >= f.end {
				passed = earliest(passed, at)
			}
		}
		if flushed != 0 {
			f.Followed = flushed.sub(f.Cut)
			done = append(done, returned{f, flushed})
		}
		if passed != 0 {
			acknowledge(passed, f.written)
		}
	}
	return done
}

// earliest returns the earlier of two, where 0 is none.
func earliest(i, j instant) instant {
	if i == 0 || j != 0 && j < i {
		return j
	}
	return i
}

// notUndone is promise 1 where the source itself went back: no read that starts later than MaxStaleness after the feed has acknowledged the
// failover returns a version that was taken back.
func (r *report) notUndone(x reads, done []returned) {
	for _, f := range done {
		for _, row := range x.got {
			if age := x.last.sub(f.at); f.tookBack(row) && age > 0 {
				r.Lost.worst(age)
				if age > maxStaleness {
					r.violated(&r.Lost, x.last, "%s read %s=%d of key %s from %s, %s after the feed had followed the failover that took it back to %d",
						x.pod, rowName(row.id), row.version, x.key, x.tier, age, f.fork[row.id])
				}
			}
		}
	}
}

// undone reports whether a failover has taken a version back.
func undone(failovers []*failover, r rowVersion) bool {
	for _, f := range failovers {
		if f.tookBack(r) {
			return true
		}
	}
	return false
}
