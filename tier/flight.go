package tier

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tandem-cache/tandem/local"
)

// A flight is one read of L2 and the source that all callers of an entry in this pod share.
type flight struct {
	space *space
	id    string
	load  loader

	// private is a flight for one read alone, outside the table: the read must not wait for the one that is there, see dependencies.loads.
	private bool

	ctx    context.Context //nolint:containedctx // of the goroutine that flies it
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when entry or err is set
	entry  *local.Entry
	err    error
	at     time.Duration // on the cache's clock: when it was made
	asked  bool          // for a lease; of the goroutine that flies it
	prior  *local.Entry  // what the flight before has brought, as long as L1 may not show it yet; nil: none
	asOf   time.Duration // on the cache's clock: before the source was read, or L2
	from   Tier
	dead   string // why what L2 had was of no use, as in metrics; of the goroutine that flies it

	// Guarded by flights.mu:
	finished bool
	call     *call        // the one that loads it, or will
	set      *local.Entry // what a Set has brought meanwhile; nil: none
}

type flightKey struct {
	space uint32
	id    string
}

// flights holds the flights under way, and each finished one until L1 shows its entry or has dropped it. Without the latter:
//
//	1 flight: loads, hands its entry to ristretto, which shows it later; leaves the table
//	2 caller: finds nothing in L1, no flight, and loads again
//
// A finished flight waits in the keeper's bounded queue; when that is full, it leaves the table at once.
type flights struct {
	mu     sync.Mutex // guards the fields below
	byKey  map[flightKey]*flight
	closed bool
}

// join returns a valid entry, or the flight that will bring one; lead says that it is a new one, which the caller has to start. The caller leaves the flight afterwards.
//
// L1 is looked at again under the lock: between the caller's look and now a flight may have finished, been stored and left.
func (c *Cache) join(ctx context.Context, sp *space, id string, load loader) (e *local.Entry, f *flight, lead bool, err error) {
	key := flightKey{sp.number, id}
	c.flights.mu.Lock()
	defer c.flights.mu.Unlock()
	if c.flights.closed {
		return nil, nil, false, ErrClosed
	}
	f = c.flights.byKey[key]
	switch {
	case f != nil && !f.finished && f.set != nil && sp.usable(f.set):
		return f.set, nil, false, nil
	case f != nil && !f.finished:
		d := c.dependenciesOf(ctx)
		cycle := c.flights.waitLocked(d, f)
		if cycle == nil {
			return nil, f, false, nil
		}
		if d.loads(f) {
			return nil, nil, false, cycle
		}
		return nil, c.takeOffLocked(ctx, sp, id, load, true), true, nil
	case f != nil && sp.usable(f.entry):
		return f.entry, nil, false, nil
	}
	if e := sp.local(id); e != nil {
		return e, nil, false, nil
	}
	if ctx.Err() != nil { // nobody would wait for it
		return nil, nil, false, context.Cause(ctx)
	}
	before := f
	f = c.takeOffLocked(ctx, sp, id, load, false)
	if before != nil { // it has ended, and its entry may not be used
		f.prior = before.entry
	}
	c.flights.byKey[key] = f
	return nil, f, true, nil
}

// takeOffLocked makes a flight, which the caller has to start.
func (c *Cache) takeOffLocked(ctx context.Context, sp *space, id string, load loader, private bool) *flight {
	f := &flight{space: sp, id: id, load: load, private: private, at: c.now(), call: newCall(), done: make(chan struct{})}
	_ = c.flights.waitLocked(c.dependenciesOf(ctx), f) // a new flight waits for nobody yet
	c.flying.Add(1)                                    // under the lock: never after close
	// Nobody else waits for a private one, and Close finds it through the load that does.
	if !private {
		ctx = context.WithoutCancel(ctx)
	}
	f.ctx, f.cancel = context.WithCancelCause(ctx)
	return f
}

// landed returns the valid entry of a finished flight, or of a Set, that L1 did not show yet.
func (c *Cache) landed(sp *space, id string) *local.Entry {
	c.flights.mu.Lock()
	defer c.flights.mu.Unlock()
	f := c.flights.byKey[flightKey{sp.number, id}]
	if f == nil { // L1 may show it since the caller looked
		return sp.local(id)
	}
	e := f.set
	if f.finished {
		e = f.entry
	}
	if e == nil || !sp.usable(e) {
		return nil
	}
	return e
}

// fly runs a flight.
func (c *Cache) fly(f *flight) {
	defer c.flying.Done()
	defer f.cancel(nil)
	began := time.Now()
	fetch := c.fetch
	if f.private { // another one, which waits for this one, may have the lease
		fetch = c.loadAlone
	}
	c.land(began, []*flight{f}, []fetched{fetch(f.ctx, f)})
}

// land answers the callers of flights, and then fills L2: a slow Redis does not hold them.
func (c *Cache) land(began time.Time, flights []*flight, gots []fetched) {
	leased := make([]fetched, 0, len(gots))
	for i, got := range gots {
		flights[i].space.stats.readTime[got.from].Observe(time.Since(began).Seconds())
		c.outcomes.landed(flights[i], got, began)
		c.finish(flights[i], got)
		if got.lease != nil {
			leased = append(leased, got)
		}
	}
	if len(leased) > 0 {
		c.settle(flights[0].ctx, leased)
	}
}

// finish wakes the callers and hands the entry to the keeper.
//
// A pod that is cut off keeps what it loads, although L1 may not answer. Were the entry forgotten, or the older one left in L1 until the
// keeper comes:
//
//	1 Redis freezes, the row is changed, and nobody can invalidate it
//	2 the pod: does not trust L1 any more, loads version 2 and returns it
//	3 Redis goes on; the pod reads the head of the journal, where nothing is said of the row, and trusts L1 again
//	4 the pod: returns version 1
//
// The entry is as good as any: its tick is the highest that the pod had heard before the load, its number is from before it too, and L1
// answers only after a head has proven that all which was acknowledged until then was applied, or was flushed.
func (c *Cache) finish(f *flight, got fetched) {
	c.flights.mu.Lock()
	defer c.flights.mu.Unlock()
	f.entry, f.err, f.asOf, f.from, f.finished = got.entry, got.err, got.asOf, tiers[got.from], true
	f.prior = nil
	if f.err == nil {
		f.outdateOlder()
	}
	if f.err != nil || !f.keepable() || !c.keeper.offer(keeperJob{flight: f}) {
		c.flights.forgetLocked(f)
	}
	close(f.done)
}

// keepable says whether L1 is to have the flight's entry. Two private flights of a key may end in any order, and what they bring is
// kept only where the guard can tell which is outdated.
func (f *flight) keepable() bool {
	if f.private {
		return f.space.usable(f.entry)
	}
	return f.space.sound(f.entry)
}

// outdateOlder makes what L1 has of the key dead, unless a Set has brought it meanwhile: the flight would not have begun if that could have
// been returned.
func (f *flight) outdateOlder() {
	older := f.space.cache.store.Get(f.space.number, f.id)
	if older != nil && older != f.entry && older != f.set && !f.private {
		older.Outdate()
	}
}

// overtaken says whether this pod has loaded a newer value than e, which L2 has, while Redis was away: prior, or what L1 has. L2 will know when
// the change is invalidated; until then e would be a step back.
func (sp *space) overtaken(id string, prior, e *local.Entry) bool {
	newer := func(mine *local.Entry) bool { return mine != nil && extraOf(mine).isAlone() && mine.Read > e.Read }
	return newer(prior) || newer(sp.cache.store.Get(sp.number, id))
}

// forget removes a finished flight.
func (t *flights) forget(f *flight) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forgetLocked(f)
}

func (t *flights) forgetLocked(f *flight) {
	key := flightKey{f.space.number, f.id}
	if t.byKey[key] == f { // a later flight may have its place
		delete(t.byKey, key)
	}
}

// close refuses new flights and cancels those under way.
func (t *flights) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for _, f := range t.byKey {
		f.cancel(ErrClosed)
	}
}

func (t *flights) isClosed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closed
}

func (t *flights) keys() []flightKey {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Keys(t.byKey))
}

func (t *flights) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.byKey)
}
