package tier_test

import (
	"context"
	"testing"

	"github.com/tandem-cache/tandem/internal/servertest"
)

// While Redis is full no value is stored, and each invalidation is acknowledged and heard by the other pods.
func TestInvalidateWhileRedisIsFull(t *testing.T) {
	inEachWay(t, func(t *testing.T, invalidate func(p pod, ctx context.Context, id string) error) {
		server := servertest.StartRedis(t)
		src := &source{}
		a, b := newPod(t, server.Addr, src), newPod(t, server.Addr, src)
		for _, p := range []pod{a, b} {
			p.want(t, "k", 0)
		}
		if err := connect(t, server.Addr).ConfigSet(t.Context(), "maxmemory", "1000").Err(); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			v := src.write("k")
			if err := invalidate(a, t.Context(), "k"); err != nil {
				t.Fatal(err)
			}
			a.want(t, "k", v)
			eventually(t, "the other pod reads what was written", func() bool {
				got, err := b.Get(t.Context(), "k")
				return err == nil && got == v
			})
		}
		if h := b.cache.Health(t.Context()); !h.L1.Trusted {
			t.Errorf("L1 is not trusted: %q", h.Problems)
		}
	})
}
