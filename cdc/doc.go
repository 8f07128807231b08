// Package cdc turns the changes of a database into invalidations of a cache.
//
// A [Source] yields what changed, in commit order, and can start again from a
// position. [Routes] say which names of the cache a changed row outdates. A
// [Follower] takes each batch through the same steps: invalidate, move the
// checkpoint, acknowledge upstream. Where loaders read from lagging replicas it
// invalidates once more in between ([FollowerConfig].Settle).
//
//	follower, err := cdc.NewFollower(cdc.FollowerConfig{
//		Source: source, // for example a *postgres.Source
//		Feed:   feed, // a *tier.Feed
//		Routes: cdc.Routes{
//			"public.orders": {
//				Rules: []cdc.Rule{{Names: []string{tier.Tag("order", "{id}")}}},
//				All:   []string{tier.Entity("order")},
//			},
//		},
//	})
//	err = follower.Run(ctx)
//
// What holds:
//
//   - At least once. A change is acknowledged upstream only after its names
//     were invalidated and the checkpoint behind it was stored. A follower that
//     dies between any two steps loses nothing: the next one sees the batch again.
//   - More, never less. An event that can't be routed to names (it lacks a column of
//     a rule, its Row function panics, a name is malformed, it has no rows, its
//     source couldn't read it) invalidates all that its entity feeds; if even that is
//     refused, or the entity is unknown, the whole feed is flushed.
//   - A transaction of more rows of an entity than [FollowerConfig].Collapse
//     invalidates all that the entity feeds once, and no more.
//   - A source that lost changes says so, and the feed is flushed before the
//     checkpoint moves.
//   - With a settle time every invalidation is made twice, that much apart, and the
//     checkpoint waits for the second one: what a load read in between, from a
//     replica that lagged by less, does not stay.
//   - While the cache's server is down the follower holds one batch and retries.
//   - One follower is active for each source that is exclusive; others stand by.
//
// What it doesn't do: it doesn't deliver exactly once, it doesn't carry values,
// and it doesn't know which rows a cached entry was made from: that is for the
// routes. [DryRun] prints what they make of the changes of a source.
package cdc
