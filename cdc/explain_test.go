package cdc_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-cache/tandem/cdc"
)

func explained() cdc.Routes {
	return cdc.Routes{"t": {
		Rules: []cdc.Rule{
			{Names: []string{"order:{id}"}},
			{Names: []string{"of:{account}"}, When: []string{"account"}, Optional: true},
			{Names: []string{"all-orders", "by:{status}"}, When: []string{"status"}},
		},
		Row: func(r cdc.Row) []string {
			if r["vip"] == "" {
				return nil
			}
			return []string{"vip:" + r.Must("account")}
		},
		All: []string{"all", "lists"},
	}}
}

func TestExplain(t *testing.T) {
	row := func(columns ...string) cdc.Row {
		r := make(cdc.Row)
		for i := 0; i < len(columns); i += 2 {
			r[columns[i]] = columns[i+1]
		}
		return r
	}
	for _, c := range []struct {
		event cdc.Event
		want  string
	}{
		{
			cdc.Event{Entity: "t", Kind: cdc.Update, Changed: []string{"status"}, Rows: []cdc.Row{row("id", "a:b", "status", "paid")}},
			`update of t, changed [status]
  order:a%3Ab
  order:a:b
    Rules[0]: for every change
  nothing
    Rules[1]: none of [account] changed
  all-orders
  by:paid
    Rules[2]: one of [status] changed
  nothing
    Row: the function says so`,
		},
		{
			cdc.Event{Entity: "t", Kind: cdc.Delete, Rows: []cdc.Row{row("id", "1", "status", "", "account", "a", "vip", "x")}},
			`delete of t
  order:1
    Rules[0]: for every change
  of:a
    Rules[1]: for every delete
  all-orders
  by:
    Rules[2]: for every delete
  vip:a
    Row: the function says so`,
		},
		{
			cdc.Event{Entity: "t", Kind: cdc.Update, Rows: []cdc.Row{row("id", "1", "account", "a")}},
			`update of t
  all
  lists
    All, poisonous: cdc: Rules[2]: cdc: column "status" is absent: it is NULL, or the source doesn't deliver it for this kind of change`,
		},
		{
			cdc.Event{Entity: "t", Kind: cdc.Delete, Rows: []cdc.Row{row("id", "1", "status", "s")}},
			`delete of t
  order:1
    Rules[0]: for every change
  nothing
    Rules[1]: column "account" is absent: the rule is optional, and the row is gone
  all-orders
  by:s
    Rules[2]: for every delete
  nothing
    Row: the function says so`,
		},
		{cdc.Event{Entity: "t", Kind: cdc.Whole}, "whole of t\n  all\n  lists\n    All: it is of the entity as a whole"},
		{
			cdc.Event{Entity: "t", Kind: cdc.Update, Err: errors.New("no schema")},
			"update of t\n  all\n  lists\n    All, poisonous: the source could not read it: no schema",
		},
		{cdc.Event{Entity: "x", Kind: cdc.Insert}, "insert of x\n  nothing: the entity has no route"},
		{
			cdc.Event{Err: errors.New("no schema")},
			"kind(0) of an unknown entity\n  everything that the feed covers, poisonous: no schema",
		},
	} {
		if diff := cmp.Diff(c.want, explained().Explain(c.event).String()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	wrong := cdc.Routes{"t": {}}.Explain(cdc.Event{Entity: "t"})
	if wrong.Invalid == nil || !strings.Contains(wrong.String(), `the routes are wrong: cdc: FollowerConfig.Routes["t"].All is empty`) {
		t.Errorf("got %s; want what is wrong", wrong)
	}
}

// What Explain says is what a follower does.
func TestExplainIsTrue(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	columns := []string{"id", "account", "status", "vip"}
	some := func() (c []string) {
		for _, name := range columns {
			if random.IntN(4) > 0 {
				c = append(c, name)
			}
		}
		return c
	}
	for range 300 {
		e := cdc.Event{Entity: []string{"t", "t", "t", "x", ""}[random.IntN(5)], Kind: cdc.Kind(random.IntN(5))}
		if random.IntN(2) == 0 {
			e.Changed = append([]string{}, some()...)
		}
		if random.IntN(10) == 0 {
			e.Err = errUnreadable
		}
		for range random.IntN(3) {
			row := cdc.Row{"id": "1"}
			for _, name := range some() {
				row[name] = []string{"a", "b:c", ""}[random.IntN(3)]
			}
			e.Rows = append(e.Rows, row)
		}
		synctest.Test(t, func(t *testing.T) {
			x := explained().Explain(e)
			steps, st := sent(t, cdc.FollowerConfig{Routes: explained()}, newWorld(t, cdc.Batch{Events: []cdc.Event{e}}))
			want := []string(nil)
			if x.Flush {
				want = append(want, "flush")
			}
			if len(x.Names) > 0 {
				want = append(want, strings.Join(x.Names, " "))
			}
			if diff := cmp.Diff(want, steps); diff != "" || (x.Poison != nil) != (st.Poisonous == 1) || x.Unrouted != (st.Unrouted == 1) {
				t.Errorf("%+v: explained as\n%s\nstats %+v, steps (-explained +sent):\n%s", e, x, st, diff)
			}
			if x.Whole == "" {
				var of []string
				for _, r := range x.Reasons {
					of = append(of, r.Names...)
				}
				slices.Sort(of)
				got := slices.Sorted(slices.Values(x.Names))
				if diff := cmp.Diff(slices.Compact(of), got); diff != "" {
					t.Errorf("%+v: the reasons have other names than the whole (-reasons +names):\n%s", e, diff)
				}
			}
		})
	}
}

// A dry run shows what a follower would do, changes nothing, and acknowledges nothing.
func TestDryRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cdc.Batch{Events: []cdc.Event{{Entity: "t", Kind: cdc.Delete, Rows: []cdc.Row{{"id": "1", "status": "s"}}}, {Entity: "x"}}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var out strings.Builder
		if err := cdc.DryRun(ctx, source{w}, explained(), &out); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), "delete of t\n  order:1\n") || !strings.Contains(out.String(), "\nkind(0) of x\n  nothing: the entity has no route\n") {
			t.Errorf("got:\n%s", out.String())
		}
		if diff := cmp.Diff([]string{"open ", "next 1"}, w.steps); diff != "" || w.closed != 1 {
			t.Errorf("closed %d times; want 1; steps (-want +got):\n%s", w.closed, diff)
		}
	})
}

// It collapses as a follower does.
func TestDryRunCollapses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var events []cdc.Event
		for n := range cdc.DefaultCollapse + 2 {
			events = append(events, cdc.Event{Entity: "t", Kind: cdc.Delete, Transaction: "7", Rows: []cdc.Row{{"id": fmt.Sprint(n), "status": "s"}}})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var out strings.Builder
		if err := cdc.DryRun(ctx, source{newWorld(t, cdc.Batch{Events: events})}, explained(), &out); err != nil {
			t.Fatal(err)
		}
		want := "delete of t\n  all\n  lists\n    All: its transaction has more than 10000 rows of the entity\n" +
			"delete of t\n  nothing: an earlier event of its transaction outdated all of the entity\n"
		if got := out.String()[max(0, out.Len()-len(want)):]; got != want {
			t.Errorf("it ends with:\n%s\nwant:\n%s", got, want)
		}
	})
}

// What keeps a dry run from going on is an error, and the stream is closed.
func TestDryRunFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := newWorld(t)
		broken.broken = errDown
		full := newWorld(t, batch("1"))
		for want, err := range map[string]error{
			"a source is required": cdc.DryRun(t.Context(), nil, explained(), new(strings.Builder)),
			"Routes is empty":      cdc.DryRun(t.Context(), source{broken}, nil, new(strings.Builder)),
			"read the source":      cdc.DryRun(t.Context(), source{broken}, explained(), new(strings.Builder)),
			"write: down":          cdc.DryRun(t.Context(), source{full}, explained(), fullDisk{}),
		} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v; want %q", err, want)
			}
		}
		if broken.closed != 1 || full.closed != 1 {
			t.Errorf("closed %d and %d times; want 1 each", broken.closed, full.closed)
		}
	})
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errDown }

// beginsLater yields a Lost batch and then waits to be acknowledged, as the stream of a slot does that is yet to be made.
type beginsLater struct{ changelog }

func (b beginsLater) Open(context.Context, string) (cdc.Stream, error) {
	b.changelog <- cdc.Batch{Lost: true, Position: "1"}
	return b, nil
}

func (b beginsLater) Next(ctx context.Context) (cdc.Batch, error) {
	if len(b.changelog) == 0 {
		return cdc.Batch{}, errors.New("the stream begins when its first batch is acknowledged")
	}
	return b.changelog.Next(ctx)
}

func TestDryRunOfWhatBeginsLater(t *testing.T) {
	var out strings.Builder
	err := cdc.DryRun(t.Context(), beginsLater{make(changelog, 1)}, explained(), &out)
	if err == nil || !strings.Contains(err.Error(), "whose first batch was not acknowledged") {
		t.Errorf("got %v; want an error that says why", err)
	}
	if want := "changes before this may be missing\n  everything that the feed covers\n"; out.String() != want {
		t.Errorf("got %q; want %q", out.String(), want)
	}
}
