package local_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/tandem-cache/tandem/local"
)

// falseKills reads 10,000 entries of three names, the popular ones more often, 1,000 reads a second, while rate names a second that
// none of them stands on are invalidated. It returns the share of reads that L1 could not answer. Time is counted, not waited for.
func falseKills(rate, seconds int) float64 {
	const entries, readsPerSecond, batches = 10_000, 1000, 100
	random := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(random, 1.1, 10, entries-1)
	g := local.NewGuard(local.DefaultTableSize)
	load := func(i int) *local.Entry {
		return entry(g, g.Heard(), fmt.Sprint("k:", i), fmt.Sprint("t:", i%1000), "s:space")
	}
	held := make([]*local.Entry, entries)
	for i := range held {
		held[i] = load(i)
	}
	refused, tick, names := 0, uint64(0), make([]string, rate/batches)
	for range seconds * batches {
		for i := range names {
			names[i] = "k:other:" + strconv.FormatUint(random.Uint64(), 36)
		}
		tick++
		g.Apply(names, tick)
		for range readsPerSecond / batches {
			i := zipf.Uint64()
			if g.Check(held[i]) != local.Valid {
				refused++
				held[i] = load(int(i))
			}
		}
	}
	return float64(refused) / float64(seconds*readsPerSecond)
}

// Unrelated invalidations do not drain L1, also when half as many again came as the table remembers: what is read now and then
// stays. With stripes alone 16 reads of 100 are refused, with ticks and no numbers 3.
func TestUnrelatedInvalidationsDoNotDrainL1(t *testing.T) {
	if got := falseKills(1000, 400); got > 0.01 {
		t.Errorf("got %.2f %% of reads refused; want at most 1", got*100)
	}
}

// BenchmarkFalseKills reports the share of reads that L1 refuses although nothing of theirs was invalidated.
func BenchmarkFalseKills(b *testing.B) {
	for _, rate := range []int{1000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("rate=%d", rate), func(b *testing.B) {
			var share float64
			for b.Loop() {
				share = falseKills(rate, 600)
			}
			b.ReportMetric(share*100, "%refused/read")
		})
	}
}
