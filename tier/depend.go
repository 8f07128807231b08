package tier

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tandem-cache/tandem/local"
	"github.com/tandem-cache/tandem/remote"
)

// DependsOn records, inside a loader, that the value being loaded was made from the object id of entity: a row, a document.
// Invalidating that object, by [Cache.InvalidateTag] or a feed, outdates the value. Call it before the object is read, so that an
// object which is not there, and is inserted later, outdates the value as well. What the loader reads through a space of the same cache
// is recorded by itself.
//
// It may be called from several goroutines of one load, before the load returns. A malformed entity or id fails the load. Outside a
// load, or after it has returned, it is counted (tandem_stray_dependencies_total) and does nothing; after, it is also logged, once for
// each space.
func DependsOn(ctx context.Context, entity, id string) {
	d, _ := ctx.Value(dependenciesKey{}).(*dependencies)
	if d == nil || !d.add(entity, id) {
		strayDependencies.Add(1)
		d.warnOfStray(entity)
	}
}

// warnOfStray logs, once a space, that a load had returned when a dependency was recorded. nil: no load, and so no logger.
func (d *dependencies) warnOfStray(entity string) {
	if d == nil {
		return
	}
	sp := d.flight.space
	sp.strayed.Do(func() {
		d.cache.cfg.Logger.Warn("tier: DependsOn was called after its load had returned: an invalidation will miss the value",
			"cache", d.cache.cfg.Name, "space", sp.name, "entity", beginning(entity))
	})
}

// strayDependencies counts calls of DependsOn that no load heard. It is the process's: without a load there is no cache to count them.
var strayDependencies atomic.Uint64

type dependenciesKey struct{}

// dependenciesOf returns what the load that ctx belongs to depends on; nil: ctx belongs to no load of this cache.
func (c *Cache) dependenciesOf(ctx context.Context) *dependencies {
	d, _ := ctx.Value(dependenciesKey{}).(*dependencies)
	for d != nil && d.cache != c {
		d = d.outer
	}
	return d
}

// inLoad says whether ctx belongs to a load. It asks ctx, which may be deep, only while this pod loads anything at all.
func (c *Cache) inLoad(ctx context.Context) bool {
	return c.loading.Load() != 0 && c.dependenciesOf(ctx) != nil
}

// sharesPlace says whether a load begun in ctx has the place of another, which waits for it.
func (c *Cache) sharesPlace(ctx context.Context) bool {
	d := c.dependenciesOf(ctx)
	return d != nil && !d.write
}

// dependencies collects what one load depends on. A dependency is a name and the tick at which the value stands on it: the load's own for
// what it read from the source, an entry's for what it read through the cache.
//
// The entry's ticks are handed over as they are. Were the load's tick taken for them:
//
//	1 pod A: hears tick 7, which outdated a row
//	2 pod B: has not heard it; its L1 still has a list made from the row, at tick 5
//	3 pod B: loads a page at tick 7, which came with its lease, and Gets the list
//	4 pod B: stores the page, with the old row, as good up to 7, in L2; pod A takes it as valid, for ever
type dependencies struct {
	cache  *Cache
	outer  *dependencies // of the load that this one was begun in, perhaps another cache's; nil: none
	flight *flight       // whose load it is, or one of them
	tick   uint64        // of the load
	batch  bool          // flight is one of several, for all of which this counts
	write  bool          // it is no load but a SetWith outside of any, which has no place of MaxLoads

	mu       sync.Mutex // guards the fields below
	names    map[string]uint64
	expires  time.Duration // when the first of the entries read ends; NoExpiry for none
	read     time.Duration // when the oldest of them was read from the source
	asOf     time.Duration // what was acknowledged before this is in all of them
	err      error
	wrong    int // malformed names; err has the first few
	tooMany  bool
	unstable bool // something nested failed, or was stale: another read would give something else
	sealed   bool // the load has returned
}

// withDependencies returns the context of the load of a flight at tick.
func (c *Cache) withDependencies(ctx context.Context, tick uint64, f *flight) (context.Context, *dependencies) {
	outer, _ := ctx.Value(dependenciesKey{}).(*dependencies)
	d := &dependencies{
		cache: c, outer: outer, flight: f, tick: tick, names: make(map[string]uint64),
		expires: local.NoExpiry, read: local.NoExpiry, asOf: local.NoExpiry,
	}
	return context.WithValue(ctx, dependenciesKey{}, d), d
}

// loads says whether a flight is for what this load loads, or the loads that it is in: then there is a cycle. A load may have to wait for
// itself without one, where LoadMany reads, for one of its identifiers, another of the same call:
//
//	1 LoadMany: has the categories 1 and 2; 2 is made from 1
//	2 it Gets 1 on behalf of 2, and would wait for its own end
//
// Then it loads 1 once more.
func (d *dependencies) loads(f *flight) bool {
	for ; d != nil; d = d.outer {
		same := d.flight.space == f.space && d.flight.id == f.id
		if d.cache == f.space.cache && (same || d.batch && d.flight.call == f.call) {
			return true
		}
	}
	return false
}

// add is false once the load has returned.
func (d *dependencies) add(entity, id string) bool {
	err := checkTag(entity, id)
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.sealed:
		return false
	case err != nil:
		if d.wrong++; d.wrong <= maxBadNames {
			d.err = errors.Join(d.err, fmt.Errorf("DependsOn(%s, %s): %w", shown(entity), shown(id), err))
		}
	default:
		d.putLocked(Tag(entity, id), d.tick)
		d.putLocked(Entity(entity), d.tick)
	}
	return true
}

// putLocked notes a name, at the lowest of its ticks.
func (d *dependencies) putLocked(name string, tick uint64) {
	before, ok := d.names[name]
	switch {
	case !ok && len(d.names) >= remote.MaxNames:
		d.tooMany = true
	case !ok || tick < before:
		d.names[name] = tick
	}
}

// inherit hands over all that an entry stands on, and what is left of its life. It was asked for at an instant of the cache's clock, and
// reflects what was acknowledged MaxStaleness before, like any read.
func (d *dependencies) inherit(e *local.Entry, asked, maxStaleness time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sealed {
		return
	}
	for _, n := range e.Names {
		d.putLocked(n.Text, n.Tick)
	}
	d.expires = min(d.expires, lifeOf(e))
	d.read = min(d.read, e.Read)
	d.asOf = min(d.asOf, asked-maxStaleness)
}

// take adds what a whole batch depends on.
func (d *dependencies) take(of loaded) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, name := range of.names {
		d.putLocked(name.Text, name.Tick)
	}
	d.expires, d.read, d.asOf = min(d.expires, of.expires), min(d.read, of.read), min(d.asOf, of.asOf)
	d.err = errors.Join(d.err, of.err)
	d.tooMany, d.unstable = d.tooMany || of.tooMany, d.unstable || of.unstable
}

// peeked hands over what a Peek has found, or that it looked.
func (d *dependencies) peeked(sp *space, id string, e *local.Entry, at time.Duration) {
	if e != nil {
		d.inherit(e, at, sp.cache.cfg.MaxStaleness)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.sealed {
		for _, looked := range sp.names(id, d.tick, nil) {
			d.putLocked(looked.Text, looked.Tick)
		}
	}
}

// destabilize says that the value is not to be stored.
func (d *dependencies) destabilize() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unstable = true
}

// loaded is what a loader gave.
type loaded struct {
	value    any
	names    []remote.Name // what it depends on, in a fixed order
	expires  time.Duration // as in dependencies; NoExpiry for none
	read     time.Duration
	asOf     time.Duration
	tooMany  bool // there are more names than an entry can have
	unstable bool
	took     time.Duration
	err      error
}

// seal ends the recording and adds to r what was recorded.
func (d *dependencies) seal(r loaded) loaded {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sealed = true
	r.names = make([]remote.Name, 0, len(d.names))
	for text, tick := range d.names {
		r.names = append(r.names, remote.Name{Text: text, Tick: tick})
	}
	slices.SortFunc(r.names, func(a, b remote.Name) int { return strings.Compare(a.Text, b.Text) })
	r.expires, r.read, r.asOf, r.tooMany, r.unstable = d.expires, d.read, d.asOf, d.tooMany, d.unstable
	if r.err == nil {
		r.err = d.err
	}
	return r
}

// takeAnswer is inherit for one of many.
func (d *dependencies) takeAnswer(a answer, asked, maxStaleness time.Duration) {
	if a.err != nil {
		d.destabilize()
		return
	}
	d.inherit(a.entry, asked, maxStaleness)
}

// nested is a read inside a load: what it brings, the load depends on.
func (sp *space) nested(ctx context.Context, id string, load loader) (*local.Entry, Tier, error) {
	d, at := sp.cache.dependenciesOf(ctx), sp.cache.now()
	e, from := sp.hit(id), TierL1
	if e == nil {
		var err error
		if e, from, err = sp.read(ctx, id, load); err != nil {
			d.destabilize() // a loader that goes on without it has made something of less than there is
			return nil, "", err
		}
	}
	d.inherit(e, at, sp.cache.cfg.MaxStaleness)
	return e, from, nil
}
