package tier

import (
	"sync/atomic"
	"time"

	"github.com/tandem-cache/tandem/remote"
)

const (
	leaseLoads = 5                      // usual loads that a lease outlasts
	minLease   = 200 * time.Millisecond // also of loads that take a millisecond
	coldLease  = time.Second            // of a space of which no load was timed yet
	leaseTurns = 3                      // a lease is renewed so often in its life, and lasts while all but one of them fail
)

// A usualTime is a running mean of durations, over about the last eight. Of two noted at once one may get lost.
type usualTime struct {
	ns atomic.Int64 // 0: unknown
}

func (u *usualTime) note(took time.Duration) {
	took = max(took, 1)
	mean := u.ns.Load()
	if mean == 0 {
		mean = int64(took)
	}
	u.ns.Store(max(1, mean+(int64(took)-mean)/8))
}

// guess notes what another pod has measured, as long as this one has measured nothing.
func (u *usualTime) guess(took time.Duration) {
	if u.ns.Load() == 0 && took > 0 {
		u.ns.CompareAndSwap(0, int64(took))
	}
}

// mean is 0 when nothing is known.
func (u *usualTime) mean() time.Duration { return time.Duration(u.ns.Load()) }

// leaseLife is how long a lease is to last from now, for a load that has been under way for some time.
//
// It is the time for which a dead holder keeps the whole fleet waiting, so it follows what a load of the space usually takes: leaseLoads of
// them, of which the holder's death leaves at most all, and then comes the load of the next. It has to outlast what delays a living
// holder's renewals, too. Were it as long as a load, and renewed when it ends:
//
//	1 A: is granted the lease for 20 ms, and loads
//	2 A's renewal: waits 30 ms for Redis, for a processor, for the end of a garbage collection
//	3 B: finds no marker, is granted the lease, and loads
//
// So it is minLease at least, and each renewal comes when a third of it is over: two of three may be late or fail, or Redis may answer
// as late as two thirds of it. A pause of Redis or of the holder that is longer than that costs a load; nothing else rests on it.
//
// A load that is far beyond the usual is renewed for as long again as it has taken: who waited so long may wait that long once more, and a
// source that hangs is no reason to renew a thousand leases fifteen times a second each.
func (sp *space) leaseLife(elapsed time.Duration) time.Duration {
	life := coldLease
	if usual := sp.usual.mean(); usual > 0 {
		life = leaseLoads * min(usual, remote.MaxLease)
	}
	return min(max(life, minLease, elapsed), remote.MaxLease)
}
