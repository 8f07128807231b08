package tier

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/tandem-cache/tandem/local"
)

// Set outdates the entry of id on every pod, and stores v in its place. nil means that the invalidation is acknowledged, as with
// [Space.Invalidate]; that v was stored is best effort (tandem_sets_total tells). v is shared from then on, unless there is
// a SpaceConfig.Clone: do not change it.
//
// v was written to the source before the call. So another writer's change may be newer, and outdated already:
//
//	1 we: write version 1 to the source
//	2 another: writes version 2, invalidates the entry, is acknowledged
//	3 we: Set version 1, which nobody will outdate
//
// Here the strategy's TTL bounds how long that lasts; a space with a feed refuses Set, and takes [Space.SetWith] or [Space.Snapshot], which
// do not have the race. v depends on its key alone: what its loader records with [DependsOn], Set does not know.
func (s *Space[V]) Set(ctx context.Context, id string, v V) error {
	if feeds := s.core.strategy.feeds; len(feeds) > 0 {
		return fmt.Errorf("tier: set %s: the feed %q keeps this space true, and a value from before Set could outlive its change: use SetWith, or take a Snapshot before the write", shown(s.core.key(id)), feeds[0])
	}
	snap, err := s.core.snapshot(ctx, id)
	if err != nil {
		return err
	}
	return snap.set(ctx, s.own(v), 0)
}

// SetWith runs write, which changes the source and returns the value as the source has it, and then does what [Space.Set] does. If anybody
// has invalidated the entry since write began, the value is not stored, whoever came first. A feed that carries the write outdates
// the value once more when it gets there.
//
// The context of write is ctx; what write records by [DependsOn], or reads through the cache, the value depends on. What the space's loader
// records, write has to record as well.
//
// After an error nothing is stored. If it is from write it is wrapped, and the entry is invalidated: the source may have changed although
// write failed, and so also when it panics. Otherwise the write is done, and its value is returned beside the error: the invalidation failed
// (call Invalidate, or let the feed do it), or a dependency is malformed. The invalidation goes on when ctx has ended.
func (s *Space[V]) SetWith(ctx context.Context, id string, write func(ctx context.Context) (V, error)) (V, error) {
	var v V
	snap, err := s.core.snapshot(ctx, id)
	if err != nil {
		return v, err
	}
	err = snap.run(ctx, func(ctx context.Context) (any, error) {
		var err error
		if v, err = write(ctx); err != nil {
			return nil, err
		}
		return s.own(v), nil
	})
	return v, err
}

// own returns what may be stored of a caller's value: a copy, where readers get copies.
func (s *Space[V]) own(v V) V {
	if s.clone == nil {
		return v
	}
	return s.clone(v)
}

// A Snapshot is taken before a write, or before a read of the source, to Set the value afterwards. It may be forgotten unused. Its
// DependsOn may be called from any goroutine.
type Snapshot[V any] struct {
	core  *snapshot
	space *Space[V]
}

// Snapshot notes the state of the cache for a Set of id that will follow, for writes that do not fit into [Space.SetWith]. It blocks nobody
// and holds nothing in Redis. It does not fail with Redis: its Set will then store nothing.
func (s *Space[V]) Snapshot(ctx context.Context, id string) (*Snapshot[V], error) {
	core, err := s.core.snapshot(ctx, id)
	if err != nil {
		return nil, err
	}
	return &Snapshot[V]{core, s}, nil
}

// DependsOn records that the value to be set was made from the object id of entity. See the function [DependsOn]. A malformed entity or id
// fails the Set.
func (s *Snapshot[V]) DependsOn(entity, id string) {
	if !s.core.deps.add(entity, id) {
		strayDependencies.Add(1)
		s.core.deps.warnOfStray(entity)
	}
}

// Set is [Space.Set] of the value that was written, or read, after the snapshot, without the race that is told there. Once: a second
// Set is an error and does nothing. If anybody has invalidated the entry since the snapshot, or the snapshot is older than
// SpaceConfig.LoadTimeout, it invalidates and does not store.
func (s *Snapshot[V]) Set(ctx context.Context, v V) error {
	return s.core.set(ctx, s.space.own(v), time.Since(s.core.began.wall))
}

// snapshot is a Snapshot without its type.
//
// It takes no lease: readers would wait for the writer's transaction, and nothing rests on it. Who loads beside the write has either an old
// value at a tick below that of the Set's invalidation, or the new one.
type snapshot struct {
	space *space
	id    string
	began reading
	blind bool // Redis did not tell the counter: invalidations to come may have ticks below what this pod has heard
	deps  *dependencies
	outer *dependencies // of the load that the Set is in; nil: none
	used  atomic.Bool
}

func (sp *space) snapshot(ctx context.Context, id string) (*snapshot, error) {
	c := sp.cache
	if err := checkID(id); err != nil {
		return nil, fmt.Errorf("tier: set %s: %w", shown(sp.key(id)), err)
	}
	if c.flights.isClosed() {
		return nil, fmt.Errorf("tier: set %s: %w", shown(sp.key(id)), ErrClosed)
	}
	var tick uint64
	var err error
	if c.remote != nil { // also raises the counter to what this pod has heard: the ticks to come are above the reading's
		tick, err = c.lastTick(ctx)
	}
	s := &snapshot{space: sp, id: id, began: c.beginReading(tick), blind: err != nil}
	waiting := &flight{space: sp, id: id, call: newCall()} // nobody can join it
	outer := c.dependenciesOf(ctx)
	if outer != nil { // a write inside a loader waits on behalf of that
		waiting = outer.flight
	}
	s.outer = outer
	_, s.deps = c.withDependencies(ctx, s.began.tick, waiting)
	s.deps.write = outer == nil || outer.write
	return s, nil
}

// run is SetWith.
func (s *snapshot) run(ctx context.Context, write func(ctx context.Context) (any, error)) error {
	after := context.WithoutCancel(ctx) // each call to Redis has its own limit
	returned := false
	defer func() {
		if !returned {
			_ = s.invalidate(after)
		}
	}()
	value, err := s.write(ctx, write)
	returned = true
	if err != nil {
		return errors.Join(fmt.Errorf("tier: set %s: %w", shown(s.key()), err), s.invalidate(after))
	}
	return s.set(after, value, time.Since(s.began.wall))
}

// write runs write as a load, which hands over what it reads through the cache.
func (s *snapshot) write(ctx context.Context, write func(ctx context.Context) (any, error)) (any, error) {
	c := s.space.cache
	c.loading.Add(1)
	defer c.loading.Add(-1)
	return write(context.WithValue(ctx, dependenciesKey{}, s.deps))
}

// set outdates the entry and stores value, which took so long to write, if it may.
func (s *snapshot) set(ctx context.Context, value any, took time.Duration) error {
	if s.used.Swap(true) {
		return fmt.Errorf("tier: set %s: the snapshot was used already: take one before each write", shown(s.key()))
	}
	var kept *local.Entry
	defer func() { s.handOver(kept) }()
	r := s.deps.seal(loaded{value: value, took: took})
	if r.err != nil {
		return errors.Join(fmt.Errorf("tier: set %s: %w", shown(s.key()), r.err), s.invalidate(ctx))
	}
	stats := &s.space.stats
	if why, ok := s.usable(); !ok {
		s.space.refuse(s.key(), why)
		stats.notSet.Inc()
		return s.invalidate(ctx)
	}
	e, env := s.space.enter(s.id, s.began, r)
	if env == nil { // enter has counted it
		stats.notSet.Inc()
		return s.invalidate(ctx)
	}
	stored, err := s.space.cache.set(ctx, offer{space: s.space, entry: e, env: env, tick: s.began.tick})
	if stored {
		stats.set.Inc()
		kept = e
	} else {
		stats.notSet.Inc()
	}
	if err != nil {
		return fmt.Errorf("tier: set %s: %w", shown(s.key()), err)
	}
	return nil
}

// handOver tells the load that the Set is in of the entry, as a read of it would. nil: it was not stored, so the value may be outdated already.
func (s *snapshot) handOver(e *local.Entry) {
	switch {
	case s.outer == nil:
	case e == nil:
		s.outer.destabilize()
	default:
		s.outer.inherit(e, s.began.at, s.space.cache.cfg.MaxStaleness)
	}
}

// usable says whether a value may be stored by this snapshot, or why not.
func (s *snapshot) usable() (why reason, ok bool) {
	switch {
	case s.blind:
		return reasonLease, false
	case s.space.cache.now()-s.began.at > s.space.loadTimeout:
		return reasonStale, false
	}
	return 0, true
}

func (s *snapshot) invalidate(ctx context.Context) error {
	return s.space.cache.Invalidate(ctx, Key(s.space.name, s.id))
}

func (s *snapshot) key() string { return s.space.key(s.id) }
