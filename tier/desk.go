package tier

import (
	"context"
	"slices"
	"sync"

	"github.com/tandem-cache/tandem/remote"
)

const (
	deskCalls = 4   // under way at a time
	deskAsks  = 256 // leases that one of them asks for
)

// A desk asks Redis for leases on behalf of flights. While few are wanted, each is a call of its own; while deskCalls are under way, further
// ones wait and share the next. A hundred flights of a pod that has just started, each of which asks again when it is woken, would otherwise
// wait for each other's connections, and thirty such pods for the processor that makes a call of each.
//
// A flight's queue is bounded by its number: each has one ask.
type desk struct {
	cache *Cache

	mu      sync.Mutex // guards the fields below
	waiting []*petition
	calls   int
	running sync.WaitGroup
}

// A petition is one flight's ask.
type petition struct {
	ctx    context.Context //nolint:containedctx // the flight's, whose values the call has if the petition is its first
	ask    remote.Ask
	answer chan remote.Lease // takes one
}

// acquire asks for one lease, of ask.Life. When ctx ends before the answer comes, the lease may yet be granted.
func (d *desk) acquire(ctx context.Context, ask remote.Ask) remote.Lease {
	p := &petition{ctx: ctx, ask: ask, answer: make(chan remote.Lease, 1)}
	d.mu.Lock()
	d.waiting = append(d.waiting, p)
	if d.calls < deskCalls {
		d.calls++
		d.running.Go(d.serve)
	}
	d.mu.Unlock()
	select {
	case lease := <-p.answer:
		return lease
	case <-ctx.Done():
		return remote.Lease{Err: context.Cause(ctx)}
	}
}

// serve makes calls until nobody waits.
func (d *desk) serve() {
	for {
		some := d.take()
		if len(some) == 0 {
			return
		}
		asks := make([]remote.Ask, len(some))
		for i, p := range some {
			asks[i] = p.ask
		}
		for i, lease := range d.cache.remoteAcquire(context.WithoutCancel(some[0].ctx), asks) {
			some[i].answer <- lease
		}
	}
}

// take takes what one call asks for. If nobody waits, the calls are one less: both under one lock, or a petition that comes in between would
// wait for nobody.
func (d *desk) take() []*petition {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting = slices.DeleteFunc(d.waiting, func(p *petition) bool { return p.ctx.Err() != nil })
	n := min(len(d.waiting), deskAsks)
	some := slices.Clone(d.waiting[:n])
	d.waiting = slices.Delete(d.waiting, 0, n)
	if n == 0 {
		d.calls--
	}
	return some
}

// close waits for the calls that are under way. Nobody may ask any more.
func (d *desk) close() { d.running.Wait() }
