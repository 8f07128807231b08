package tier

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/semaphore"
)

// A room holds the places that a load waits for: those of the pod, and those that its space may have of them, a half. Loaders that hang keep
// their places; so those of one space leave the others something. A space that is alone may have all.
//
// The space's place is taken first. Otherwise:
//
//	1 space A: its loaders hang, and have half of the places
//	2 further loads of A: take the other half, and wait for their space's
//	3 every other space: waits, too
type room struct {
	pod, space *semaphore.Weighted // space is nil where the space is alone
}

// share is how many of a pod's places one space may have.
func share(places int64) int64 { return max(1, places/2) }

// roomOf returns the room of loads of sp. A load gives its places back to the room in which it took them: meanwhile sp may have got company.
func (c *Cache) roomOf(pod, space *semaphore.Weighted) room {
	if !c.several.Load() {
		return room{pod: pod}
	}
	return room{pod, space}
}

func (r room) try() bool {
	if r.space != nil && !r.space.TryAcquire(1) {
		return false
	}
	if !r.pod.TryAcquire(1) {
		r.leaveSpace()
		return false
	}
	return true
}

func (r room) acquire(ctx context.Context) error {
	if r.space != nil && r.space.Acquire(ctx, 1) != nil {
		return fmt.Errorf("waiting behind the places of its space, half of MaxLoads: %w", context.Cause(ctx))
	}
	if r.pod.Acquire(ctx, 1) != nil {
		r.leaveSpace()
		return fmt.Errorf("waiting behind MaxLoads: %w", context.Cause(ctx))
	}
	return nil
}

func (r room) leave() {
	r.pod.Release(1)
	r.leaveSpace()
}

func (r room) leaveSpace() {
	if r.space != nil {
		r.space.Release(1)
	}
}

// takePlace waits for one of MaxLoads' places, and one of the space's. A load begun inside another load has that one's place: waiting for a
// further one could wait for itself. So could a load that one inside another has joined; that one goes ahead.
//
// A place is taken before the lease, and not kept while another pod holds that. Otherwise the loads of two pods could wait for each other:
//
//	1 pods A and B: each has as many loads as places, and a further one, of x and y, that has its lease and waits for a place
//	2 the loads of A: need y inside, whose lease B has; those of B need x
//
// look, unless nil, is called now and then while it waits; when it is true, the wait is over, and no place is needed.
func (c *Cache) takePlace(ctx context.Context, f *flight, look func() bool) (release func(), err error) {
	if c.sharesPlace(ctx) {
		return func() {}, nil
	}
	return c.enter(ctx, f, c.roomOf(c.loads, f.space.loads), look)
}

// enter waits for places in a room, as takePlace says.
func (c *Cache) enter(ctx context.Context, f *flight, r room, look func() bool) (release func(), err error) {
	if r.try() {
		return r.leave, nil
	}
	queue, leave := context.WithCancel(ctx)
	placed := make(chan error, 1)
	go func() { placed <- r.acquire(queue) }() // ends with queue; whoever leaves waits for it
	defer leave()
	turn := time.NewTicker(maxPoll)
	defer turn.Stop()
	hurried := c.flights.hurryOf(f)
	for {
		select {
		case err := <-placed:
			if err != nil {
				return nil, err
			}
			return r.leave, nil
		case <-turn.C:
			if look == nil || !look() {
				continue
			}
		case <-hurried:
		}
		leave()
		if <-placed == nil {
			return r.leave, nil
		}
		return func() {}, nil
	}
}

// noPlace is what a flight brings that has waited for a place in vain.
func (f *flight) noPlace(err error) fetched {
	f.space.stats.refusedLoads[refusedPlace].Inc()
	return fetched{err: fmt.Errorf("tier: load %s: %w", shown(f.key()), err), from: tierSource}
}
