package tier

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tandem-cache/tandem/bus"
	"github.com/tandem-cache/tandem/remote"
)

// invalidateBatch is how many names share a tick, a message and a call of Redis.
const invalidateBatch = 512

// Invalidate outdates whatever stands on names, on every pod: entries ([Key]), what depends on an object ([Tag]) or on any
// object of an entity ([Entity]), whole spaces ([SpaceName]). Call it after the source was changed.
//
// nil means acknowledged: L2 has forgotten them, the broadcast is out, and no read that starts later on this pod returns an
// older value. After an error of Redis call it again, or let the feed that carries the same change do it: this pod has dropped what it had
// of names, nothing is promised of others. A malformed name refuses the whole call before anything is done.
func (c *Cache) Invalidate(ctx context.Context, names ...string) error {
	return c.invalidate(ctx, originAPI, names)
}

// InvalidateTag outdates every entry, in every space, that depends on one of the objects ids of entity. See [DependsOn].
func (c *Cache) InvalidateTag(ctx context.Context, entity string, ids ...string) error {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = Tag(entity, id)
	}
	return c.Invalidate(ctx, names...)
}

const originAPI = "api"

func (c *Cache) invalidate(ctx context.Context, origin string, names []string) error {
	if err := checkNames(names); err != nil {
		return &BadNameError{err}
	}
	if c.flights.isClosed() {
		return ErrClosed
	}
	for len(names) > 0 {
		n := min(len(names), invalidateBatch)
		if err := c.invalidateOnce(ctx, origin, names[:n]); err != nil {
			c.drop(names[n:]) // nobody will try them before the caller does
			return fmt.Errorf("tier: invalidate %d names, the first %s: %w", n, shown(names[0]), err)
		}
		names = names[n:]
	}
	return nil
}

// A BadNameError says that a name given to Invalidate is malformed: trying again will not help.
type BadNameError struct{ err error }

// Error lists the malformed names.
func (e *BadNameError) Error() string { return e.err.Error() }

// Unwrap returns what is wrong.
func (e *BadNameError) Unwrap() error { return e.err }

// Permanent says that the same call will fail again.
func (e *BadNameError) Permanent() bool { return true }

// invalidateOnce runs the steps of an invalidation: tick, L2, journal and broadcast, and this pod's own L1.
//
// L2 comes before the broadcast. If it came after:
//
//	1 another pod: hears the broadcast, drops its entry, notes tick and number
//	2 another pod: reads the old value from L2; nothing moved since, so it stays in L1
//	3 we: delete it from L2, too late
func (c *Cache) invalidateOnce(ctx context.Context, origin string, names []string) error {
	if c.remote == nil {
		c.alone.Lock()
		c.apply(names, c.guard.Heard()+1)
		c.history.note(c.guard.Heard(), origin)
		c.alone.Unlock()
		c.countInvalidations(origin, names)
		return nil
	}
	began := time.Now()
	err := c.invalidateRemote(ctx, origin, names)
	c.stats.remoteCall(opInvalidate, began, err)
	return err
}

func (c *Cache) invalidateRemote(ctx context.Context, origin string, names []string) error {
	tick, err := c.takeTick(ctx)
	if err != nil {
		c.drop(names)
		return err
	}
	defer func() { c.apply(names, tick) }() // also after an error: the source may have changed; it is counted when the bus brings it
	if err := c.deleteRemote(ctx, names); err != nil {
		return err
	}
	news, err := c.touch(ctx, names, tick)
	if err != nil {
		return err
	}
	if !news {
		if tick, err = c.overtake(ctx, names, tick); err != nil {
			return err
		}
	}
	if err = c.publish(ctx, origin, names, tick); err == nil {
		c.sweeper.offer(names, tick)
	}
	return err
}

// overtake takes one more tick for an invalidation whose first was not above all that Redis's table knows, or has forgotten, of its names.
// It returns the last tick taken. A [Space.Set] may have been faster:
//
//	1 a Set: writes version 1 to the source
//	2 we: write version 2, take tick 7
//	3 the Set: takes tick 8, notes it in the table, where it finds nothing new, and stores version 1, good up to tick 8
//	4 we: note tick 7, which is below 8, and acknowledge; version 1 stays
//
// Once is enough. Whoever claims a name after our first touch finds tick 7 or more: it stores only if its snapshot is from after that
// tick, and then it wrote after our change. Where the table has lost the name, the floor is above 7, or missing.
func (c *Cache) overtake(ctx context.Context, names []string, tick uint64) (uint64, error) {
	second, err := c.takeTick(ctx)
	if err != nil {
		return tick, err
	}
	_, err = c.touch(ctx, names, second)
	return second, err
}

func (c *Cache) takeTick(ctx context.Context) (uint64, error) {
	ctx, cancel := c.remoteContext(ctx)
	defer cancel()
	return c.remote.TakeTick(ctx, c.guard.Heard())
}

// deleteRemote deletes the keys among names.
func (c *Cache) deleteRemote(ctx context.Context, names []string) error {
	ctx, cancel := c.remoteContext(ctx)
	defer cancel()
	keys := make([]string, 0, len(names))
	for _, name := range names {
		if key, ok := strings.CutPrefix(name, keyName); ok {
			keys = append(keys, key)
		}
	}
	return c.remote.Delete(ctx, keys)
}

// touch notes names in Redis's table. See [remote.Store.Touch] for news.
func (c *Cache) touch(ctx context.Context, names []string, tick uint64) (news bool, err error) {
	ctx, cancel := c.remoteContext(ctx)
	defer cancel()
	news, whole, err := c.remote.Touch(ctx, names, tick)
	if err == nil && !whole {
		c.mender.wake()
	}
	return news, err
}

func (c *Cache) publish(ctx context.Context, origin string, names []string, tick uint64) error {
	ctx, cancel := c.remoteContext(ctx)
	defer cancel()
	return c.bus.Publish(ctx, bus.Message{Kind: bus.Invalidate, Tick: tick, Origin: origin, Names: names})
}

// apply outdates names in this pod. Deleting them from L1 only frees their room.
func (c *Cache) apply(names []string, tick uint64) {
	c.guard.Apply(names, tick)
	c.free(names)
}

// drop outdates names in this pod where their invalidation got no tick: the source may have changed, and this pod's callers know. What others
// have stays as it is.
func (c *Cache) drop(names []string) {
	if len(names) > 0 {
		c.guard.Drop(names)
		c.free(names)
	}
}

// free deletes what was outdated from L1; who waits for another pod's load of it may find its lease free.
func (c *Cache) free(names []string) {
	waited := c.waiters.some() // who comes later asks Redis when the names are deleted there
	var sp *space              // of the key before
	for kind, run := range runs(names) {
		spaceOf, ok := strings.CutPrefix(kind, keyName)
		if !ok {
			continue
		}
		if sp == nil || sp.name != spaceOf {
			sp = c.spaceNamed(spaceOf)
		}
		for _, name := range run {
			if waited {
				c.waiters.wake(name[len(keyName):])
			}
			if id := name[len(kind)+1:]; sp != nil && c.store.Has(sp.number, id) {
				c.keeper.offer(keeperJob{space: sp.number, id: id})
			}
		}
	}
}

func (c *Cache) spaceNamed(name string) *space {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.byName[name]
}

// entitySet is the entities that a space's loaders have depended on.
type entitySet struct {
	mu    sync.RWMutex // guards names
	names map[string]struct{}
}

const maxEntities = 1024 // more are not remembered; only a count in health rests on them

func (s *entitySet) add(names []remote.Name) {
	for _, n := range names {
		tag := n.Text
		if strings.HasPrefix(tag, entityName) && !s.has(tag) {
			s.mu.Lock()
			if s.names == nil {
				s.names = make(map[string]struct{})
			}
			if len(s.names) < maxEntities {
				s.names[tag] = struct{}{}
			}
			s.mu.Unlock()
		}
	}
}

// list returns the entities, in order.
func (s *entitySet) list() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	entities := make([]string, 0, len(s.names))
	for name := range s.names {
		entities = append(entities, name[len(entityName):])
	}
	slices.Sort(entities)
	return entities
}

func (s *entitySet) has(entity string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.names[entity]
	return ok
}
