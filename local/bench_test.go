package local_test

import (
	"fmt"
	"testing"

	"github.com/tandem-cache/tandem/local"
)

// BenchmarkApply is what an invalidated name costs a pod's guard, in batches as they come from a feed.
func BenchmarkApply(b *testing.B) {
	const batch = 500
	names := make([]string, 1_000_000)
	for i := range names {
		names[i] = fmt.Sprintf("k:orders:account:acc_%07d", i*2654435761%len(names))
	}
	g := local.NewGuard(local.DefaultTableSize)
	tick := uint64(0)
	for b.Loop() {
		at := int(tick) * batch % (len(names) - batch)
		tick++
		g.Apply(names[at:at+batch], tick)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/name")
}
