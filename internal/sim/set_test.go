package sim

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/tandem-cache/tandem/tier"
)

// setter lets pods change rows and Set what they have written.
func (w *world) setter(ctx context.Context, rnd *rand.Rand) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for sleep(ctx, below(500*time.Millisecond, rnd)) == nil {
		p, row := w.pods[rnd.IntN(len(w.pods))], rnd.IntN(rowCount)
		pauses := w.dice.roll("set " + strconv.Itoa(row))
		wg.Go(func() { p.set(ctx, row, pauses) })
	}
}

// set changes a row and Sets its entry, and then invalidates its tag, on which the lists depend.
func (p *pod) set(ctx context.Context, row int, rnd *rand.Rand) {
	l, done := p.use()
	defer done()
	w, id := p.world, strconv.Itoa(row)
	reign := w.cluster.reign()
	var c *commit
	_, err := l.spaces[rowSpace].SetWith(ctx, id, func(ctx context.Context) ([]int, error) {
		if err := sleep(ctx, pause(rnd)); err != nil {
			return nil, err
		}
		c = w.source.commit(row)
		w.note("pod %d commits and sets: %s, visible %s", p.number, c, w.at(c.visible))
		return []int{c.version}, sleep(ctx, time.Until(c.visible)+pause(rnd))
	})
	if err == nil && l.cache.Invalidate(ctx, tier.Tag("row", id)) == nil {
		p.acknowledged(c, l, reign)
	}
}
