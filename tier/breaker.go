package tier

import (
	"sync/atomic"
	"time"
)

const (
	breakAfter = 3                      // failed reads of L2 in a row
	breakFor   = 500 * time.Millisecond // between two tries while Redis fails
)

// A breaker spares reads the wait for a Redis that fails: after breakAfter failures in a row L2 is left out, but for one read each
// breakFor that tries whether it is back, until one succeeds or the bus has read its head. Reads left out load without a lease; nothing
// else changes for them.
type breaker struct {
	failures atomic.Int32
	retryAt  atomic.Int64 // on the cache's clock
}

// allow says whether a read may ask L2.
func (b *breaker) allow(now time.Duration) bool {
	if b.failures.Load() < breakAfter {
		return true
	}
	at := b.retryAt.Load()
	return int64(now) >= at && b.retryAt.CompareAndSwap(at, int64(now+breakFor)) // one of those who come at once
}

// note counts the outcome of a read.
func (b *breaker) note(now time.Duration, err error) {
	if err == nil {
		b.failures.Store(0)
		return
	}
	if b.failures.Add(1) <= breakAfter {
		b.retryAt.Store(int64(now + breakFor))
	}
}
