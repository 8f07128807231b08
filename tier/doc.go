// Package tier is a two-tier cache that stays true to its database: L1 in each pod's memory, L2 in a shared Redis.
//
//	cache, err := tier.Open(ctx, tier.Config{Name: "storefront", Redis: rdb})
//	defer cache.Close(ctx)
//
//	orders, err := tier.NewSpace(cache, tier.SpaceConfig[[]Order]{
//		Name:     "orders:account",
//		Strategy: tier.CDC("orders-feed"),
//		Load: func(ctx context.Context, account string) ([]Order, error) {
//			tier.DependsOn(ctx, "account-orders", account) // before the read: an empty list depends on it, too
//			return db.OrdersOf(ctx, account)
//		},
//	})
//	list, err := orders.Get(ctx, "acc_001")
//	err = cache.InvalidateTag(ctx, "account-orders", "acc_001") // by hand, or by a feed: see package cdc
//
// A [Space] is a typed family of entries with one [Strategy]. Its key in Redis is <cache>:<domain>:<type>:<identifier>. What an
// entry stands on has a name, see [Key], [Tag], [Entity] and [SpaceName]; invalidating any of its names outdates it. [Space.GetMany] reads
// many, [Space.SetWith] writes, [Cache.Count] and its kin work by pattern, [Space.Explain] says why. Package tiertest is for users' own tests.
//
// # Promises
//
//   - Once Invalidate has returned nil, no read that starts later on this pod returns a value read before it; nor on any other
//     pod once the broadcast has arrived there. Loads under way, queued fills and values on their way from L2 don't undo it.
//   - Once a pod has applied an invalidation, no read that starts later on that pod returns an older value.
//   - Concurrent misses of one key share one load, in a pod and, with Redis, across pods. The load outlives the caller who
//     started it; each caller leaves on its own context; a panic or Goexit in a loader is an error for all of them.
//   - A Redis that is down, slow or frozen is no error: the read goes to the loader after at most Config.RemoteTimeout a call;
//     after three failures, each of a read begun after the one before had failed, no read asks it until a prober in the background
//     has had an answer.
//   - While a pod does not hear the bus, its L1 does not answer.
//   - What a loader reads through spaces of the same cache outdates its value, too: each name at its own tick, and it lives no longer than they
//     do. Loaders that wait for each other get [ErrCycle], and loads inside loads do not wait for MaxLoads.
//   - [Space.GetMany] is many Gets: its loads are shared with theirs, and an identifier that fails does not fail others.
//   - [ErrNotFound] is remembered like a value, for NegativeTTL, and outdated like one.
//   - A Set stores its value only if nobody has invalidated the entry since its [Snapshot]; it invalidates in any case. Without a
//     snapshot a space with a feed refuses it.
//   - A value of another schema or codec, one that does not decode, and one that does not decrypt at its key are misses. Values that cannot
//     be stored, or are too large, are returned all the same.
//   - Queues, tables, waits and loads are bounded. Close leaves no goroutine behind, unless a loader ignores its context.
//
// # What it does not do
//
// It does not copy values, unless a space has a SpaceConfig.Clone: all readers of an entry share one, and nobody may change it. It keeps of
// them what the space's codec does, see [SpaceConfig]. It does not cache errors, but for [ErrNotFound]. It cannot see a change that nobody
// invalidates: a feed does that, or a TTL bounds it. It does not know what a loader reads without [DependsOn] or through another cache. A
// value that was read from a replica behind the primary may be older than the invalidation it followed: see cdc.FollowerConfig.Settle.
// Encryption does not hide identifiers and tags. Another pod may answer with the older value for as long as it has not heard, at most
// Config.MaxStaleness.
package tier
