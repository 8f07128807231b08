package tier

import (
	"context"
	"fmt"
	"time"

	"github.com/tandem-cache/tandem/local"
	"github.com/tandem-cache/tandem/remote"
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
	return int64(now) < c.trusted.Load() && now < e.Expires && sp.current(now, e.Read) && c.guard.Check(e) == local.Valid
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
func (sp *space) read(ctx context.Context, id string, load loader) (*local.Entry, error) {
	if err := checkID(id); err != nil {
		return nil, fmt.Errorf("tier: get %q: %w", sp.key(id), err)
	}
	c := sp.cache
	arrived, at, trusted := c.guard.Number(), c.now(), c.isTrusted()
	joined := false
	for {
		e, f, lead, err := c.join(ctx, sp, id, load)
		switch {
		case err != nil:
			return nil, fmt.Errorf("tier: get %q: %w", sp.key(id), err)
		case e != nil:
			sp.stats.l1Hits.inc()
			return e, nil
		case !lead && !joined:
			sp.stats.joined.Inc()
			joined = true
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, fmt.Errorf("tier: get %q: %w", sp.key(id), context.Cause(ctx))
		}
		if f.err != nil {
			return nil, f.err
		}
		inTime := trusted || f.asOf >= at-c.cfg.MaxStaleness
		if inTime && (f.entry.Verified() >= arrived || c.guard.Check(f.entry) == local.Valid) {
			return f.entry, nil
		}
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
	if c.remote == nil || !c.breaker.allow(c.now()) {
		return c.loadAlone(ctx, f)
	}
	born, asOf := c.guard.Number(), c.now() // before L2 is read: an invalidation applied after this shows in the entry's stripes
	raw, err := c.remoteGet(ctx, f.space.key(f.id))
	if err != nil {
		return c.loadAlone(ctx, f)
	}
	var dead []byte
	if raw != nil {
		e, err := c.admit(ctx, f, raw, born)
		switch {
		case err != nil:
			return c.loadAlone(ctx, f)
		case e != nil:
			f.space.stats.l2Hits.Inc()
			return fetched{entry: e, asOf: asOf}
		}
		dead = raw
	}
	return c.fetchLeased(ctx, f, dead)
}

// loadAlone reads the source without a lease, and leaves L2 as it is.
func (c *Cache) loadAlone(ctx context.Context, f *flight) fetched {
	e, _, err := c.loadSource(ctx, f, remote.Token{}, 0)
	if err != nil {
		return fetched{err: err, from: tierSource}
	}
	return fetched{entry: e, asOf: e.Read, from: tierSource}
}

// loadSource runs the loader and makes what it gave an entry, and an envelope unless the value can't be encoded.
//
// The number and the tick are noted before the source is read, and the time too: what happens during the load counts as after.
// They are noted after the wait for a place: what happened during it is no reason to call the value dead.
func (c *Cache) loadSource(ctx context.Context, f *flight, token remote.Token, tick uint64) (*local.Entry, *remote.Envelope, error) {
	sp := f.space
	ctx, cancel := context.WithTimeoutCause(ctx, sp.loadTimeout, fmt.Errorf("LoadTimeout of %s: %w", sp.loadTimeout, context.DeadlineExceeded))
	defer cancel()
	release, err := c.takePlace(ctx, f)
	if err != nil {
		return nil, nil, fmt.Errorf("tier: load %q: %w", sp.key(f.id), err)
	}
	sp.stats.loads.Inc()
	began, mono := time.Now(), c.now()
	born := c.guard.Number()
	tick = max(tick, c.guard.Heard())
	r := c.runLoader(ctx, f, release)
	sp.stats.loaded(time.Since(began), r.err)
	if r.err != nil {
		return nil, nil, fmt.Errorf("tier: load %q: %w", sp.key(f.id), r.err)
	}
	sp.entities.add(r.tags)
	env := &remote.Envelope{
		Token: token, Schema: sp.schema, Codec: remote.CodecName,
		Written: began, LoadTime: r.took, Tick: tick, Names: make([]remote.Name, len(r.tags)),
	}
	for i, tag := range r.tags {
		env.Names[i] = remote.Name{Text: tag, Tick: tick}
	}
	e := local.NewEntry(sp.number, f.id, r.value, born, sp.names(f.id, tick, env.Names))
	e.Read = mono
	if ttl := sp.strategy.ttl; ttl > 0 {
		env.Hard = began.Add(ttl)
		env.Soft = env.Hard
		e.Expires = expiry(mono, ttl)
	}
	if env.Payload, err = encode(r.value); err != nil {
		sp.stats.refuse(reasonEncode)
		c.cfg.Logger.Error("tier: a value cannot be stored, every read loads it", "key", sp.key(f.id), "error", err)
		e.Expires = 0
		return e, nil, nil
	}
	e.Cost = entryCost(e, len(env.Payload))
	return e, env, nil
}

// expiry is the end of a life that begins at an instant of the cache's clock.
func expiry(at, life time.Duration) time.Duration {
	if life > local.NoExpiry-at {
		return local.NoExpiry
	}
	return at + life
}

// entryCost is about what e takes in memory.
func entryCost(e *local.Entry, payload int) int64 {
	cost := payload + len(e.ID)
	for _, n := range e.Names {
		cost += len(n.Text) + 32
	}
	return int64(cost)
}

func encode(value any) (payload []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("tier: encode %T: panic: %v", value, r)
		}
	}()
	return remote.EncodeValue(value)
}
