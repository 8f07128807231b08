package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"testing"
	"time"
)

// BenchmarkHit is for benchstat. What compares best is the program's own table: its sides alternate in one run.
func BenchmarkHit(b *testing.B) {
	for exp := 0; exp <= 6; exp += 3 {
		ids, order := hitKeys(int(math.Pow10(exp)))
		sides := map[string]func() (hitSide, func(), error){
			"tier": func() (hitSide, func(), error) {
				h, err := openTierHits(b.Context(), ids)
				return h, func() { h.close() }, err
			},
			"ristretto": func() (hitSide, func(), error) {
				h, err := openBareHits(ids)
				return h, func() { h.close() }, err
			},
		}
		for _, name := range []string{"tier", "ristretto"} {
			b.Run(fmt.Sprintf("%s/keys=1e%d", name, exp), func(b *testing.B) {
				side, done, err := sides[name]()
				if err != nil {
					b.Fatal(err)
				}
				defer done()
				b.ReportAllocs()
				for at := 0; b.Loop(); at++ {
					if at == len(order) {
						at = 0
					}
					if side.read(ids, order[at:], 1) != 1 {
						b.Fatalf("%s is not there", ids[order[at]])
					}
				}
			})
		}
	}
}

// TestHitAllocatesNothing counts by itself what Get allocates.
func TestHitAllocatesNothing(t *testing.T) {
	ids, _ := hitKeys(1)
	h, err := openTierHits(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	ctx, sum := context.Background(), 0
	allocs := testing.AllocsPerRun(10_000, func() {
		v, err := h.space.Get(ctx, ids[0])
		if err != nil {
			t.Error(err)
			return
		}
		sum += v.N
	})
	if allocs != 0 || sum < 10_000 || h.loads.Load() != 1 {
		t.Errorf("got %g allocations a hit in %d hits and %d loads; want 0, and 1 load", allocs, sum, h.loads.Load())
	}
}

// memoryBar is the bar where entries lie in memory and not in the caches. There a bare hit waits for memory about twice, for its map and its
// value, and one of tandem once more, for the entry: 1.5 is what it comes to on a quiet machine, and neighbours' use of the caches moves it.
const memoryBar = 2.5

// TestHitCost holds the bar as the program does, but for memoryBar. A busy machine gets five attempts.
func TestHitCost(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector multiplies what the two sides cost, each by its own: run go test without -race")
	}
	const attempts = 5
	for keys, bar := range map[int]float64{1: hitBar, 1000: hitBar, 100_000: memoryBar} {
		for attempt := 1; ; attempt++ {
			r := &hitReport{Bar: bar}
			var err error
			r.Rows, err = compareHits(t.Context(), hitOptions{pairs: 21, slice: 10 * time.Millisecond}, keys)
			if err != nil {
				t.Fatal(err)
			}
			var text bytes.Buffer
			r.print(&printer{out: &text})
			t.Logf("\n%s", text.Bytes())
			err = r.verdict()
			if err == nil {
				break
			}
			if attempt == attempts {
				t.Error(err)
				break
			}
			t.Log(err)
		}
	}
}
