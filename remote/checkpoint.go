package remote

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// Checkpoint returns the position up to which the changes of feed are applied, or "".
func (s *Store) Checkpoint(ctx context.Context, feed string) (string, error) {
	position, err := s.client.HGet(ctx, s.feedKey(feed), "position").Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return "", fmt.Errorf("remote: checkpoint of %q: %w", feed, err)
	}
	return position, nil
}

// Advance moves the checkpoint of feed from one position to another. It is false when the checkpoint stands elsewhere.
func (s *Store) Advance(ctx context.Context, feed, from, to string) (bool, error) {
	n, err := advanceScript.Run(ctx, s.client, []string{s.feedKey(feed)}, from, to).Int()
	if err != nil {
		return false, fmt.Errorf("remote: advance %q: %w", feed, err)
	}
	return n == 1, nil
}
