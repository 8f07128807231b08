package cdc_test

import (
	"fmt"
	"testing"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/tier"
)

// From rows to names, in batches of 1,000 updates of other rows with ten columns. A follower with old and new versions has two rows a change.
func BenchmarkRoute(b *testing.B) {
	row := func(r cdc.Row) []string { return []string{tier.Tag("order", tier.ID(r.Must("column3")))} }
	two := []cdc.Rule{
		{Names: []string{tier.Tag("order", "{column3}")}},
		{Names: []string{tier.Tag("account-orders", "{column5}")}, When: []string{"column5"}},
	}
	for _, c := range []struct {
		name     string
		route    cdc.Route
		versions int
	}{
		{"func", cdc.Route{Row: row}, 1},
		{"rule", cdc.Route{Rules: two[:1]}, 1},
		{"rule/versions=2", cdc.Route{Rules: two[:1]}, 2},
		{"rules=2", cdc.Route{Rules: two}, 1},
	} {
		b.Run(c.name, func(b *testing.B) {
			const rows = 1000
			cfg := new(world).config()
			cfg.Collapse = -1
			c.route.All = []string{"all"}
			cfg.Routes = cdc.Routes{"public.orders": c.route}
			f, err := cdc.NewFollower(cfg)
			if err != nil {
				b.Fatal(err)
			}
			batch := updates(rows, c.versions)
			names := cdc.NamesOf(b.Context(), f)
			b.ReportAllocs()
			for b.Loop() {
				if got := names(batch); len(got) != rows {
					b.Fatal(len(got))
				}
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "names/s")
		})
	}
}

// updates are n of one transaction, each of another row.
func updates(n, versions int) (b cdc.Batch) {
	for i := range n {
		e := cdc.Event{Entity: "public.orders", Kind: cdc.Update, Transaction: "7", Changed: []string{"column1"}}
		for range versions {
			row := make(cdc.Row)
			for c := range 10 {
				row[fmt.Sprint("column", c)] = fmt.Sprintf("v%d-%d", c, i)
			}
			e.Rows = append(e.Rows, row)
		}
		b.Events = append(b.Events, e)
	}
	return b
}
