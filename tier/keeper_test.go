package tier_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tandem-cache/tandem/tier"
)

// Of two fills of one key in quick succession L1 keeps the second: ristretto drops a second new set that it still has queued.
func TestSecondOfTwoQuickFillsIsKept(t *testing.T) {
	src := &source{}
	p := newPod(t, "", src)
	const count = 2000
	for i := range count {
		id := fmt.Sprint(i)
		p.want(t, id, 0)
		if err := p.Invalidate(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		p.want(t, id, 0)
	}
	eventually(t, "the keeper has caught up", func() bool { return metric(t, p.cache, "tandem_flights") == 0 })
	extra := 0
	for i := range count {
		id := fmt.Sprint(i)
		p.want(t, id, 0)
		if src.count(id) != 2 {
			extra++
		}
	}
	if extra > 0 {
		t.Errorf("%d of %d entries were loaded a third time", extra, count)
	}
}

// Ristretto's Close panics in a Get that runs beside it.
func TestHitsDuringClose(t *testing.T) {
	for range 20 {
		c, err := tier.Open(t.Context(), tier.Config{Name: "shop", Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		s := newSpace(t, c, tier.SpaceConfig[int]{
			Name: "a:b", Strategy: tier.CDC("f"),
			Load: func(context.Context, string) (int, error) { return 1, nil },
		})
		var stop atomic.Bool
		var reading, readers sync.WaitGroup
		for range 4 {
			reading.Add(1)
			readers.Go(func() {
				for i := 0; !stop.Load(); i++ {
					_, _ = s.Peek(t.Context(), "3")
					_, _ = s.Get(t.Context(), "3")
					if i == 1000 {
						reading.Done()
					}
				}
			})
		}
		reading.Wait()
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
		stop.Store(true)
		readers.Wait()
	}
}
