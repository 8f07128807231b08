package tier

import (
	"context"
	"fmt"
	"time"

	"github.com/tandem-cache/tandem/bus"
	"github.com/tandem-cache/tandem/remote"
)

// A listener applies what the bus brings.
type listener struct{ cache *Cache }

// Resync starts L1 anew: what was broadcast before now may never have been heard.
//
// The order is: distrust, read the counter, raise the floor, flush; Fresh trusts. Entries of before the flush are dead. Values from L2 with a
// tick below the floor are judged by Redis: an invalidation that this pod missed has a tick at or below the floor, since it was
// taken before the counter was read. The flush comes after: reading the counter raises it to what this pod has heard, and what was loaded
// before, without a lease, may stand above it:
//
//	1 Redis loses the counter; another pod makes it anew, below what this pod has heard
//	2 this pod: flushes, then loads without a lease, at the tick it has heard
//	3 the other pod: invalidates, at a tick below
//	4 this pod: reads the counter; the entry outlives the invalidation
func (l listener) Resync(ctx context.Context) error {
	c := l.cache
	c.stats.resyncs.Add(1)
	c.trusted.Store(0)
	tick, err := c.lastTick(ctx)
	if err != nil {
		return fmt.Errorf("tier: resync: %w", err)
	}
	c.guard.RaiseFloor(tick)
	c.guard.Flush()
	if err := c.makeTable(ctx); err != nil { // now, so that what the first pod loads is good for the second
		c.mender.wake()
	}
	return nil
}

// Fresh lets L1 answer for MaxStaleness from the moment up to which everything was heard. A pod that was paused, or cut off, finds
// that time over by itself: nobody has to tell it. Redis has just answered, so reads may ask it again: without that, those that come
// at once after an outage would all load, until the next probe.
func (l listener) Fresh(asOf time.Time) {
	c := l.cache
	c.stats.heardOf()
	c.outage.heard(c.now(), c.cfg.MaxStaleness/2) // heads are read each third
	c.breaker.answered(c.now())
	c.trusted.Store(int64(asOf.Add(c.cfg.MaxStaleness).Sub(c.start)))
	c.syncing.Do(func() { close(c.synced) })
}

// Stalled stops L1 from answering until Fresh: the time that the clock has lost counts as well.
func (l listener) Stalled() { l.cache.trusted.Store(0) }

func (c *Cache) lastTick(ctx context.Context) (uint64, error) {
	ctx, cancel := c.leaseContext(ctx)
	defer cancel()
	return c.leases.LastTick(ctx, c.guard.Heard())
}

func (c *Cache) makeTable(ctx context.Context) error {
	ctx, cancel := c.leaseContext(ctx)
	defer cancel()
	return c.leases.MakeTable(ctx, c.guard.Heard())
}

// Handle applies one message.
func (l listener) Handle(m bus.Message) error {
	c := l.cache
	switch m.Kind {
	case bus.Invalidate:
		if err := checkInvalidation(m); err != nil {
			return err
		}
		c.apply(m.Names, m.Tick)
		c.history.note(m.Tick, m.Origin)
		c.countInvalidations(m.Origin, m.Names)
	case bus.Filled:
		c.waiters.wake(m.Names...)
	case bus.Feed:
		if m.Status != nil {
			c.hearFeed(*m.Status, c.isTrusted())
		}
	case bus.Routes:
		c.hearRoutes(m.Origin, m.Names)
	default:
		return fmt.Errorf("tier: a message of kind %d", m.Kind)
	}
	return nil
}

// checkInvalidation refuses what no pod of this version sends.
func checkInvalidation(m bus.Message) error {
	if m.Tick > remote.LatestTick() {
		return fmt.Errorf("tier: an invalidation at tick %d", m.Tick)
	}
	return checkNames(m.Names)
}

// A mender makes the buckets of Redis's table that were found missing: after a flush or an eviction.
type mender struct {
	cache *Cache
	due   chan struct{} // holds one request: one run serves all that came before it
	stop  context.CancelFunc
	done  chan struct{}
}

func newMender(c *Cache) *mender {
	ctx, stop := context.WithCancel(context.Background())
	m := &mender{cache: c, due: make(chan struct{}, 1), stop: stop, done: make(chan struct{})}
	go m.run(ctx)
	return m
}

// wake asks for a look at the table, soon.
func (m *mender) wake() {
	select {
	case m.due <- struct{}{}:
	default:
	}
}

func (m *mender) close() {
	m.stop()
	<-m.done
}

// run looks at the table when asked to, at most ten times a second, and again a second after an error.
func (m *mender) run(ctx context.Context) {
	defer close(m.done)
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.due:
		}
		pause := 100 * time.Millisecond
		if err := m.cache.makeTable(ctx); err != nil {
			m.wake()
			pause = time.Second
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}
