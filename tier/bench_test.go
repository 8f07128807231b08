package tier_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/dgraph-io/ristretto/v2"

	"github.com/tandem-cache/tandem/tier"
)

// BenchmarkHit compares an L1 hit with the least that a string-keyed ristretto and one look at the clock cost.
func BenchmarkHit(b *testing.B) {
	type value struct{ n int }
	const count = 1000
	ids := make([]string, count)
	for i := range ids {
		ids[i] = "acc_" + strconv.Itoa(i)
	}
	b.Run("tier", func(b *testing.B) {
		c, err := tier.Open(b.Context(), tier.Config{Name: "bench"})
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close(context.Background())
		s, err := tier.NewSpace(c, tier.SpaceConfig[*value]{
			Name: "bench:hit", Strategy: tier.TTL(time.Hour),
			Load: func(context.Context, string) (*value, error) { return &value{1}, nil },
		})
		if err != nil {
			b.Fatal(err)
		}
		for _, id := range ids {
			if _, err := s.Get(b.Context(), id); err != nil {
				b.Fatal(err)
			}
		}
		ctx, sum, i := b.Context(), 0, 0
		b.ReportAllocs()
		for b.Loop() {
			v, _ := s.Get(ctx, ids[i%count])
			sum += v.n
			i++
		}
		if sum != i {
			b.Fatalf("%d of %d reads had the value", sum, i)
		}
	})
	b.Run("ristretto", func(b *testing.B) {
		c, err := ristretto.NewCache(&ristretto.Config[string, *value]{NumCounters: 1 << 16, MaxCost: 1 << 20, BufferItems: 64, IgnoreInternalCost: true})
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		for _, id := range ids {
			c.Set(id, &value{1}, 1)
		}
		c.Wait()
		sum, i, start, at := 0, 0, time.Now(), time.Duration(0)
		b.ReportAllocs()
		for b.Loop() {
			v, _ := c.Get(ids[i%count])
			at = time.Since(start)
			sum += v.n
			i++
		}
		if sum != i || at == 0 {
			b.Fatalf("%d of %d reads had the value", sum, i)
		}
	})
}
