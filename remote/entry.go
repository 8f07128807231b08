package remote

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Calls for many keys are one pipeline a shard. Some keys may fail while others do not: each answer has an error of its own.

// A Stored is what Redis has for a key.
type Stored struct {
	Raw []byte // nil: nothing, or a marker: somebody loads. Bytes that are no string are an empty slice
	Err error
}

// GetMany returns what is stored for each of keys.
func (s *Store) GetMany(ctx context.Context, keys []string) []Stored {
	if len(keys) == 1 { // without the cost of a pipeline
		return []Stored{storedOf(s.client.Get(ctx, s.EntryKey(keys[0])), keys[0])}
	}
	pipe := s.client.Pipeline()
	cmds := make([]*redis.StringCmd, len(keys))
	for i, key := range keys {
		cmds[i] = pipe.Get(ctx, s.EntryKey(key))
	}
	_, _ = pipe.Exec(ctx) // its error is one of the commands'
	stored := make([]Stored, len(keys))
	for i, cmd := range cmds {
		stored[i] = storedOf(cmd, keys[i])
	}
	return stored
}

func storedOf(cmd *redis.StringCmd, key string) Stored {
	raw, err := cmd.Bytes()
	switch {
	case errors.Is(err, redis.Nil):
		return Stored{}
	case err != nil && strings.HasPrefix(err.Error(), "WRONGTYPE"):
		return Stored{Raw: []byte{}}
	case err != nil:
		return Stored{Err: fmt.Errorf("remote: get %.128q: %w", key, err)}
	case len(raw) > 0 && raw[0] == kindMarker:
		return Stored{}
	}
	return Stored{Raw: raw}
}

// Get returns what is stored for key.
func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {
	stored := storedOf(s.client.Get(ctx, s.EntryKey(key)), key)
	return stored.Raw, stored.Err
}

// Delete removes values and markers of keys.
func (s *Store) Delete(ctx context.Context, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	err := s.exec(ctx, func(p redis.Pipeliner) {
		for call := range slices.Chunk(s.entryKeys(keys), s.keysPerCall()) {
			p.Unlink(ctx, call...)
		}
	})
	if err != nil {
		return fmt.Errorf("remote: delete %d keys: %w", len(keys), err)
	}
	return nil
}

// keysPerCall is one in a cluster: keys of one batch lie in many slots.
func (s *Store) keysPerCall() int {
	if s.cluster {
		return 1
	}
	return 512
}

func (s *Store) entryKeys(keys []string) []string {
	entries := make([]string, len(keys))
	for i, key := range keys {
		entries[i] = s.EntryKey(key)
	}
	return entries
}
