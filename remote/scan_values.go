package remote

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// A ValueInfo is what Redis knows of a value without reading it whole.
type ValueInfo struct {
	Key     string
	Written time.Time     // when its source was read; zero: written in a version that this build does not read
	TTL     time.Duration // until it is gone; 0: it does not expire
	Size    int64         // bytes of Redis's memory, its key and what Redis keeps about it included
}

// writtenEnd is where the write time of an [Envelope] ends.
const writtenEnd = 43

// Values returns those of keys that hold a value: not a marker, and not what is none of ours. Whether a value is still valid, it does
// not ask.
func (s *Store) Values(ctx context.Context, keys []string) ([]string, error) {
	kinds := make([]*redis.StringCmd, len(keys))
	err := s.look(ctx, func(p redis.Pipeliner) {
		for i, key := range keys {
			kinds[i] = p.GetRange(ctx, s.EntryKey(key), 0, 0)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("remote: look at %d keys: %w", len(keys), err)
	}
	values := make([]string, 0, len(keys))
	for i, key := range keys {
		if isValue(kinds[i].Val()) {
			values = append(values, key)
		}
	}
	return values, nil
}

// Describe describes those of keys that hold a value.
func (s *Store) Describe(ctx context.Context, keys []string) ([]ValueInfo, error) {
	heads, lives, sizes := make([]*redis.StringCmd, len(keys)), make([]*redis.DurationCmd, len(keys)), make([]*redis.IntCmd, len(keys))
	err := s.look(ctx, func(p redis.Pipeliner) {
		for i, key := range keys {
			entry := s.EntryKey(key)
			heads[i] = p.GetRange(ctx, entry, 0, writtenEnd-1)
			lives[i] = p.PTTL(ctx, entry)
			sizes[i] = p.MemoryUsage(ctx, entry)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("remote: describe %d keys: %w", len(keys), err)
	}
	values := make([]ValueInfo, 0, len(keys))
	for i, key := range keys {
		if head := heads[i].Val(); isValue(head) {
			values = append(values, ValueInfo{Key: key, Written: writtenOf(head), TTL: max(0, lives[i].Val()), Size: sizes[i].Val()})
		}
	}
	return values, nil
}

// look runs a pipeline in which a key may be gone, or no string.
func (s *Store) look(ctx context.Context, fill func(redis.Pipeliner)) error {
	pipe := s.client.Pipeline()
	fill(pipe)
	cmds, err := pipe.Exec(ctx)
	if err == nil {
		return nil
	}
	for _, cmd := range cmds {
		if err := cmd.Err(); err != nil && !errors.Is(err, redis.Nil) && !strings.HasPrefix(err.Error(), "WRONGTYPE") {
			return err
		}
	}
	return nil
}

func isValue(head string) bool { return head != "" && head[0] == kindValue }

func writtenOf(head string) time.Time {
	if len(head) < writtenEnd || head[1] != formatVersion {
		return time.Time{}
	}
	return fromMicros([]byte(head[writtenEnd-8:]))
}
