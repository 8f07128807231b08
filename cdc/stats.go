package cdc

import "time"

// Stats is what a Follower did since it was made, and how it is now.
type Stats struct {
	Events      uint64 // applied
	Batches     uint64 // applied (with a settle time: repeated) and, if they had a position, checkpointed
	Invalidated uint64 // names acknowledged by Feed.Invalidate, repeats counted
	Unrouted    uint64 // events of entities without a route
	Poisonous   uint64 // events answered with their Route.All, or with a flush if they name no entity, because they couldn't be routed
	Collapsed   uint64 // times that a transaction had more rows of an entity than FollowerConfig.Collapse, and Route.All was outdated instead
	Flushes     uint64 // Feed.Flush acknowledged, repeats counted
	Opened      uint64 // streams opened; all but the first are reconnects
	StepDowns   uint64 // times that the checkpoint was not where, or on the server, it had been
	Rewinds     uint64 // times that the cache's server was another, and changes were applied again from its checkpoint
	Retries     uint64 // attempts at a batch that the feed failed

	// Unrouted and Poisonous by entity; nil: there are none. The first 1,000 entities are counted by name, of at most 128 bytes, the rest as
	// "other"; events that name none as "(none)". The maps are the caller's.
	UnroutedBy, PoisonousBy map[string]uint64

	Connected bool          // a stream is open, knows its lag, and delivers all changes
	Problem   string        // what keeps it from being connected: the last error, as a rule; "": it is connected, or doesn't run
	Warnings  []string      // what a reader of health should know: entities without a route, routes of entities that don't arrive
	Holding   string        // since when, and why, the feed takes the batch in hand not; "": it does
	Standby   bool          // another follower holds the source
	Held      int           // batches taken and not applied yet: the one in hand, and those that settle
	Position  string        // the checkpoint as this follower knows it
	Committed time.Time     // when the last applied change was committed, by the source's clock
	Lag       time.Duration // time since the oldest change not yet applied was committed
}

// maxCounts is how many counts a report of a tier.Feed may carry.
const maxCounts = 32

// Counts are the numbers among s, as health shows them. "poisonous:<entity>" and "unrouted:<entity>" are there for as many entities as 32 counts
// have room for: those with the most events, half of the room for each of the two unless one needs less.
func (s Stats) Counts() map[string]uint64 {
	counts := map[string]uint64{
		"events": s.Events, "batches": s.Batches, "invalidated": s.Invalidated, "unrouted": s.Unrouted, "poisonous": s.Poisonous,
		"collapsed": s.Collapsed, "flushes": s.Flushes, "opened": s.Opened, "stepDowns": s.StepDowns, "rewinds": s.Rewinds, "retries": s.Retries,
		"held": uint64(s.Held),
	}
	room := maxCounts - len(counts)
	poisonous, unrouted := top(s.PoisonousBy), top(s.UnroutedBy)
	poisonous = poisonous[:min(len(poisonous), max(room/2, room-len(unrouted)))]
	unrouted = unrouted[:min(len(unrouted), room-len(poisonous))]
	for _, entity := range poisonous {
		counts["poisonous:"+entity] = s.PoisonousBy[entity]
	}
	for _, entity := range unrouted {
		counts["unrouted:"+entity] = s.UnroutedBy[entity]
	}
	return counts
}
