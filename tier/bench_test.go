package tier_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/tier"
)

// BenchmarkHit is an L1 hit. The bench module compares it with raw ristretto.
func BenchmarkHit(b *testing.B) {
	type value struct{ n int }
	const count = 1000
	c, err := tier.Open(b.Context(), tier.Config{Name: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = c.Close(context.Background()) }()
	s, err := tier.NewSpace(c, tier.SpaceConfig[*value]{
		Name: "bench:hit", Strategy: tier.TTL(time.Hour),
		Load: func(context.Context, string) (*value, error) { return &value{1}, nil },
	})
	if err != nil {
		b.Fatal(err)
	}
	ids := make([]string, count)
	for i := range ids {
		ids[i] = "acc_" + strconv.Itoa(i)
		if _, err := s.Get(b.Context(), ids[i]); err != nil {
			b.Fatal(err)
		}
	}
	ctx, sum, i := b.Context(), 0, 0
	b.ReportAllocs()
	for b.Loop() {
		v, err := s.Get(ctx, ids[i%count])
		if err != nil {
			b.Fatal(err)
		}
		sum += v.n
		i++
	}
	if sum != i {
		b.Fatalf("%d of %d reads had the value", sum, i)
	}
}
