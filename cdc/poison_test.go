package cdc_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-cache/tandem/cdc"
)

// An event that can't be routed invalidates more, and never less.
func TestPoison(t *testing.T) {
	row := func(r cdc.Row) []string { return []string{r.Must("id")} }
	event := func(kind cdc.Kind, rows ...cdc.Row) cdc.Event {
		return cdc.Event{Entity: "t", Kind: kind, Rows: rows}
	}
	good := event(cdc.Update, cdc.Row{"id": "good"})
	for _, c := range []struct {
		name   string
		row    func(cdc.Row) []string
		events []cdc.Event
		bad    []string
		want   []string // steps that changed the cache
		stats  cdc.Stats
	}{
		{"rows", row, []cdc.Event{event(cdc.Update, cdc.Row{"id": "new"}, cdc.Row{"id": "old"})}, nil, []string{"invalidate new old"}, cdc.Stats{Events: 1, Invalidated: 2}},
		{"whole", row, []cdc.Event{event(cdc.Whole, cdc.Row{"id": "x"})}, nil, []string{"invalidate all1 all2"}, cdc.Stats{Events: 1, Invalidated: 2}},
		{"unknown kind", row, []cdc.Event{event(77, cdc.Row{"id": "x"})}, nil, []string{"invalidate all1 all2"}, cdc.Stats{Events: 1, Invalidated: 2}},
		{"no rows", row, []cdc.Event{event(cdc.Delete)}, nil, []string{"invalidate all1 all2"}, cdc.Stats{Events: 1, Invalidated: 2}},
		{"no function", nil, []cdc.Event{good}, nil, []string{"invalidate all1 all2"}, cdc.Stats{Events: 1, Invalidated: 2}},
		{"nothing outdated", func(cdc.Row) []string { return nil }, []cdc.Event{good}, nil, nil, cdc.Stats{Events: 1}},
		{
			"missing column", row,
			[]cdc.Event{good, event(cdc.Delete, cdc.Row{"key": "1"})},
			nil,
			[]string{"invalidate good all1 all2"},
			cdc.Stats{Events: 2, Invalidated: 3, Poisonous: 1},
		},
		{
			"old row lacks it", row,
			[]cdc.Event{event(cdc.Update, cdc.Row{"id": "new"}, cdc.Row{"key": "1"})},
			nil,
			[]string{"invalidate all1 all2"},
			cdc.Stats{Events: 1, Invalidated: 2, Poisonous: 1},
		},
		{"panic", func(cdc.Row) []string { panic("no") }, []cdc.Event{good}, nil, []string{"invalidate all1 all2"}, cdc.Stats{Events: 1, Invalidated: 2, Poisonous: 1}},
		{
			"malformed name", row,
			[]cdc.Event{good, event(cdc.Insert, cdc.Row{"id": "bad"}), event(cdc.Insert, cdc.Row{"id": "bad"}), event(cdc.Insert, cdc.Row{"id": "fine"})},
			[]string{"bad"},
			[]string{"invalidate good bad fine", "invalidate good", "invalidate bad", "invalidate all1 all2", "invalidate bad", "invalidate fine"},
			cdc.Stats{Events: 4, Invalidated: 4, Poisonous: 2},
		},
		{
			"malformed All", row,
			[]cdc.Event{event(cdc.Insert, cdc.Row{"id": "bad"}), good},
			[]string{"bad", "all2"},
			[]string{"invalidate bad good", "invalidate bad", "invalidate all1 all2", "flush", "invalidate good"},
			cdc.Stats{Events: 2, Invalidated: 1, Poisonous: 1, Flushes: 1},
		},
		{
			"unrouted", row,
			[]cdc.Event{{Entity: "other", Kind: cdc.Insert, Rows: []cdc.Row{{"id": "1"}}}, good},
			nil,
			[]string{"invalidate good"},
			cdc.Stats{Events: 2, Invalidated: 1, Unrouted: 1},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, cdc.Batch{Events: c.events})
				w.names[""] = time.Now() // these events have no column "name" to check
				for _, n := range c.bad {
					w.bad[n] = true
				}
				cfg := w.config()
				cfg.Routes = cdc.Routes{"t": {Row: c.row, All: []string{"all1", "all2"}}}
				f, stop := run(t, cfg)
				nap(500 * time.Millisecond)
				stop()
				steps := slices.DeleteFunc(w.steps, func(s string) bool {
					return !strings.HasPrefix(s, "invalidate") && s != "flush"
				})
				if len(steps) == 0 {
					steps = nil
				}
				if diff := cmp.Diff(c.want, steps); diff != "" {
					t.Errorf("steps (-want +got):\n%s", diff)
				}
				got := f.Stats()
				if c.stats.Poisonous > 0 {
					c.stats.PoisonousBy = map[string]uint64{"t": c.stats.Poisonous}
				}
				if c.stats.Unrouted > 0 {
					c.stats.UnroutedBy = map[string]uint64{"other": c.stats.Unrouted}
					c.stats.Warnings = []string{"no route for other: its changes arrive and invalidate nothing"}
				}
				c.stats.Batches, c.stats.Opened, c.stats.Position = 1, 1, "1"
				got.Lag = 0
				if diff := cmp.Diff(c.stats, got); diff != "" {
					t.Errorf("stats (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// Events are counted once, however often their batch is retried.
func TestCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cdc.Batch{Events: []cdc.Event{
			{Entity: "other"},
			{Entity: "t", Kind: cdc.Insert, Rows: []cdc.Row{{"x": "1"}}},
			{Entity: "t", Kind: cdc.Insert, Rows: []cdc.Row{{"name": "bad"}}},
		}})
		w.names[""], w.names["bad"], w.bad["bad"] = time.Now(), time.Now(), true
		w.hook = func(step string) error {
			if strings.HasPrefix(step, "advance") {
				return errDown
			}
			return nil
		}
		f, stop := run(t, w.config())
		nap(30 * time.Second)
		stop()
		if st := f.Stats(); st.Retries < 5 || st.Unrouted != 1 || st.Poisonous != 2 {
			t.Errorf("got %d retries, %d unrouted, %d poisonous; want some, 1, 2", st.Retries, st.Unrouted, st.Poisonous)
		}
	})
}

// Names are sent once each, and never too many at a time.
func TestChunks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var names []string
		for n := range 1200 {
			names = append(names, fmt.Sprint("n", n), fmt.Sprint("n", n/2))
		}
		w := newWorld(t, batch(names...))
		f, stop := run(t, w.config())
		nap(500 * time.Millisecond)
		stop()
		if got := f.Stats().Invalidated; got != 1200 {
			t.Errorf("sent %d names; want 1200", got)
		}
		if got := w.count("invalidate"); got != 3 {
			t.Errorf("sent %d chunks; want 3", got)
		}
	})
}

// What is poisonous again and again does not fill the log: it is counted, and some of it is logged.
func TestPoisonIsLoggedNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		cfg := w.config()
		var log bytes.Buffer // written under a lock of its handler, and read when the follower has ended
		cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		f, stop := run(t, cfg)
		const n = 250
		for range n {
			w.set(func() { w.batches = append(w.batches, cdc.Batch{Events: []cdc.Event{{Entity: "t", Err: errDown}}}) })
			nap(100 * time.Millisecond)
		}
		if got := f.Stats().Poisonous; got != n {
			t.Errorf("%d counted; want %d", got, n)
		}
		w.set(func() { w.batches = append(w.batches, cdc.Batch{Events: []cdc.Event{{Err: errDown}}}) })
		nap(100 * time.Millisecond)
		stop()
		if got := strings.Count(log.String(), "can't be routed"); got != 4 { // in 25 s of one entity, and of another
			t.Errorf("%d lines; want 4:\n%s", got, log.String())
		}
	})
}
