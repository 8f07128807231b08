package tier_test

import (
	"testing"

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
