package remote

import (
	"context"
	"fmt"
	"time"
)

// longestLead is how long a lease of a feed may live: what lies in its place for longer was left by somebody else, or by a clock that went back.
const longestLead = time.Hour

// Lead takes or extends the lease of feed for holder, until ttl (from a millisecond to an hour) has passed. It is false when another holds it.
// A failover may forget the lease: for a moment two have it.
func (s *Store) Lead(ctx context.Context, feed, holder string, ttl time.Duration) (bool, error) {
	n, err := leadScript.Run(ctx, s.client, []string{s.leadKey(feed)}, holder, min(max(1, ttl.Milliseconds()), longestLead.Milliseconds()), longestLead.Milliseconds()).Int()
	if err != nil {
		return false, fmt.Errorf("remote: lease of %.128q: %w", feed, err)
	}
	return n == 1, nil
}

// Resign gives the lease of feed back, if holder has it.
func (s *Store) Resign(ctx context.Context, feed, holder string) error {
	if err := resignScript.Run(ctx, s.client, []string{s.leadKey(feed)}, holder).Err(); err != nil {
		return fmt.Errorf("remote: give back the lease of %.128q: %w", feed, err)
	}
	return nil
}
