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
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
