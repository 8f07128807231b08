package tier

import (
	"context"
	"time"
)

const (
	leaseTimeout = time.Second      // of a call about a lease, unless RemoteTimeout is longer
	startGrace   = 10 * time.Second // after Open, in which a slow Redis is waited for
	graceAsks    = 5                // times that a lease is asked for in it
)

// leaseTimeout bounds a call about a lease: asking for it, renewing it, filling. It is longer than a plain read's. Such a read is the fast way,
// and who gives up on it has lost little; who gives up on a lease loads beside others that do the same, which makes everything slower still.
func (c *Cache) leaseTimeout() time.Duration { return max(c.cfg.RemoteTimeout, leaseTimeout) }

// leaseContext bounds a call about a lease.
func (c *Cache) leaseContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, c.leaseTimeout())
}

// inGrace reports whether the pod has just started, and Redis answers it, if slowly: whether a flight should ask for a lease although its read of L2 was not
// answered, and ask again. A fleet that starts together connects, sends its scripts and reads the same keys all at once, and each of its
// pods is slow to read the answers, too. Did each read that was not answered in time load:
//
//	1 thirty pods start; each asks for the same hundred keys, over connections that are still being made
//	2 after RemoteTimeout most of those reads have no answer
//	3 each pod loads most of the keys, thirty times what is needed, from a source that is as cold
//
// A start is over for a flight if a read of L2 was answered in time before the flight began. After that, a read without an answer may mean that Redis
// is frozen, and is worth no wait; nor is a Redis that has answered nothing at all for as long as two calls about a lease may take.
func (c *Cache) inGrace(f *flight) bool {
	timely := c.stats.timely.Load()
	return c.now() < startGrace && (timely == 0 || time.Duration(timely) > f.at) && c.stats.answeredWithin(2*c.leaseTimeout())
}

// isAlive reports whether Redis has answered this pod anything since a flight began, as long as the pod is young: then it is not frozen.
func (c *Cache) isAlive(f *flight) bool {
	return c.now() < startGrace && c.stats.answeredWithin(c.now()-f.at)
}

// maxLone bounds the loads of a pod that run without a lease: no other pod knows of them, and each loads the same. Further ones wait, as they
// do behind MaxLoads, and look now and then whether L2 has the value.
func maxLone(maxLoads int64) int64 { return max(1, maxLoads/4) }

// loadAlone reads the source without a lease, and leaves L2 as it is. A pod that has just started asks for a lease first.
func (c *Cache) loadAlone(ctx context.Context, f *flight) fetched {
	if c.remote != nil && !f.private && !f.asked && (c.inGrace(f) || c.isAlive(f)) {
		return c.fetchLeased(ctx, f, nil)
	}
	if err := f.awaitStuck(); err != nil {
		return fetched{err: err, from: tierSource}
	}
	waiting, cancel := f.space.patience(ctx)
	defer cancel()
	leave, err := c.enterLone(waiting, f)
	if err != nil {
		return f.noPlace(err)
	}
	release, err := c.takePlace(waiting, f, nil)
	if err != nil {
		leave()
		return f.noPlace(err)
	}
	return c.loadSource(ctx, f, func() { release(); leave() }, nil, 0)
}

// enterLone waits for one of the places of loads without a lease. A space may have half of these, too: its loaders
// that hang keep them. Who need not wait for a place of MaxLoads need not wait for one of these: see takePlace.
func (c *Cache) enterLone(ctx context.Context, f *flight) (leave func(), err error) {
	if c.remote == nil {
		return func() {}, nil
	}
	f.space.stats.lone.Inc()
	if c.sharesPlace(ctx) {
		return func() {}, nil
	}
	return c.enter(ctx, f, c.roomOf(c.lone, f.space.lone), nil)
}
