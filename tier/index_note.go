package tier

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/tandem-cache/tandem/remote"
)

const (
	noteQueue = 1 << 16 // tags of the entries that wait to be noted; further entries are not noted
	noteCall  = 128     // tags that one call notes, or one entry's if those are more
)

// A noter notes in the index what was stored in L2. Nobody waits for it: callers have their values, and a Set its answer.
//
// One goroutine makes the calls, and each carries as many entries as wait, up to noteCall tags. Were each entry a call of its own:
//
//	1 two thousand loads of a pod end; each fills L2
//	2 each notes its entry: two thousand calls for twenty connections, and the clock of each runs while it waits for one
//	3 most end after RemoteTimeout unsent: of 100,000 entries of one object, Redis named 30,000 to 46,000
//
// What it can't do, because its queue is full or Redis fails, it counts and forgets: an invalidation outdates those entries all the same, and
// they stay in L2 until they are read, expire or are evicted.
type noter struct {
	cache    *Cache
	capacity int // noteQueue, but for a test

	mu      sync.Mutex // guards the fields below
	waiting []remote.Dependent
	tags    int  // of those
	serving bool // a goroutine runs serve
	closed  bool // none may begin to
	running sync.WaitGroup

	dropped atomic.Uint64 // entries
}

// offer asks for entries to be noted. It does not wait. Those without tags have no place in an index.
func (n *noter) offer(stored []remote.Dependent) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, entry := range stored {
		switch {
		case len(entry.Tags) == 0:
			continue
		case n.closed, n.tags > 0 && n.tags+len(entry.Tags) > n.capacity: // one alone is always taken
			n.dropped.Add(1)
			continue
		}
		n.waiting = append(n.waiting, entry)
		n.tags += len(entry.Tags)
	}
	if len(n.waiting) > 0 && !n.serving {
		n.serving = true
		n.running.Go(n.serve)
	}
}

// serve makes calls until nothing waits.
func (n *noter) serve() {
	for {
		some := n.take()
		if len(some) == 0 {
			return
		}
		err := n.cache.attempt(context.Background(), opIndex, func(ctx context.Context) error { return n.cache.remote.Index(ctx, some) })
		if err != nil {
			n.failed(len(some))
		}
	}
}

// take takes the entries of one call from the queue. If there are none, serve ends: both under one lock, or an entry that comes in between
// would wait for nobody.
func (n *noter) take() []remote.Dependent {
	n.mu.Lock()
	defer n.mu.Unlock()
	count, tags := 0, 0
	for _, entry := range n.waiting {
		if count > 0 && tags+len(entry.Tags) > noteCall {
			break
		}
		count++
		tags += len(entry.Tags)
	}
	some := n.waiting[:count:count]
	n.waiting = n.waiting[count:]
	n.tags -= tags
	if n.serving = count > 0; !n.serving {
		n.waiting = nil
	}
	return some
}

// failed counts the entries of a call that failed, and while the breaker is open or the cache is closing all that wait, too: Close does not wait
// for a Redis that doesn't answer.
func (n *noter) failed(entries int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || n.cache.breaker.isOpen() {
		entries += len(n.waiting)
		n.waiting, n.tags = nil, 0
	}
	n.dropped.Add(uint64(entries))
}

// close waits until what was offered is noted, or a call has failed.
func (n *noter) close() {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	n.running.Wait()
}
