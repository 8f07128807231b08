package tier

import (
	"context"
	"fmt"
	"time"

	"github.com/tandem-cache/tandem/local"
)

// hit is the whole of an L1 hit: nil when L1 has nothing to say.
func (sp *space) hit(id string) *local.Entry {
	e := sp.local(id)
	if e != nil {
		sp.stats.l1Hits.inc()
	}
	return e
}

// local returns L1's entry of id if it is valid.
func (sp *space) local(id string) *local.Entry {
	e := sp.cache.store.Get(sp.number, id)
	if e == nil || !sp.usable(e) {
		return nil
	}
	return e
}

// usable says whether an entry of this pod may be returned: the pod has heard everything, the entry has not expired, its feed is
// fresh or its age is within the fallback, and none of its names was invalidated.
func (sp *space) usable(e *local.Entry) bool {
	c := sp.cache
	now := c.now()
	return int64(now) < c.trusted.Load() && now < e.Expires && sp.current(now, e.Read, extraOf(e).otherFeeds()) && c.guard.Check(e) == local.Valid
}

// sound says whether an entry may be returned once the pod is proven to have heard everything: all that usable asks but that.
func (sp *space) sound(e *local.Entry) bool {
	now, feeds := sp.cache.now(), extraOf(e).otherFeeds()
	return now < e.Expires && sp.current(now, e.Read, feeds) && sp.cache.guard.Check(e) == local.Valid
}

// read answers what L1 did not.
//
// A caller that joins a flight may have come after an invalidation that the flight's read did not see:
//
//	1 flight: reads the old row
//	2 invalidation: applied, returns
//	3 caller: joins the flight
//
// So it judges what the flight brings, and goes round once more if a name moved; the second flight began after the caller. A pod that is
// not trusted may not have heard of 2: there the flight must have read late enough, whatever it stands on.
func (sp *space) read(ctx context.Context, id string, load loader) (*local.Entry, Tier, error) {
	if err := checkID(id); err != nil {
		return nil, "", fmt.Errorf("tier: get %s: %w", shown(sp.key(id)), err)
	}
	c := sp.cache
	came := c.arrive()
	joined := false
	for {
		e, f, lead, err := c.join(ctx, sp, id, load)
		switch {
		case err != nil:
			return nil, "", fmt.Errorf("tier: get %s: %w", shown(sp.key(id)), err)
		case e != nil:
			sp.stats.l1Hits.inc()
			return e, TierL1, nil
		case lead:
			go c.fly(f)
		case !joined:
			sp.stats.joined.Inc()
			joined = true
		}
		err = f.wait(ctx)
		c.flights.leave(c.dependenciesOf(ctx), f)
		if err != nil {
			return nil, "", fmt.Errorf("tier: get %s: %w", shown(sp.key(id)), err)
		}
		if f.err != nil {
			return nil, "", f.err
		}
		if c.serves(f, came) {
			return f.entry, f.from, nil
		}
	}
}

// An arrival is when a read began.
type arrival struct {
	number  uint64        // the guard's
	at      time.Duration // on the cache's clock
	trusted bool
}

func (c *Cache) arrive() arrival {
	return arrival{number: c.guard.Number(), at: c.now(), trusted: c.isTrusted()}
}

// serves says whether what a flight has brought is good for a read that joined it.
func (c *Cache) serves(f *flight, came arrival) bool {
	inTime := came.trusted || f.asOf >= came.at-c.cfg.MaxStaleness
	return inTime && (f.entry.Verified() >= came.number || c.guard.Check(f.entry) == local.Valid)
}

// wait returns when the flight has landed, or with the cause of ctx's end.
func (f *flight) wait(ctx context.Context) error {
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// fetched is what a flight brings home.
type fetched struct {
	entry *local.Entry
	err   error
	asOf  time.Duration // see flight
	from  int           // tierL2 or tierSource
	lease *lease        // to be filled or given back; nil without one
}

// fetch reads L2 and, failing that, the source. Errors of Redis lead to the source.
func (c *Cache) fetch(ctx context.Context, f *flight) fetched {
	if c.remote == nil {
		return c.loadAlone(ctx, f)
	}
	born, at := c.guard.Number(), c.now() // before L2 is read: an invalidation applied after this shows in the entry's stripes
	raw, err := f.space.remoteGet(ctx, f.id)
	if err != nil {
		return c.loadSkipping(ctx, f, err)
	}
	if raw != nil {
		f.space.sizes.note(len(raw))
		got, err := c.admitted(f, raw, born, at, c.judge(ctx))
		switch {
		case err != nil:
			return c.loadSkipping(ctx, f, err)
		case got.entry != nil:
			return got
		}
	}
	return c.fetchLeased(ctx, f, raw)
}

// admitted is what a flight brings from L2; without an entry when raw is of no use. This pod's table may have judged it, which proves
// nothing of the last MaxStaleness.
func (c *Cache) admitted(f *flight, raw []byte, born uint64, at time.Duration, judge judge) (fetched, error) {
	e, dead, err := c.admit(f.space, f.id, raw, born, judge)
	if e != nil && f.space.overtaken(f.id, f.prior, e) {
		f.space.stats.dead(reasonOlder)
		e, dead = nil, reasonTexts[reasonOlder]
	}
	f.dead = dead
	if e != nil {
		f.space.stats.l2Hits.Inc()
	}
	return fetched{entry: e, asOf: at - c.cfg.MaxStaleness, from: tierL2}, err
}
