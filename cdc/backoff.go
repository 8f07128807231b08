package cdc

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff counts the pauses after failures in a row.
type backoff struct {
	lowest, highest time.Duration
	last            time.Duration // before the random part was taken off
}

// next returns the pause after one more failure. What is random of it comes from
// the clock alone: in virtual time it comes out the same again.
func (b *backoff) next() time.Duration {
	b.last = min(max(2*b.last, b.lowest), b.highest)
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	return b.last - time.Duration(random.Int64N(int64(b.last/2+1)))
}

// reset follows a success.
func (b *backoff) reset() { b.last = 0 }

// sleep waits for d or for the end of ctx, and returns the latter's error.
func sleep(ctx context.Context, d time.Duration) error { return sleepUntil(ctx, d, nil) }

// sleepUntil is a sleep that back ends early.
func sleepUntil(ctx context.Context, d time.Duration, back <-chan struct{}) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
	case <-back:
	}
	return nil
}

// back returns a channel that is closed when the feed hears its server again after a silence; nil: the feed cannot tell. A pause of
// MaxBackoff, begun just before the server came back, would leave old values valid for as long.
func (f *Follower) back() <-chan struct{} {
	if feed, ok := f.cfg.Feed.(interface{ Back() <-chan struct{} }); ok {
		return feed.Back()
	}
	return nil
}
