package main

import (
	"cmp"
	"slices"
	"sort"
	"strings"
	"time"
)

// sightings are when one process first saw the versions of the probe rows.
type sightings struct {
	first, last instant // reads of any
	rows        map[int][]fact
}

func newSightings() *sightings { return &sightings{rows: make(map[int][]fact)} }

func (s *sightings) add(x reads) {
	if s.first == 0 || x.first < s.first {
		s.first = x.first
	}
	s.last = max(s.last, x.last)
	if len(x.got) == 1 && x.got[0].id > shelfRows {
		seen := s.rows[x.got[0].id]
		if len(seen) == 0 || x.got[0].version > seen[len(seen)-1].version {
			s.rows[x.got[0].id] = append(seen, fact{x.end, x.got[0].version})
		}
	}
}

// saw is when the process had read a version or a higher one. ok is false where it did not live to.
func (s *sightings) saw(row rowVersion, committed instant) (at instant, ok bool) {
	if s.first > committed {
		return 0, false
	}
	seen := s.rows[row.id]
	i := sort.Search(len(seen), func(i int) bool { return seen[i].version >= row.version })
	if i == len(seen) {
		return 0, false
	}
	return seen[i].at, true
}

// staleness measures from the begin of a commit to the first new read on the last pod, under reads of each probe row every 2 ms:
// not less than the time to the last eviction. A commit counts for the faults that were under way in that time.
func (r *report) staleness(h *histories) {
	samples := make(map[string][]time.Duration)
	for _, c := range h.commits {
		if len(c.rows) != 1 || c.rows[0].id <= shelfRows || undone(r.w.failovers, c.rows[0]) {
			continue
		}
		last := instant(0)
		for _, s := range r.sightings {
			if at, ok := s.saw(c.rows[0], c.end); ok {
				last = max(last, at)
			}
		}
		if last != 0 {
			kind := r.during(c.begin, last)
			samples[kind] = append(samples[kind], max(0, last.sub(c.begin)))
		}
	}
	for kind, list := range samples {
		slices.Sort(list)
		at := func(share float64) float64 { return milliseconds(list[int(share*float64(len(list)-1))]) }
		r.Staleness = append(r.Staleness, percentiles{kind, len(list), at(0.5), at(0.9), at(0.99), at(1)})
	}
	slices.SortFunc(r.Staleness, func(a, b percentiles) int {
		return cmp.Or(cmp.Compare(strings.Count(a.During, "+"), strings.Count(b.During, "+")), cmp.Compare(a.During, b.During))
	})
}

// aftermath is for how long after its end a fault is held responsible.
const aftermath = time.Second

func (r *report) during(begin, end instant) string {
	var kinds []string
	for _, i := range r.w.faults {
		if i.Begin <= end && i.End.add(aftermath) >= begin && !slices.Contains(kinds, i.Fault) {
			kinds = append(kinds, i.Fault)
		}
	}
	if len(kinds) == 0 {
		return "calm"
	}
	slices.Sort(kinds)
	return strings.Join(kinds, "+")
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
