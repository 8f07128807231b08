package tier

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tandem-cache/tandem/local"
	"github.com/tandem-cache/tandem/remote"
)

// A reading is what is noted before the source is read, or written: what happens after it counts as unknown to the value.
type reading struct {
	born uint64        // the guard's number
	tick uint64        // the highest one heard
	at   time.Duration // on the cache's clock
	wall time.Time
}

// beginReading notes all that; tick is one that Redis has just told, or 0.
func (c *Cache) beginReading(tick uint64) reading {
	at, wall := c.now(), time.Now()
	born := c.guard.Number()
	return reading{born: born, tick: max(tick, c.guard.Heard()), at: at, wall: wall}
}

// loadSource runs the loader and makes what it gave an entry, and an envelope for its lease unless the value is not to be stored. It gives
// the place back.
//
// What is noted before the source is read is noted after the waits for a place and a lease: what happened during them is no reason to call
// the value dead.
func (c *Cache) loadSource(ctx context.Context, f *flight, release func(), held *lease, tick uint64) fetched {
	sp := f.space
	ctx, cancel := sp.loadContext(ctx)
	defer cancel()
	sp.stats.loads.Inc()
	began := c.beginReading(tick)
	r := c.runSingle(ctx, f, began.tick, release)
	return sp.made(f.id, began, r, held)
}

// made is what a flight brings from the source, with its lease; nil: there is none.
func (sp *space) made(id string, began reading, r loaded, held *lease) fetched {
	sp.stats.loaded(r.took, r.err)
	if r.err != nil {
		return fetched{err: fmt.Errorf("tier: load %s: %w", shown(sp.key(id)), r.err), from: tierSource, lease: held}
	}
	e, env := sp.enter(id, began, r)
	switch {
	case held == nil || held.unfilled:
		sp.noteAlone(e)
	case env != nil:
		env.Token = held.hold.Token
		held.env = env
	}
	return fetched{entry: e, asOf: min(began.at, r.asOf), from: tierSource, lease: held}
}

// enter makes what a loader gave an entry and its envelope. Without an envelope the entry serves those who wait for it, and nobody else.
//
// What was read through the cache bounds the entry's life and its age: it expires when the first of it does, and is as old as the oldest.
func (sp *space) enter(id string, began reading, r loaded) (*local.Entry, *remote.Envelope) {
	sp.entities.add(r.names)
	sp.cache.unmatched.depended(r.names)
	if len(r.names) == 0 && !isAbsent(r.value) {
		sp.stats.independent.Inc()
	}
	e := local.NewEntry(sp.number, id, r.value, began.born, sp.names(id, began.tick, r.names))
	e.Read = min(began.at, r.read)
	coverBy(e, sp.otherFeeds(r.names))
	if ttl := sp.ttl(isAbsent(r.value)); ttl > 0 {
		e.Expires = expiry(began.at, ttl)
	}
	e.Expires = min(e.Expires, r.expires)
	env := &remote.Envelope{
		Schema: sp.schema, Codec: sp.format.name,
		Written: began.wall.Add(e.Read - began.at), LoadTime: r.took, Tick: began.tick, Names: r.names,
	}
	if e.Expires != local.NoExpiry {
		env.Hard = began.wall.Add(e.Expires - began.at)
		env.Soft = env.Hard
	}
	if err := sp.encodeLoaded(env, r, e.Expires); err != nil {
		sp.refuseValue(id, err)
		switch {
		case r.unstable, errors.Is(err, errTooMany):
			e.Expires = uncached
		case !errors.Is(err, errStale): // else it has expired, and Entry says so
			addExtra(e).expires, e.Expires = e.Expires, uncached
		}
		return e, nil
	}
	sp.noteOriginal(e, env.Payload)
	defer func() { e.Cost = sp.entryCost(e) }()
	if env.Codec == absentCodec {
		return e, env
	}
	back, err := sp.readBack(id, e.Value, env.Payload)
	if err != nil { // this pod may keep it: no other can have another value of it
		sp.refuseValue(id, err)
		return e, nil
	}
	e.Value = back
	return e, env
}

// expiry is the end of a life that begins at an instant of the cache's clock.
func expiry(at, life time.Duration) time.Duration {
	if life > local.NoExpiry-at {
		return local.NoExpiry
	}
	return at + life
}

// entryCost is about what e takes in memory, beside what any entry does.
func (sp *space) entryCost(e *local.Entry) int64 {
	cost := local.SizeOf(e.ID) + local.SizeOf(e.Names)
	for _, feed := range sp.ofFeeds { // their names, and the space's, are there once
		cost -= local.SizeOf(feed.Text)
	}
	cost -= local.SizeOf(sp.spaceName.Text)
	cost += extraOf(e).size()
	if sp.cost != nil && !isAbsent(e.Value) {
		return cost + sp.costOf(e.Value)
	}
	return cost + local.SizeOf(e.Value)
}

// costOf is what SpaceConfig.Cost says of a value; after a panic, what it is measured to be.
func (sp *space) costOf(value any) (cost int64) {
	defer func() {
		if recover() != nil {
			cost = local.SizeOf(value)
		}
	}()
	return max(0, sp.cost(value))
}
