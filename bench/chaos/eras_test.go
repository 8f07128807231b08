package main

import (
	"testing"
	"time"
)

// A failover at 20 s takes the versions 11 and 12 of row 1 back to 10. The feed acknowledges that at 21 s.
func TestFailoverTakesVersionsBack(t *testing.T) {
	second := func(n int) instant { return instant(0).add(time.Duration(n) * time.Second) }
	f := &failover{Cut: second(20), Timeline: 2, fork: map[int]int64{1: 10, 2: 5}, base: 100, written: versions{{2, 101}}, end: 50}
	r := &report{w: &world{failovers: []*failover{f}}}
	promised, acknowledged := newEras(r.w.failovers), newEras(r.w.failovers)
	promised.add(second(4), versions{{1, 12}})
	moves := []moved{
		{begin: second(19), end: second(20), position: 60, timeline: 1},
		{begin: second(20), end: second(21), position: 40, timeline: 2},
		{begin: second(21), end: second(22), position: 55, timeline: 2},
	}
	done := settle(r.w.failovers, moves, func(m moved) instant { return m.end }, promised.add)
	if len(done) != 1 || done[0].at != second(21) || f.Followed != time.Second {
		t.Fatalf("got the failover acknowledged at %v; want 21 s", done)
	}
	promised.seal()
	acknowledged.seal()
	for _, test := range []struct {
		what string
		at   int
		got  rowVersion
		want int
	}{
		{"older than acknowledged, within MaxStaleness", 6, rowVersion{1, 10}, 0},
		{"older than acknowledged", 7, rowVersion{1, 11}, 1},
		{"what the new primary began with, before", 16, rowVersion{1, 10}, 1},
		{"what the new primary began with", 22, rowVersion{1, 10}, 0},
		{"older than what the new primary began with", 22, rowVersion{1, 9}, 1},
		{"taken back, within MaxStaleness", 23, rowVersion{1, 12}, 0},
		{"taken back", 24, rowVersion{1, 12}, 1},
		{"of the new primary", 30, rowVersion{1, 101}, 0},
		{"written without an event, within MaxStaleness", 24, rowVersion{2, 5}, 0},
		{"written without an event", 25, rowVersion{2, 5}, 1},
	} {
		r.Lost = promise{}
		x := reads{last: second(test.at), count: 1, got: versions{test.got}}
		r.notLost(x, promised, acknowledged)
		r.notUndone(x, done)
		if r.Lost.Violations != test.want {
			t.Errorf("%s: got %d violations; want %d: %q", test.what, r.Lost.Violations, test.want, r.Lost.Examples)
		}
	}
}
