package main

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"
)

// A fact is that a version was acknowledged: from at on, counted with what the promise allows, nobody may read a lower one.
type fact struct {
	at      instant
	version int64
}

// floors are the facts of each row, in order of time, versions rising.
type floors map[int][]fact

// add takes facts in any order; seal must follow.
func (f floors) add(at instant, rows versions) {
	for _, r := range rows {
		f[r.id] = append(f[r.id], fact{at, r.version})
	}
}

// seal drops facts that an earlier one includes.
func (f floors) seal() {
	for id, facts := range f {
		slices.SortFunc(facts, func(a, b fact) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(b.version, a.version)) })
		kept := facts[:0]
		for _, x := range facts {
			if len(kept) == 0 || x.version > kept[len(kept)-1].version {
				kept = append(kept, x)
			}
		}
		f[id] = kept
	}
}

// age is how long, at an instant, the rows had been outdated by something acknowledged; 0: none was. old is the worst row.
func (f floors) age(at instant, rows versions) (age time.Duration, old rowVersion) {
	for _, r := range rows {
		facts := f[r.id]
		i := sort.Search(len(facts), func(i int) bool { return facts[i].version > r.version })
		if i < len(facts) && at.sub(facts[i].at) > age {
			age, old = at.sub(facts[i].at), r
		}
	}
	return age, old
}

// replicationLag is how long before the replica was held back it may have been behind already.
const replicationLag = time.Second

// lostBy returns the promotion that may have lost what was acknowledged in a call, or nil.
func lostBy(promotions []*promotion, begin, end instant) *promotion {
	for _, p := range promotions {
		if begin < p.Cut && end > p.Held.add(-replicationLag) {
			return p
		}
	}
	return nil
}

// rewound finds for each promotion when the feed was rewound: the first advance of the checkpoint, on the new master, that reaches
// what had been reached on the old one.
func rewound(promotions []*promotion, moves []moved) map[*promotion]instant {
	done := make(map[*promotion]instant)
	for _, p := range promotions {
		for _, m := range moves {
			if m.begin < p.Cut {
				p.Position = max(p.Position, m.position)
			}
		}
		for _, m := range moves {
			if m.begin > p.Cut && m.position >= p.Position && (done[p] == 0 || m.end < done[p]) {
				done[p] = m.end
			}
		}
		if done[p] != 0 {
			p.Rewind = done[p].sub(p.Cut)
		}
	}
	return done
}

// check holds the histories against the promises.
func check(h *histories, w *world) (*report, error) {
	r := newReport(w)
	promised, acknowledged := newEras(w.failovers), newEras(w.failovers) // with and without the exemption after a promotion
	done := rewound(w.promotions, h.moves)
	stands := func(m moved) instant {
		if p := lostBy(w.promotions, m.begin, m.end); p != nil {
			return done[p]
		}
		return m.end
	}
	for _, m := range h.moves {
		acknowledged.add(m.end, m.rows)
		if at := stands(m); at != 0 {
			promised.add(at, m.rows)
		}
		r.Acknowledged += len(m.rows)
	}
	went := settle(w.failovers, h.moves, stands, func(at instant, rows versions) {
		promised.add(at, rows)
		acknowledged.add(at, rows)
	})
	own := make(map[string]*eras) // by process
	for _, c := range h.calls {
		if !c.ok {
			continue
		}
		r.Direct += len(c.rows)
		if own[c.pod] == nil {
			own[c.pod] = newEras(w.failovers)
		}
		own[c.pod].add(c.end, c.rows)
		acknowledged.add(c.end, c.rows)
		if lostBy(w.promotions, c.begin, c.end) == nil { // else the feed brings it
			promised.add(c.end, c.rows)
		}
	}
	promised.seal()
	acknowledged.seal()
	for _, f := range own {
		f.seal()
	}
	for _, pod := range h.pods {
		if own[pod] == nil {
			own[pod] = newEras(w.failovers)
		}
		seen := newSightings()
		err := h.eachRead(pod, func(x reads) {
			seen.add(x)
			r.Reads += x.count
			r.ByTier[x.tier] += x.count
			r.notLost(x, promised, acknowledged)
			r.notUndone(x, went)
			r.notBackwards(x, own[pod])
		})
		if err != nil {
			return nil, err
		}
		r.sightings = append(r.sightings, seen)
	}
	r.oneLoad(h)
	r.staleness(h)
	r.Commits = len(h.commits)
	return r, nil
}

// notLost is promise 1: no read that starts later than MaxStaleness after an acknowledgement returns an older value.
func (r *report) notLost(x reads, promised, acknowledged *eras) {
	r.Lost.Checked += x.count
	age, old := promised.age(x.last, x.got)
	if age > maxStaleness {
		r.violated(&r.Lost, x.last, "%s read %s=%d of key %s from %s, %s after a higher version was acknowledged", x.pod, rowName(old.id), old.version, x.key, x.tier, age)
	}
	r.Lost.worst(age)
	if all, _ := acknowledged.age(x.last, x.got); all > maxStaleness && age <= maxStaleness {
		r.Exempt++
		r.ExemptWorstMS = max(r.ExemptWorstMS, milliseconds(all))
	}
}

// notBackwards is promise 2, where a pod certainly has applied an invalidation: its own Invalidate had returned.
func (r *report) notBackwards(x reads, own *eras) {
	r.Backwards.Checked += x.count
	age, old := own.age(x.last, x.got)
	if age > 0 {
		r.violated(&r.Backwards, x.last, "%s read %s=%d of key %s from %s, %s after its own invalidation of a higher version", x.pod, rowName(old.id), old.version, x.key, x.tier, age)
	}
	r.Backwards.worst(age)
}

func rowName(id int) string { return fmt.Sprintf("row %d", id) }

// touches are the times in which rows may have been invalidated, by row.
type touches map[int][][2]instant

// touchMargin is how long before its begin a load may have got its lease.
const touchMargin = 100 * time.Millisecond

// between says whether a key was touched after a load's lease was granted and before another load began.
func (t touches) between(key string, first, second instant) bool {
	for _, id := range rowsOf(key) {
		for _, span := range t[id] {
			if span[0] <= second && span[1] >= first.add(-touchMargin) {
				return true
			}
		}
	}
	return false
}

// rowsOf are the rows that a key stands on.
func rowsOf(key string) (ids []int) {
	var n int
	_, _ = fmt.Sscan(key[1:], &n)
	if key[0] == 'i' {
		return []int{n}
	}
	for id := 1; id <= shelfRows; id++ {
		if 1+id%shelves == n {
			ids = append(ids, id)
		}
	}
	return ids
}

// unansweredTouch is how long an invalidation that never returned may have taken.
const unansweredTouch = 10 * time.Second

func (r *report) touches(h *histories) touches {
	t := make(touches)
	for _, c := range h.calls {
		end := c.end
		if end == 0 {
			end = c.begin.add(unansweredTouch)
		}
		if until := r.disturbed(c.pod, c.begin, end); until > end {
			end = until // what was sent may have been on its way that long
		}
		for _, row := range c.rows {
			t[row.id] = append(t[row.id], [2]instant{c.begin, end})
		}
	}
	return t
}

// oneLoad is promise 3: two loads of a key at once have an invalidation between them, or a pod that could not reach Redis.
func (r *report) oneLoad(h *histories) {
	t := r.touches(h)
	byKey := make(map[string][]call)
	for _, l := range h.loads {
		byKey[l.key] = append(byKey[l.key], l)
	}
	r.Loads = len(h.loads)
	r.Once.Checked = len(h.loads)
	for key, loads := range byKey {
		slices.SortFunc(loads, func(a, b call) int { return cmp.Compare(a.begin, b.begin) })
		var last call // of those before, the one that ended last
		for _, l := range loads {
			if l.begin < last.end && !t.between(key, last.begin, l.begin) {
				if r.reached(h, last.pod, last.begin, l.begin) && r.reached(h, l.pod, last.begin, l.begin) {
					r.violated(&r.Once, l.begin, "%s loaded %s while %s did, for %s", l.pod, key, last.pod, l.begin.sub(last.begin))
				} else {
					r.Apart++
				}
			}
			if l.end > last.end {
				last = l
			}
		}
		for _, id := range rowsOf(key) {
			r.Touches += len(t[id])
		}
	}
}

// reachMargin is for how long after a failed call or a fault a pod may do without Redis.
const reachMargin = 3 * time.Second

// reached says whether nothing kept a process from Redis: neither a fault that is known nor a call that failed.
func (r *report) reached(h *histories, process string, begin, end instant) bool {
	if r.disturbed(process, begin, end) != 0 {
		return false
	}
	failed := h.errors[process]
	i, _ := slices.BinarySearch(failed, begin.add(-reachMargin))
	return i == len(failed) || failed[i] > end.add(remoteTimeout)
}

// disturbed returns when the last fault is over that concerns a process in a span of time; 0: none does.
func (r *report) disturbed(process string, begin, end instant) (until instant) {
	name, _, _ := strings.Cut(process, ".")
	for _, i := range r.w.faults {
		concerned := i.Target == name || i.Target == "redis"
		if concerned && i.Begin <= end && i.End.add(reachMargin) >= begin {
			until = max(until, i.End.add(reachMargin))
		}
	}
	return until
}
