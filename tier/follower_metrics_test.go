package tier_test

import (
	"maps"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/tier"
)

// Each number of Stats is a metric of the cache, under the name that health has; those of an entity are none.
func TestCountsAreMetrics(t *testing.T) {
	cache, err := tier.Open(t.Context(), tier.Config{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cache.Close(t.Context()) }()
	f, err := cache.Feed("orders-feed")
	if err != nil {
		t.Fatal(err)
	}
	st := cdc.Stats{
		Events: 1, Batches: 2, Invalidated: 3, Unrouted: 4, Poisonous: 5, Collapsed: 6, Flushes: 7, Opened: 8, StepDowns: 9, Rewinds: 10, Retries: 11,
		Held: 12, UnroutedBy: map[string]uint64{"rows": 4}, PoisonousBy: map[string]uint64{"rows": 5},
	}
	counts := st.Counts()
	counts["of a newer version"] = 13
	if err := f.Report(t.Context(), "", nil, "1", time.Now(), 0, counts); err != nil {
		t.Fatal(err)
	}
	want := cdc.Stats{Events: 1, Batches: 2, Invalidated: 3, Unrouted: 4, Poisonous: 5, Collapsed: 6, Flushes: 7, Opened: 8, StepDowns: 9, Rewinds: 10, Retries: 11, Held: 12}.Counts()
	if got := followerMetrics(t, cache); !maps.Equal(got, want) {
		t.Errorf("got %v; want %v", got, want)
	}
	if err := f.Report(t.Context(), "", nil, "1", time.Now(), 0, cdc.Stats{Events: 1}.Counts()); err != nil { // of another follower
		t.Fatal(err)
	}
	if got := followerMetrics(t, cache)["flushes"]; got != 0 {
		t.Errorf("got %d flushes; want those of the follower that reported last, 0", got)
	}
}

// followerMetrics returns what a cache exports of the follower of its one feed, by kind.
func followerMetrics(t *testing.T, cache *tier.Cache) map[string]uint64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(cache)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]uint64)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			switch family.GetName() {
			case "tandem_feed_held_batches":
				got["held"] = uint64(m.GetGauge().GetValue())
			case "tandem_feed_follower_total":
				for _, label := range m.GetLabel() {
					if label.GetName() == "kind" {
						got[label.GetValue()] = uint64(m.GetCounter().GetValue())
					}
				}
			}
		}
	}
	return got
}
