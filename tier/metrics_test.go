package tier_test

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tandem-cache/tandem/tier"
)

// metric sums the values of a metric whose labels have all of values.
func metric(t *testing.T, c *tier.Cache, name string, values ...string) float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
	metrics:
		for _, m := range family.GetMetric() {
			have := make(map[string]bool)
			for _, label := range m.GetLabel() {
				have[label.GetValue()] = true
			}
			for _, value := range values {
				if !have[value] {
					continue metrics
				}
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum
}

// Caches of two names register together; the second of one name is refused when it registers, not at each scrape.
func TestCachesOfOneName(t *testing.T) {
	named := func(name string) *tier.Cache {
		c, err := tier.Open(t.Context(), tier.Config{Name: name, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close(context.Background()) })
		newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.TTL(time.Minute), Load: (&source{}).load})
		return c
	}
	r := prometheus.NewPedanticRegistry()
	for _, name := range []string{"shop", "office"} {
		if err := r.Register(named(name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := r.Gather(); err != nil {
		t.Error(err)
	}
	if err := r.Register(named("shop")); err == nil {
		t.Error("two caches called shop were registered")
	}
}
