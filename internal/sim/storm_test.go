package sim

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/tandem-cache/tandem/tier"
)

const (
	storm = 12 * time.Second // while operations and faults go on
	calm  = 15 * time.Second // after which all is well again
)

// run plays one simulation: a storm of operations and faults, then a calm in which everything must come right.
func (w *world) run() {
	ctx, stop := context.WithCancel(context.Background())
	var clock, wg, followers sync.WaitGroup
	clock.Go(func() { w.clock(ctx) })
	stormy, calmDown := context.WithTimeout(ctx, storm)
	following, leave := context.WithCancel(ctx)
	followers.Go(func() { w.followers(following, stormy) })
	for i, p := range w.pods {
		for r := range 2 {
			wg.Go(func() { p.reader(stormy, w.dice.roll("reader "+strconv.Itoa(2*i+r))) })
		}
	}
	wg.Go(func() { w.writer(stormy, w.dice.roll("writer")) })
	wg.Go(func() { w.setter(stormy, w.dice.roll("setter")) })
	wg.Go(func() { w.breaker(stormy, w.dice.roll("breaker")) })
	wg.Wait()
	calmDown()
	for _, p := range w.pods {
		p.link.heal()
	}
	time.Sleep(calm)
	w.comesRight(ctx)
	leave()
	followers.Wait()
	for _, p := range w.pods {
		p.end(p.present())
	}
	stop()
	clock.Wait()
	w.cluster.close()
}

// clock lets keys expire as virtual time passes.
func (w *world) clock(ctx context.Context) {
	const step = 20*time.Millisecond + 17*time.Nanosecond
	for sleep(ctx, step) == nil {
		w.cluster.current().FastForward(step)
	}
}

// followers keeps a follower running, kills it now and then, at times leaves the feed without one, and sometimes runs two. A follower
// lives on one of the first two pods, which are never restarted.
func (w *world) followers(ctx, stormy context.Context) {
	rnd := w.dice.roll("followers")
	var wg sync.WaitGroup
	defer wg.Wait()
	for ctx.Err() == nil {
		life, kill := context.WithCancel(ctx)
		p := w.pods[rnd.IntN(2)]
		wg.Go(func() { p.follow(life) })
		if sleep(stormy, between(500*time.Millisecond, 4500*time.Millisecond, rnd)) != nil { // the last one lives on
			<-ctx.Done()
		}
		switch rnd.IntN(6) {
		case 0, 1:
			w.note("a second follower")
			time.AfterFunc(below(2*time.Second, rnd), kill)
		case 2:
			w.note("the follower is killed, and none takes over")
			kill()
			_ = sleep(stormy, below(9*time.Second, rnd))
		default:
			w.note("the follower is killed")
			kill()
		}
	}
}

func (p *pod) reader(ctx context.Context, rnd *rand.Rand) {
	for sleep(ctx, below(60*time.Millisecond, rnd)) == nil {
		switch rnd.IntN(6) {
		case 0, 1:
			p.read(ctx, rowSpace, strconv.Itoa(rnd.IntN(rowCount)))
		case 2:
			first := rnd.IntN(rowCount - 2)
			p.read(ctx, rowSpace, strconv.Itoa(first), strconv.Itoa(first+1), strconv.Itoa(first+2))
		case 3, 4:
			p.read(ctx, listSpace, strconv.Itoa(rnd.IntN(listCount)))
		case 5:
			p.read(ctx, pageSpace, strconv.Itoa(rnd.IntN(listCount)))
		}
	}
}

// readAll reads everything on every pod at once.
func (w *world) readAll(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, p := range w.pods {
		for row := range rowCount {
			wg.Go(func() { p.read(ctx, rowSpace, strconv.Itoa(row)) })
		}
		for list := range listCount {
			wg.Go(func() { p.read(ctx, listSpace, strconv.Itoa(list)) })
			wg.Go(func() { p.read(ctx, pageSpace, strconv.Itoa(list)) })
		}
	}
}

// writer changes rows. A third of the changes some pod announces as well: by their names, or by what is more.
func (w *world) writer(ctx context.Context, rnd *rand.Rand) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for sleep(ctx, below(250*time.Millisecond, rnd)) == nil {
		c := w.source.commit(rnd.IntN(rowCount))
		w.note("commit: %s, visible %s", c, w.at(c.visible))
		if rnd.IntN(3) > 0 {
			continue
		}
		p := w.pods[rnd.IntN(len(w.pods))]
		names := namesOf(c.row)
		switch rnd.IntN(6) {
		case 0:
			names = []string{tier.SpaceName(rowSpace), tier.SpaceName(listSpace)} // and so the pages
		case 1:
			names[1] = tier.Entity("row")
		case 2:
			wg.Go(func() { p.deleteAll(ctx, c) })
			continue
		}
		wg.Go(func() { p.invalidate(ctx, c, names...) })
	}
}

// breaker makes one fault after another; some last, and overlap.
func (w *world) breaker(ctx context.Context, rnd *rand.Rand) {
	for sleep(ctx, between(100*time.Millisecond, 1600*time.Millisecond, rnd)) == nil {
		w.mu.Lock()
		w.faults++
		w.mu.Unlock()
		if rnd.IntN(12) < 6 {
			w.breakNetwork(rnd)
		} else {
			w.breakServer(ctx, rnd)
		}
	}
}

func (w *world) breakNetwork(rnd *rand.Rand) {
	p := w.pods[rnd.IntN(len(w.pods))]
	lasts := between(100*time.Millisecond, 4100*time.Millisecond, rnd)
	switch rnd.IntN(6) {
	case 0:
		w.note("fault: pod %d is cut off for %s", p.number, lasts)
		p.link.cut(true)
		time.AfterFunc(lasts, func() { p.link.cut(false) })
	case 1:
		w.note("fault: pod %d's connections are reset", p.number)
		p.link.reset()
	case 2:
		w.note("fault: pod %d's network freezes for %s", p.number, lasts)
		p.link.freeze(true)
		time.AfterFunc(lasts, func() { p.link.freeze(false) })
	case 3, 4:
		w.note("fault: pod %d loses, delays and repeats messages for %s", p.number, lasts)
		p.link.set(0, true)
		time.AfterFunc(lasts, func() { p.link.set(0, false) })
	case 5:
		w.note("fault: pod %d's network is slow for %s", p.number, lasts)
		p.link.set(80*time.Millisecond, rnd.IntN(2) == 0)
		time.AfterFunc(lasts, func() { p.link.set(0, false) })
	}
}

func (w *world) breakServer(ctx context.Context, rnd *rand.Rand) {
	switch rnd.IntN(6) {
	case 0, 1:
		part := []string{"sim:row:", "sim:list:", "sim:page:", "{names:", "{names:", "{tick}", ":head", ":journal", "{feed:", "{tag:"}[rnd.IntN(10)]
		w.note("fault: Redis evicts one of %s", part)
		w.cluster.evict(rnd, part)
	case 2:
		w.note("fault: Redis is flushed")
		w.cluster.current().FlushAll()
	case 3:
		keep := rnd.IntN(2) == 0
		w.note("fault: Redis restarts, keeps its data: %t", keep)
		var keys snapshot
		if keep {
			keys = w.cluster.snapshot()
		}
		w.cluster.begin(keys)
	case 4:
		keys, taken, checkpoint := w.cluster.snapshot(), time.Now(), w.cluster.position("sim:{feed:"+feedName+"}")
		for range 1 + rnd.IntN(2) { // and perhaps another one soon after, that has heard of neither
			_ = sleep(ctx, below(1500*time.Millisecond, rnd))
			w.note("fault: a replica is promoted that has nothing since %s", w.at(taken))
			w.failOver(keys, taken, checkpoint)
		}
	case 5:
		if p := w.pods[len(w.pods)-1]; p.number > 1 {
			w.note("fault: pod %d is restarted", p.number)
			p.restart()
		}
	}
}
