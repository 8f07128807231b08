package sim

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"time"

	"github.com/tandem-cache/tandem/tier"
)

// read gets entries of one space, and checks them against what was promised when the read began.
func (p *pod) read(ctx context.Context, space string, ids ...string) {
	l, done := p.use()
	defer done()
	w := p.world
	began := time.Now()
	w.mu.Lock()
	own := maps.Clone(l.own)
	w.mu.Unlock()
	for _, r := range get(ctx, l.spaces[space], ids) {
		p.check(ctx, space, r, began, own)
	}
}

// get reads in one of the ways that there are.
func get(ctx context.Context, space *tier.Space[[]int], ids []string) []tier.Result[[]int] {
	r := tier.Result[[]int]{ID: ids[0]}
	switch {
	case len(ids) > 1:
		return space.GetMany(ctx, ids)
	case time.Now().UnixMicro()%4 == 0:
		var e tier.Entry[[]int]
		e, r.Err = space.Entry(ctx, ids[0])
		r.Value = e.Value
	default:
		r.Value, r.Err = space.Get(ctx, ids[0])
	}
	return []tier.Result[[]int]{r}
}

// check checks one result of a read. own is what the pod itself had invalidated when it began.
func (p *pod) check(ctx context.Context, space string, r tier.Result[[]int], began time.Time, own map[int]int) {
	w, got, err := p.world, r.Value, r.Err
	rows := rowsOf(space, r.ID)
	if space == rowSpace && errors.Is(err, tier.ErrNotFound) {
		got, err = []int{gone}, nil
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return
	case err != nil:
		w.fail("promise 4: pod %d: get %s:%s: %v", p.number, space, r.ID, err)
		return
	case len(got) != len(rows):
		w.fail("pod %d: get %s:%s: %v", p.number, space, r.ID, got)
		return
	}
	w.mu.Lock()
	w.reads++
	w.mu.Unlock()
	w.note("pod %d read %s:%s = %v, began %s", p.number, space, r.ID, got, w.at(began))
	for i, row := range rows {
		version := got[i]
		if version == gone {
			version = w.source.lastGone(row)
		}
		if want, why := w.promised(row, began); version < want {
			w.fail("%s: pod %d read %s:%s, began %s: row %d has version %d, not %d", why, p.number, space, r.ID, w.at(began), row, got[i], want)
		}
		if version < own[row] {
			w.fail("promise 2: pod %d read %s:%s, began %s: row %d has version %d; the pod itself had invalidated version %d", p.number,
				space, r.ID, w.at(began), row, got[i], own[row])
		}
	}
}

// slack is how long a report of the follower may be under way or out of date.
const slack = maxStaleness + replicaLag + time.Second

// promised is the lowest version of a row that a read may return which began at an instant: by promise 1, or because by promise 5 nothing
// older is good any more, whether anybody has followed or not.
func (w *world) promised(row int, began time.Time) (version int, why string) {
	w.source.mu.Lock()
	defer w.source.mu.Unlock()
	for _, c := range w.source.log {
		switch {
		case c.row != row || c.version <= version:
		case !c.acked.IsZero() && began.Sub(c.acked) > maxStaleness:
			version, why = c.version, "promise 1: acknowledged "+w.at(c.acked)
		case began.Sub(c.since) > feedLimit+fallbackTTL+slack:
			version, why = c.version, "promise 5: visible since "+w.at(c.visible)
		}
	}
	return version, why
}

// ackedByFeed notes that the checkpoint has passed the first n changes.
func (w *world) ackedByFeed(n int) {
	w.source.mu.Lock()
	defer w.source.mu.Unlock()
	for _, c := range w.source.log[:n] {
		if c.acked.IsZero() {
			c.acked, c.direct = time.Now(), false
			w.note("acknowledged by the feed: %s", c)
		}
	}
}

// invalidate tells the cache of a change directly, once it is visible.
func (p *pod) invalidate(ctx context.Context, c *commit, names ...string) {
	p.announce(ctx, c, func(cache *tier.Cache) error { return cache.Invalidate(ctx, names...) })
}

// deleteAll does so by deleting everything.
func (p *pod) deleteAll(ctx context.Context, c *commit) {
	p.announce(ctx, c, func(cache *tier.Cache) error {
		_, err := cache.Delete(ctx, tier.KeyQuery{Pattern: "*"})
		return err
	})
}

func (p *pod) announce(ctx context.Context, c *commit, invalidate func(*tier.Cache) error) {
	if sleep(ctx, time.Until(c.visible)) != nil {
		return
	}
	l, done := p.use()
	defer done()
	reign := p.world.cluster.reign()
	if err := invalidate(l.cache); err == nil {
		p.acknowledged(c, l, reign)
	}
}

// acknowledged notes that a pod has been told so of a change that it announced itself. Of one that a replica may not have yet, that promises
// nothing.
func (p *pod) acknowledged(c *commit, l *life, reign int) {
	w := p.world
	if w.source.replica {
		return
	}
	w.source.mu.Lock()
	if c.acked.IsZero() && w.cluster.reign() == reign {
		c.acked, c.direct = time.Now(), true
		w.note("acknowledged by pod %d: %s", p.number, c)
	}
	w.source.mu.Unlock()
	w.mu.Lock()
	l.own[c.row] = max(l.own[c.row], c.version)
	w.mu.Unlock()
}

// failOver promotes a replica that has the keys of a snapshot, taken at an instant. What was acknowledged since is forgotten, until the
// feed acknowledges it again.
func (w *world) failOver(keys snapshot, taken time.Time, checkpoint string) {
	kept, _ := strconv.Atoi(checkpoint)
	w.source.mu.Lock()
	defer w.source.mu.Unlock()
	for i, c := range w.source.log {
		if !c.acked.IsZero() && c.acked.After(taken) && (c.direct || i >= kept) {
			c.acked, c.since = time.Time{}, time.Now()
		}
	}
	w.cluster.begin(keys)
}

// comesRight checks that the faults have left nothing behind: every change was acknowledged, each entry costs the fleet one load, and
// every pod is well.
func (w *world) comesRight(ctx context.Context) {
	if w.failed() {
		return
	}
	if c := w.source.unacknowledged(); c != nil {
		w.fail("%s, of %s, was never acknowledged", c, w.at(c.at))
	}
	for row := range rowCount {
		w.source.commit(row)
	}
	time.Sleep(5 * time.Second)
	w.source.countLoads()
	w.readAll(ctx)
	for key, n := range w.source.countLoads() {
		if n != 1 {
			w.fail("promise 3: %s was loaded %d times", key, n)
		}
	}
	for _, p := range w.pods {
		if h := p.present().cache.Health(ctx); !h.L1.Trusted || !h.Redis.Connected || h.Feeds[feedName].Fallback {
			w.fail("pod %d is not well: %v", p.number, h.Problems)
		}
	}
}
