package remote

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// IndexScanCount is about how many entries of an index one call of [Store.Indexing] looks at.
const IndexScanCount = 64

// IsIndex reports whether a key, without the cache's name, is that of an index or of its entries' ends.
func IsIndex(key string) bool {
	return strings.HasPrefix(key, "{tag:") && (strings.HasSuffix(key, "}") || strings.HasSuffix(key, "}:ends"))
}

// Indexing returns some of the entries in an index that match glob, and the cursor for the next call: 0 at first, and again at the end. A
// small index is looked at whole. What is no index has none.
func (s *Store) Indexing(ctx context.Context, index, glob string, cursor uint64) (entries []string, next uint64, err error) {
	pairs, next, err := s.client.ZScan(ctx, s.prefix+index, cursor, glob, IndexScanCount).Result()
	if _, refused := errors.AsType[redis.Error](err); refused && strings.HasPrefix(err.Error(), "WRONGTYPE") {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("remote: entries of %.128q: %w", index, err)
	}
	for i := 0; i < len(pairs); i += 2 { // entry, score
		entries = append(entries, pairs[i])
	}
	return entries, next, nil
}

// Unindex takes entries out of an index. They are few: Redis does nothing else meanwhile.
func (s *Store) Unindex(ctx context.Context, index string, entries []string) error {
	members := make([]any, len(entries))
	for i, entry := range entries {
		members[i] = entry
	}
	if err := s.client.ZRem(ctx, s.prefix+index, members...).Err(); err != nil {
		return fmt.Errorf("remote: take %d entries out of %.128q: %w", len(entries), index, err)
	}
	return nil
}
