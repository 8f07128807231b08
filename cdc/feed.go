package cdc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Feed is what a follower needs of the cache. The follower calls Report from a
// goroutine of its own and the rest one at a time. A Feed may also have a method
// Back() <-chan struct{}, whose channel is closed when the cache's server answers
// again after it did not: the follower's pause ends then.
type Feed interface {
	// Invalidate outdates names everywhere: tick, L2, journal and broadcast.
	// Nil: acknowledged. If it refuses a name for good, the error (or one that it
	// wraps) has a method Permanent() bool that returns true; any other error is
	// retried.
	Invalidate(ctx context.Context, names ...string) error
	// Flush does the same for everything that the feed covers.
	Flush(ctx context.Context) error
	// Checkpoint returns the text stored last ("": none), and the identity of
	// the server or servers that hold it: another one after a restart or a
	// failover, which may have lost the last invalidations.
	Checkpoint(ctx context.Context) (position, server string, err error)
	// Advance compares the checkpoint with from and sets it to to, on server
	// alone. False: somebody else moved it, or another server answers; the
	// follower starts again from Checkpoint.
	Advance(ctx context.Context, server, from, to string) (bool, error)
	// Lead takes or extends the lease of the feed for holder, until ttl has passed.
	// False: another holds it. The follower asks when its source is not Exclusive.
	Lead(ctx context.Context, holder string, ttl time.Duration) (bool, error)
	// Resign gives the lease back, if holder has it.
	Resign(ctx context.Context, holder string) error
	// Refuse tells every pod that this follower may not follow the feed, and why: the checkpoint is another source's. What this one carries
	// nobody brings, so the feed isn't fresh, whatever the other's follower reports. It is called instead of Report.
	Refuse(ctx context.Context, problem string) error
	// Report tells every pod how the feed is. problem is what keeps the follower from
	// being connected; "": it is. warnings are for a reader of health. lag is the time since the oldest
	// change not yet applied was committed; 0: caught up. counts are Stats.Counts.
	Report(ctx context.Context, problem string, warnings []string, position string, committed time.Time, lag time.Duration, counts map[string]uint64) error
}

// A Declarer is a Feed that wants to know beforehand which names its routes can give, so that it can refuse those that are malformed, and warn of
// dependencies that no route names. A tier.Feed is one.
type Declarer interface {
	// Declare is called once, by [NewFollower]. names are those of all rules, with {column} for the value of a column, and those of All. open says
	// that there are routes with a Row function, which may give others.
	Declare(names []string, open bool) error
}

// declare tells feed which names the routes can give.
func (r router) declare(feed Feed) error {
	d, ok := feed.(Declarer)
	if !ok {
		return nil
	}
	var names []string
	open := false
	for _, entity := range slices.Sorted(maps.Keys(r)) {
		names = append(names, r[entity].all...)
		open = open || r[entity].row != nil
		for _, rule := range r[entity].rules {
			for i := range rule.names {
				names = append(names, rule.names[i].String())
			}
		}
	}
	if err := d.Declare(names, open); err != nil {
		return fmt.Errorf("cdc: FollowerConfig.Routes: %w", err)
	}
	return nil
}

// malformed reports whether err says that a name will never be accepted.
func malformed(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}
