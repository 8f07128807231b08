package tier

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/tandem-cache/tandem/remote"
)

// Dependents yields the keys of the entries in L2, of every space, that were made from the object id of entity: each reads
// domain:type:identifier. See [DependsOn].
//
// It reads the index, which is kept beside the entries and not with them: it may name entries that are gone by now or that no longer
// depend on the object, and one twice; it lacks those that L1 alone holds, those filled a moment ago or more than
// a day before the object's last fill, those whose note failed (tandem_index_dropped_total), the oldest of more than a million, and what
// Redis has evicted of it. What an invalidation outdates does not rest on it. An error ends it; with L1 alone, where there is no index, it is an [errors.ErrUnsupported].
func (c *Cache) Dependents(ctx context.Context, entity, id string) iter.Seq2[string, error] {
	return func(yield func(key string, err error) bool) {
		if err := c.dependents(ctx, entity, id, func(key string) bool { return yield(key, nil) }); err != nil {
			yield("", fmt.Errorf("tier: dependents of %s: %w", shown(Tag(entity, id)), err))
		}
	}
}

// dependents calls yield until it returns false.
func (c *Cache) dependents(ctx context.Context, entity, id string, yield func(key string) bool) error {
	switch err := checkTag(entity, id); {
	case err != nil:
		return err
	case c.flights.isClosed():
		return ErrClosed
	case c.remote == nil:
		return fmt.Errorf("L1 alone has no index: %w", errors.ErrUnsupported)
	}
	for cursor := uint64(0); ; {
		keys, next, err := c.someDependents(ctx, Tag(entity, id), cursor)
		if err != nil {
			return err
		}
		for _, key := range keys {
			if !yield(key) {
				return nil
			}
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

func (c *Cache) someDependents(ctx context.Context, tag string, cursor uint64) (keys []string, next uint64, err error) {
	ctx, cancel := c.remoteContext(ctx)
	defer cancel()
	return c.remote.Dependents(ctx, tag, cursor)
}

func dependentOf(fill remote.Fill, env *remote.Envelope) remote.Dependent {
	d := remote.Dependent{Key: fill.Key, Life: fill.Life}
	for _, n := range env.Names {
		if strings.HasPrefix(n.Text, tagName) {
			d.Tags = append(d.Tags, n)
		}
	}
	return d
}
