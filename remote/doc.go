// Package remote is the second tier of the cache: entries, leases, ticks and the table of recent names in Redis.
//
//	store := remote.New(client, "storefront")
//	raw, err := store.Get(ctx, "orders:account:acc_001") // a hit is one plain GET
//	hold := remote.Hold{Key: key, Token: remote.NewToken()}
//	leases := store.Acquire(ctx, life, []remote.Ask{{Hold: hold}})          // misses are one round trip
//	filled := store.Fill(ctx, []remote.Fill{{Hold: hold, Value: envelope}}) // only over its own marker
//
// # Promises
//
//   - A tick is never given out twice and never lower than one before, across restarts and failovers of Redis.
//   - A fill stores only over the marker of its own load: an invalidation, an expiry or another holder refuse it.
//   - A bucket of the table that was evicted or flushed outdates what asks it; it never answers "nothing happened".
//   - An envelope that cannot be read is an error value, never a panic and never a wrong value.
//   - A payload that was encrypted opens only at its own key and with its own ticks, expiry and tags; see [Keyring].
//   - Decompressing takes no more memory than the limit given, whatever a payload claims.
//   - Every call follows its context, and takes no longer than the timeout given to [Bound].
//   - All methods may be called from any goroutine.
//
// # Bytes
//
// For a cache named storefront: entries are strings at storefront:<key>; the counter is the hash storefront:{tick}; the table
// is the sorted sets storefront:{names:00} to storefront:{names:1f}; a checkpoint is the hash storefront:{feed:<feed>}, and
// the lease of the follower beside it the string storefront:{feed:<feed>}:lease.
// The layout of a value is at [Envelope] (its payload: what a [Codec] gave, then [Envelope.Compress], then [Keyring.Seal]), of a marker at [Store.Acquire], of a bucket at [Store.Touch].
package remote
