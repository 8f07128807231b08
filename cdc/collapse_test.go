package cdc_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-cache/tandem/cdc"
)

// in is one event of a transaction: an update of the row called name, of entity t unless name begins with "u".
func in(transaction, name string) cdc.Event {
	return cdc.Event{Entity: name[:1], Kind: cdc.Update, Transaction: transaction, Rows: []cdc.Row{{"id": name}}}
}

// part is a batch of them, in the middle of a transaction when more follows.
func part(more bool, events ...cdc.Event) cdc.Batch {
	b := cdc.Batch{Events: events}
	if more {
		b.Position = "none"
	}
	return b
}

func TestCollapse(t *testing.T) {
	rules := []cdc.Rule{{Names: []string{"{id}"}, When: []string{"id"}}}
	routes := cdc.Routes{"t": {Rules: rules, All: []string{"all-t"}}, "u": {Rules: rules, All: []string{"all-u"}}}
	irrelevant := in("a", "t1")
	irrelevant.Changed = []string{"note"}
	twice := in("a", "t1")
	twice.Rows = append(twice.Rows, cdc.Row{"id": "t0"})
	for _, c := range []struct {
		name      string
		limit     int
		batches   []cdc.Batch
		want      []string
		collapsed uint64
	}{
		{"as many as may be", 2, []cdc.Batch{part(false, in("a", "t1"), in("a", "t2"))}, []string{"t1 t2"}, 0},
		{"more", 2, []cdc.Batch{part(false, in("a", "t1"), in("a", "t2"), in("a", "t3"), in("a", "t4"))}, []string{"t1 t2 all-t"}, 1},
		{
			"across batches", 2,
			[]cdc.Batch{part(true, in("a", "t1")), part(true, in("a", "t2"), in("a", "t3")), part(true, in("a", "t4")), part(false, in("a", "t5"))},
			[]string{"t1", "t2 all-t"},
			1,
		},
		{
			"by entity", 1,
			[]cdc.Batch{part(false, in("a", "t1"), in("a", "u1"), in("a", "t2"), in("a", "t3"), in("a", "u2"))},
			[]string{"t1 u1 all-t all-u"},
			2,
		},
		{
			"the next transaction begins anew", 1,
			[]cdc.Batch{part(true, in("a", "t1"), in("a", "t2")), part(false, in("a", "t3"), in("b", "t4")), part(false, in("c", "t5"))},
			[]string{"t1 all-t", "t4", "t5"},
			1,
		},
		{
			"also when another, of no route, lies between", 1,
			[]cdc.Batch{part(false, in("a", "t1"), in("a", "t2"), in("b", "x1"), in("a", "t3"))},
			[]string{"t1 all-t t3"},
			1,
		},
		{"unknown transaction", 1, []cdc.Batch{part(false, in("", "t1"), in("", "t2"), in("", "t3"))}, []string{"t1 t2 t3"}, 0},
		{"never", -1, []cdc.Batch{part(false, in("a", "t1"), in("a", "t2"), in("a", "t3"))}, []string{"t1 t2 t3"}, 0},
		{"what outdates nothing doesn't count", 1, []cdc.Batch{part(false, irrelevant, irrelevant, in("a", "t1"))}, []string{"t1"}, 0},
		{"versions count", 1, []cdc.Batch{part(false, twice)}, []string{"all-t"}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got, st := sent(t, cdc.FollowerConfig{Routes: routes, Collapse: c.limit}, newWorld(t, c.batches...))
				if diff := cmp.Diff(c.want, got); diff != "" || st.Collapsed != c.collapsed {
					t.Errorf("collapsed %d; want %d; (-want +got):\n%s", st.Collapsed, c.collapsed, diff)
				}
				if want := fmt.Sprint(len(c.batches)); st.Position != want {
					t.Errorf("position %q; want %q", st.Position, want)
				}
			})
		})
	}
}

// Zero is 10,000 rows.
func TestDefaultCollapse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all []cdc.Batch
		for from := range 12 {
			var events []cdc.Event
			for n := range 1000 {
				events = append(events, in("a", fmt.Sprintf("t%d-%d", from, n)))
			}
			all = append(all, part(from < 11, events...))
		}
		routes := cdc.Routes{"t": {Rules: []cdc.Rule{{Names: []string{"{id}"}}}, All: []string{"all-t"}}}
		_, st := sent(t, cdc.FollowerConfig{Routes: routes}, newWorld(t, all...))
		if st.Invalidated != 10_001 || st.Collapsed != 1 || st.Events != 12_000 {
			t.Errorf("got %d names, %d collapsed, %d events; want 10001, 1, 12000", st.Invalidated, st.Collapsed, st.Events)
		}
	})
}

// A session that begins in the middle of a transaction counts anew: what it sees of it is outdated once more.
func TestCollapseAfterACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		routes := cdc.Routes{"t": {Rules: []cdc.Rule{{Names: []string{"{id}"}}}, All: []string{"all-t"}}}
		w := newWorld(t, part(false, in("a", "t1"), in("a", "t2")), part(false, in("a", "t3")), part(false, in("a", "t4")))
		broken := false
		w.hook = func(step string) error {
			if step == "advance 1-2" && !broken { // the checkpoint is in the middle of the transaction, on a server that forgot the rest
				broken = true
				w.set(func() { w.server = "another" })
			}
			return nil
		}
		got, st := sent(t, cdc.FollowerConfig{Routes: routes, Collapse: 1}, w)
		if last := got[len(got)-1]; last != "all-t" || st.Rewinds != 1 || st.Collapsed != 2 {
			t.Errorf("got %q, %d rewinds, %d collapsed; want all-t at the end, 1, 2", got, st.Rewinds, st.Collapsed)
		}
	})
}

// A name that is refused makes the batch be sent event by event, and what collapsed stays so.
func TestCollapseWithAMalformedName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rules := []cdc.Rule{{Names: []string{"{id}"}}}
		routes := cdc.Routes{"t": {Rules: rules, All: []string{"all-t"}}, "u": {Rules: rules, All: []string{"all-u"}}}
		w := newWorld(t, part(true, in("a", "t0")), part(false, in("a", "u1"), in("a", "t1"), in("a", "t2")), part(false, in("b", "t3")))
		w.bad["u1"] = true
		got, st := sent(t, cdc.FollowerConfig{Routes: routes, Collapse: 1}, w)
		want := []string{"t0", "u1 all-t", "u1", "all-u", "all-t", "t3"}
		if diff := cmp.Diff(want, got); diff != "" || st.Collapsed != 1 || st.Poisonous != 1 {
			t.Errorf("collapsed %d, poisonous %d; want 1, 1; (-want +got):\n%s", st.Collapsed, st.Poisonous, diff)
		}
		if strings.Contains(strings.Join(got, " "), "t2") {
			t.Error("a row that was skipped came back")
		}
	})
}
