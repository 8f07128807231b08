package remote

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// The index names the entries that were made from an object, so that they can be listed, and deleted once it was invalidated. Nothing
// rests on it: an entry that it lacks is found dead by who reads it, as if there were no index.
//
// It is a sorted set for each object, {entry → tick at which the entry stands on the object}, at <cache>:{tag:<entity>:<id>}. Where entries
// expire there is another one at <cache>:{tag:<entity>:<id>}:ends, {entry → ms when it does}. Entries go from both when their object is
// invalidated, some that have expired with each note, and all with the index's life: after a key was invalidated, a space flushed,
// keys deleted or a space taken out of the program, nothing is left after a day.
const (
	// indexCapacity bounds the entries of one index, at about 120 bytes each. A full one forgets those with the lowest ticks.
	indexCapacity = 1 << 20

	// indexLife is how long an index lives after its last note, if its entries don't expire sooner. What is older is left to its readers.
	indexLife = 24 * time.Hour

	// indexCall is how many keys one call of a script may have: so long it keeps other clients waiting.
	indexCall = 128

	// indexPage is about how many entries a call of Dependents returns.
	indexPage = 512
)

// indexKey is where the index of an object is, whose tag reads t:<entity>:<id>.
func (s *Store) indexKey(tag string) string {
	return s.prefix + "{tag:" + strings.TrimPrefix(tag, "t:") + "}"
}

// A Dependent is an entry and the tags that it stands on.
type Dependent struct {
	Key  string
	Tags []Name
	Life time.Duration // 0 for ever: an index lives as long as the longest of its entries
}

// Index notes entries in the indexes of their tags. It is called after they were stored.
func (s *Store) Index(ctx context.Context, entries []Dependent) error {
	err := s.pipelined(ctx, []*redis.Script{indexAddScript}, func(p redis.Pipeliner) {
		for _, e := range entries {
			s.indexOne(ctx, p, e)
		}
	})
	if err != nil {
		return fmt.Errorf("remote: index %d entries, the first %.128q: %w", len(entries), entries[0].Key, err)
	}
	return nil
}

func (s *Store) indexOne(ctx context.Context, p redis.Pipeliner, e Dependent) {
	ms := e.Life.Milliseconds()
	if e.Life > 0 {
		ms = max(ms, 1)
	}
	for call := range slices.Chunk(e.Tags, min(s.keysPerCall(), indexCall)) {
		indexes, args := make([]string, len(call)), []any{e.Key, ms, s.indexCapacity, s.indexLife.Milliseconds()}
		for i, tag := range call {
			indexes[i] = s.indexKey(tag.Text)
			args = append(args, tag.Tick)
		}
		indexAddScript.EvalSha(ctx, p, indexes, args...)
	}
}

// Indexed returns those of tags that have an index. Most invalidated objects have none: it asks for many at once, and where the answer is
// not "none of them" for fewer.
func (s *Store) Indexed(ctx context.Context, tags []Name) ([]Name, error) {
	const fewer = 32 // 512, 16, 1 at once
	for size := s.keysPerCall(); len(tags) > 0; size = max(1, size/fewer) {
		var asked [][]Name
		var cmds []*redis.IntCmd
		err := s.exec(ctx, func(p redis.Pipeliner) {
			for group := range slices.Chunk(tags, size) {
				asked = append(asked, group)
				cmds = append(cmds, p.Exists(ctx, s.indexKeys(group)...))
			}
		})
		if err != nil {
			return nil, fmt.Errorf("remote: look for indexes of %d tags: %w", len(tags), err)
		}
		var some []Name
		for i, cmd := range cmds {
			if cmd.Val() > 0 {
				some = append(some, asked[i]...)
			}
		}
		if tags = some; size == 1 {
			break
		}
	}
	return tags, nil
}

func (s *Store) indexKeys(tags []Name) []string {
	keys := make([]string, len(tags))
	for i, tag := range tags {
		keys[i] = s.indexKey(tag.Text)
	}
	return keys
}

// Sweep deletes entries that stand on one of tags with a tick below the tag's, at most limit of each. more are the tags of which there
// may be others. What an error interrupts may be out of the index and not deleted.
//
// An entry is taken out of the index first and looked at afterwards. Were it deleted because it was in the index:
//
//	1 sweep: takes the entry, which an invalidation has outdated
//	2 a reader: finds it dead, loads it again, fills it
//	3 sweep: deletes the fresh value
func (s *Store) Sweep(ctx context.Context, tags []Name, limit int) (more []Name, deleted int, err error) {
	taken, err := s.takeDependents(ctx, tags, limit)
	if err != nil {
		return nil, 0, fmt.Errorf("remote: take dependents of %d tags: %w", len(tags), err)
	}
	deleted, err = s.dropOutdated(ctx, tags, taken)
	if err != nil {
		return nil, deleted, fmt.Errorf("remote: delete dependents of %d tags: %w", len(tags), err)
	}
	for i, keys := range taken {
		if len(keys) == limit {
			more = append(more, tags[i])
		}
	}
	return more, deleted, nil
}

func (s *Store) takeDependents(ctx context.Context, tags []Name, limit int) ([][]string, error) {
	cmds := make([]*redis.Cmd, len(tags))
	err := s.pipelined(ctx, []*redis.Script{indexTakeScript}, func(p redis.Pipeliner) {
		for i, tag := range tags {
			cmds[i] = indexTakeScript.EvalSha(ctx, p, []string{s.indexKey(tag.Text)}, tag.Tick, limit)
		}
	})
	if err != nil {
		return nil, err
	}
	taken := make([][]string, len(tags))
	for i, cmd := range cmds {
		if taken[i], err = cmd.StringSlice(); err != nil {
			return nil, err
		}
	}
	return taken, nil
}

// dropOutdated deletes those of the keys taken for each tag that hold a value which the tag outdates.
func (s *Store) dropOutdated(ctx context.Context, tags []Name, taken [][]string) (deleted int, err error) {
	var cmds []*redis.Cmd
	err = s.pipelined(ctx, []*redis.Script{indexDropScript}, func(p redis.Pipeliner) {
		cmds = cmds[:0]
		for i, tag := range tags {
			text := append(binary.AppendUvarint(nil, uint64(len(tag.Text))), tag.Text...)
			for call := range slices.Chunk(s.entryKeys(taken[i]), min(s.keysPerCall(), indexCall)) {
				cmds = append(cmds, indexDropScript.EvalSha(ctx, p, call, tag.Tick, text))
			}
		}
	})
	for _, cmd := range cmds {
		n, _ := cmd.Int()
		deleted += n
	}
	return deleted, err
}

// Dependents returns some of the entries in the index of a tag, and the cursor for the next call: 0 at first, and again at the end. An
// entry that is there from the first call to the last comes at least once.
func (s *Store) Dependents(ctx context.Context, tag string, cursor uint64) (keys []string, next uint64, err error) {
	pairs, next, err := s.client.ZScan(ctx, s.indexKey(tag), cursor, "", indexPage).Result()
	if err != nil {
		return nil, 0, fmt.Errorf("remote: dependents of %.128q: %w", tag, err)
	}
	for pair := range slices.Chunk(pairs, 2) { // entry, tick
		keys = append(keys, pair[0])
	}
	return keys, next, nil
}
