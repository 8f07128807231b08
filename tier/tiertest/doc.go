// Package tiertest is for the tests of code that uses package tier: a cache that shows at once what was loaded or set, a source that
// counts, blocks and fails on demand, and a feed without a database.
//
//	func TestOrderIsReadOnce(t *testing.T) {
//		cache := tiertest.Open(t, tier.Config{})
//		rows := &tiertest.Source[Order]{Entity: "order"}
//		rows.Put("ord_1", Order{Status: "new"})
//		feed := tiertest.NewFeed(t, cache, "orders-feed")
//		orders, err := tier.NewSpace(cache, tier.SpaceConfig[Order]{
//			Name: "orders:detail", Strategy: tier.CDC("orders-feed"), Load: rows.Load, LoadMany: rows.LoadMany,
//		})
//		...
//		rows.Put("ord_1", Order{Status: "paid"})
//		feed.Change(tier.Tag("order", "ord_1"))
//	}
//
// # Promises
//
//   - What was loaded, or set, is a hit of L1 for whoever comes next; nothing is evicted before 256 MB.
//   - What a reader gets has been through the space's codec, as on a pod that did not load it. A value that comes back changed fails the test.
//   - A load reads what the [Source] has when it begins, also when it is blocked afterwards, as a slow query would.
//   - A read that begins after [Feed.Change] has returned never has an older value, of the cache that the feed was made for; on other pods,
//     once they have heard.
//   - What was opened ends with the test, and leaves no goroutine behind. A test that leaves a load blocked has it cancelled.
//   - All works in a bubble of testing/synctest, where a minute takes no time, as long as the cache has no Redis.
//   - Methods may be called from any goroutine.
//
// # What it does not do
//
// It starts no Redis. A cache that is to have an L2 gets one by tier.Config.Redis, a real one or a stand-in; pods that share it share
// the name of the cache as well. It invents no changes: a [Source] tells nobody, as a database tells nobody without a feed.
package tiertest
