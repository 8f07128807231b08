package tier_test

import "testing"

// An L1 hit allocates nothing, whatever the type.
func TestHitAllocatesNothing(t *testing.T) {
	withAndWithout(t, func(t *testing.T, addr string) {
		p := newPod(t, addr, &source{})
		p.want(t, "k", 0)
		before := metric(t, p.cache, "tandem_hits_total", "l1")
		ctx := t.Context()
		const runs = 1000
		allocs := testing.AllocsPerRun(runs, func() {
			if _, err := p.Get(ctx, "k"); err != nil {
				t.Error(err)
			}
		})
		if allocs != 0 {
			t.Errorf("%v allocations a hit; want 0", allocs)
		}
		if hits := metric(t, p.cache, "tandem_hits_total", "l1") - before; hits < runs {
			t.Errorf("%v hits of L1; want %d: the test measured something else", hits, runs)
		}
	})
}
