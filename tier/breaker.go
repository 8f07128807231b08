package tier

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	breakAfter = 3                     // failed reads of L2 in a row
	minPause   = 50 * time.Millisecond // before the first probe; each further one waits twice as long,
	maxPause   = time.Second           // up to this
)

// A breaker spares reads the wait for a Redis that fails. After breakAfter failed reads in a row it is open: reads leave L2 out, they load
// without a lease and do not fill. A prober asks Redis in the background until it answers. Whatever Redis answers, to anybody, closes it.
//
// A failed read counts only if it began after the last one that counted had ended. Reads in flight together see the same stall:
//
//	1 a thousand reads are sent; Redis stalls for 150 ms
//	2 their 100 ms are over: "a thousand failures in a row"; Redis answers again, and is left out
//
// So it takes breakAfter RemoteTimeouts without an answer to open it.
type breaker struct {
	open     atomic.Bool
	troubled atomic.Bool // failures is not 0
	opened   counter     // times that it did
	skipped  counter     // reads that left L2 out because of it

	mu       sync.Mutex // guards the fields below
	failures int
	counted  time.Duration // when the last of them had ended, on the cache's clock, or Redis has answered after one
	key      string        // whose read failed last
	cause    error         // the last that is known
	since    time.Duration // when it opened
	closed   time.Duration // when it was closed last; 0: never
	pause    time.Duration // before the next probe
}

// isOpen reports whether reads leave L2 out.
func (b *breaker) isOpen() bool { return b.open.Load() }

// failed notes that the read of a key, which began and ended at instants of the cache's clock, failed. It reports whether that has opened the
// breaker.
//
// One that was closed lately, and had to open again, goes on with the pauses of before: a Redis that answers the probes and nothing else.
func (b *breaker) failed(began, ended time.Duration, key string, err error) (opened bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open.Load() || began < b.counted {
		return false
	}
	b.failures++
	b.troubled.Store(true)
	b.counted, b.key, b.cause = ended, key, err
	if b.failures < breakAfter {
		return false
	}
	if b.pause == 0 || ended-b.closed > 2*maxPause {
		b.pause = minPause
	}
	b.since = ended
	b.open.Store(true)
	b.opened.Inc()
	return true
}

// answered notes that Redis has answered somebody, which closes it.
func (b *breaker) answered(now time.Duration) {
	if !b.troubled.Load() { // the usual case: a load of memory that nobody writes
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures, b.counted = 0, now // what began before this answer says nothing of now
	b.troubled.Store(false)
	if b.open.Load() {
		b.open.Store(false)
		b.closed = now
	}
}

// trouble is what is known of an open breaker; ok is false if it is closed.
func (b *breaker) trouble() (since time.Duration, cause error, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.since, b.cause, b.open.Load()
}

// learned is the cause of a failure that was found out since.
func (b *breaker) learned(cause error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cause = cause
}

// next is the pause before a probe, and the key to be asked for: in a cluster the one whose node failed.
func (b *breaker) next() (pause time.Duration, key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	pause = b.pause
	b.pause = min(2*b.pause, maxPause)
	return pause, b.key
}
