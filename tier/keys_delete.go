package tier

import (
	"context"
	"slices"

	"github.com/tandem-cache/tandem/local"
)

// A keyDeletion is a Delete under way.
type keyDeletion struct {
	*keyWalk
	flushed map[string]struct{} // spaces

	last   string // the space that covers was asked about last: keys of one follow each other
	answer bool
}

// An invalidation occupies Redis for longer than a look, most of it with the table of recent names. So few go
// at once, and each counts against the rate.
const (
	keyBatch  = 10
	keyWeight = 4 // looks, for each name; with 2 other clients' p99 rose threefold on a busy machine
)

// maxFlushed bounds keyDeletion.flushed: after so many, one may be flushed again.
const maxFlushed = 4096

// delete flushes the spaces that the pattern covers, and invalidates other keys one by one.
//
// The keys of a flushed space are removed from L2 without a tick or a message: they are dead, as the table knows. A value that was filled
// since is removed with them, which is an eviction and outdates nobody's copy. As invalidations, a million keys would push all
// else out of the tables of recent names. Those keys leave the indexes as well.
func (c *Cache) delete(ctx context.Context, q KeyQuery, within string) (n KeyCount, err error) {
	defer func() { err = keysError("delete", q, err) }()
	w, err := c.newWalk(q, within)
	if err != nil {
		return n, err
	}
	d := keyDeletion{keyWalk: w, flushed: make(map[string]struct{})}
	if n.L1, err = d.countValid(ctx); err != nil {
		return n, err
	}
	if err := d.flush(ctx, c.spaceNames()); err != nil {
		return n, err
	}
	for keys, err := range d.scan(ctx, d.glob()) {
		if err != nil {
			return n, err
		}
		if err := d.forget(ctx, keys); err != nil {
			return n, err
		}
		found, err := d.remove(ctx, d.matching(keys))
		if err != nil {
			return n, err
		}
		n.L2 += found
	}
	return n, d.removeLocal(ctx)
}

func (c *Cache) spaceNames() []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	names := make([]string, len(c.spaces))
	for i, sp := range c.spaces {
		names[i] = sp.name
	}
	return names
}

// covers says whether the pattern matches every key of space.
func (d *keyDeletion) covers(space string) bool {
	if space != d.last {
		d.last, d.answer = space, d.pattern.covers(space)
	}
	return d.answer
}

// flush outdates those of spaces that the pattern covers, unless that was done.
func (d *keyDeletion) flush(ctx context.Context, spaces []string) error {
	var names []string
	for _, space := range spaces {
		if name := SpaceName(space); !d.isFlushed(space) && !slices.Contains(names, name) && d.covers(space) {
			names = append(names, name)
		}
	}
	if err := d.invalidate(ctx, names); err != nil {
		return err
	}
	if len(d.flushed)+len(names) > maxFlushed {
		clear(d.flushed)
	}
	for _, name := range names {
		d.flushed[name[len(spaceName):]] = struct{}{}
	}
	return nil
}

func (d *keyDeletion) isFlushed(space string) bool {
	_, done := d.flushed[space]
	return done
}

// remove deletes a page of keys and returns how many were values.
func (d *keyDeletion) remove(ctx context.Context, page []string) (found int, err error) {
	var covered, names []string
	var spaces []string // of covered; as a rule they are flushed already
	for _, key := range page {
		space, id, _ := splitKey(key)
		if d.covers(space) {
			covered, spaces = append(covered, key), append(spaces, space)
		} else {
			names = append(names, Key(space, id)) // of markers too: who loads now has read the source before
		}
	}
	if err := d.flush(ctx, spaces); err != nil {
		return 0, err
	}
	values, err := d.values(ctx, page)
	if err != nil {
		return 0, err
	}
	if err := d.invalidateEach(ctx, names); err != nil {
		return 0, err
	}
	return len(values), d.evict(ctx, covered, values)
}

// evict removes from L2 those of covered that are values. Markers stay: their loads either began after the flush, or fill what is dead.
func (d *keyDeletion) evict(ctx context.Context, covered, values []string) error {
	isCovered := make(map[string]struct{}, len(covered))
	for _, key := range covered {
		isCovered[key] = struct{}{}
	}
	var gone []string
	for _, key := range values {
		if _, ok := isCovered[key]; ok {
			gone = append(gone, key)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	return d.ask(ctx, func(ctx context.Context) error { return d.cache.remote.Delete(ctx, gone) })
}

// removeLocal outdates the entries that are in this pod only: in L1, on the way there, or being loaded without a marker in L2. Flights come
// first: one that is no more among them has been shown by L1 since.
func (d *keyDeletion) removeLocal(ctx context.Context) error {
	names := d.flying()
	send := func() error {
		err := d.invalidateEach(ctx, names)
		names = names[:0]
		return err
	}
	for k, err := range d.locals(ctx) {
		if err != nil {
			return err
		}
		if d.covers(k.space.name) || d.cache.guard.Check(k.entry) == local.Dead {
			continue
		}
		names = append(names, Key(k.space.name, k.entry.ID))
		if len(names) >= keyBatch {
			if err := send(); err != nil {
				return err
			}
		}
	}
	return send()
}

// flying returns the names of the entries in the table of flights that match and are not covered.
func (d *keyDeletion) flying() (names []string) {
	for _, key := range d.cache.flights.keys() {
		if sp := d.cache.spaceNumbered(key.space); d.pattern.match(sp.key(key.id)) && !d.covers(sp.name) {
			names = append(names, Key(sp.name, key.id))
		}
	}
	return names
}

// invalidateEach outdates keys as the rate allows. With L1 alone it does not wait.
func (d *keyDeletion) invalidateEach(ctx context.Context, names []string) error {
	for batch := range slices.Chunk(names, keyBatch) {
		if d.cache.remote != nil {
			if err := d.pause(ctx, keyWeight*len(batch)); err != nil {
				return err
			}
		}
		if err := d.invalidate(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

// invalidate is [Cache.Invalidate], tried again where Redis fails.
func (d *keyDeletion) invalidate(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	return d.insist(ctx, func(ctx context.Context) error { return d.cache.Invalidate(ctx, names...) })
}
