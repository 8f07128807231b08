package tier

import (
	"context"

	"github.com/tandem-cache/tandem/remote"
)

// mayCover reports whether the pattern may match every key of some space: it ends with a run, and has nothing else after a second colon.
func (p pattern) mayCover() bool {
	if len(p) == 0 || p[len(p)-1] != anyRun {
		return false
	}
	colons := 0
	for _, g := range p[:len(p)-1] {
		if colons == 2 && g != anyRun {
			return false
		}
		if g == ':' {
			colons++
		}
	}
	return true
}

// isAll reports whether the pattern matches every key.
func (p pattern) isAll() bool { return len(p) == 1 && p[0] == anyRun }

// glob is what a deletion scans. One that may cover a space looks at the indexes, too, in the same walk: Redis looks at all keys anyway.
func (d *keyDeletion) glob() string {
	if d.pattern.mayCover() {
		return "*"
	}
	return d.pattern.glob()
}

// forget takes out of the indexes among keys the entries of covered spaces, and deletes those indexes if all spaces are covered.
//
// Nothing rests on an index. An entry of a covered space that was filled since the flush may be taken out, too: the next invalidation of
// its objects outdates it, and leaves its room to be freed by a reader or by Redis.
func (d *keyDeletion) forget(ctx context.Context, keys []string) error {
	if !d.pattern.mayCover() {
		return nil
	}
	var indexes []string
	for _, key := range keys {
		if remote.IsIndex(key) {
			indexes = append(indexes, key)
		}
	}
	if d.pattern.isAll() {
		if len(indexes) == 0 {
			return nil
		}
		return d.ask(ctx, func(ctx context.Context) error { return d.cache.remote.Delete(ctx, indexes) })
	}
	for _, index := range indexes {
		if err := d.prune(ctx, index); err != nil {
			return err
		}
	}
	return nil
}

// prune takes the entries of covered spaces out of an index. Each that it looks at counts against the rate, as a key does.
func (d *keyDeletion) prune(ctx context.Context, index string) error {
	for cursor := uint64(0); ; {
		if err := d.pause(ctx, remote.IndexScanCount); err != nil {
			return err
		}
		var entries []string
		var next uint64
		err := d.ask(ctx, func(ctx context.Context) (err error) {
			entries, next, err = d.cache.remote.Indexing(ctx, index, d.pattern.glob(), cursor)
			return err
		})
		if err != nil {
			return err
		}
		covered := entries[:0]
		for _, entry := range entries {
			if space, _, err := splitKey(entry); err == nil && d.covers(space) {
				covered = append(covered, entry)
			}
		}
		if len(covered) > 0 {
			err := d.ask(ctx, func(ctx context.Context) error { return d.cache.remote.Unindex(ctx, index, covered) })
			if err != nil {
				return err
			}
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}
