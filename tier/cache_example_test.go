package tier_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"time"

	"github.com/tandem-cache/tandem/tier"
)

func ExampleStrategy() {
	for _, s := range []tier.Strategy{
		tier.CDC("orders-feed"),                  // until the feed, or anybody, invalidates it
		tier.TTL(90 * time.Second),               // for so long, or until anybody invalidates it
		tier.Hybrid("catalog-feed", time.Minute), // until the feed invalidates it, and for so long at most
	} {
		fmt.Println(s)
	}
	// Output:
	// cdc(orders-feed)
	// ttl(1m30s)
	// hybrid(catalog-feed, 1m0s)
}

// Names of all kinds may go in one call.
func ExampleCache_Invalidate() {
	ctx := context.Background()
	cache := openShop(ctx)
	defer cache.Close(ctx)

	names := []string{
		tier.Key("catalog:internet", tier.ID("acc_001", "jp")), // one entry
		tier.Tag("product", "prd_1"),                           // whatever was made from the product
		tier.Entity("country"),                                 // whatever was made from any country
		tier.SpaceName("catalog:static"),                       // a space
	}
	for _, name := range names {
		fmt.Println(name)
	}
	fmt.Println(cache.Invalidate(ctx, names...))
	fmt.Println(cache.Invalidate(ctx, "prd_1"))
	// Output:
	// k:catalog:internet:acc_001:jp
	// t:product:prd_1
	// e:country
	// s:catalog:static
	// <nil>
	// tier: invalidate "prd_1": not a name: build it with tier.Key, tier.Tag, tier.Entity or tier.SpaceName
}

func ExampleCache_HealthHandler() {
	ctx := context.Background()
	cache := openShop(ctx)
	defer cache.Close(ctx)
	stock := newStock(cache, map[string]int{"tea": 7})
	_, _ = stock.Get(ctx, "tea")

	w := httptest.NewRecorder()
	cache.HealthHandler().ServeHTTP(w, httptest.NewRequest("GET", "/health/catalog/cache", nil))
	var health struct {
		Metrics map[string]any
		TTL     map[string]any
	}
	err := json.Unmarshal(w.Body.Bytes(), &health)
	fmt.Println(w.Code, health.Metrics, health.TTL, err)
	// Output:
	// loads tea
	// 200 map[invalidations:0 stock:map[hits:0 misses:1]] map[stockSeconds:60] <nil>
}

func ExampleCache_Health() {
	ctx := context.Background()
	cache := openShop(ctx)
	newStock(cache, nil)

	fmt.Println(cache.Health(ctx).Problems)
	fmt.Println(cache.Close(ctx))
	fmt.Println(cache.Health(ctx).Status)
	// Output:
	// [the feed catalog-feed is not fresh (silent): entries of catalog:stock live for 1m0s]
	// <nil>
	// closed
}

// A feed of one's own. A cdc.Follower does all of this.
func ExampleCache_Feed() {
	ctx := context.Background()
	cache := openShop(ctx)
	defer cache.Close(ctx)
	stock := newStock(cache, map[string]int{"tea": 7})
	feed, err := cache.Feed("catalog-feed")
	if err != nil {
		panic(err)
	}

	fmt.Println(feed.Report(ctx, "", nil, "42", time.Time{}, 0, nil)) // each second
	fmt.Println(cache.Health(ctx).Status)
	fmt.Println(stock.Get(ctx, "tea"))
	fmt.Println(feed.Invalidate(ctx, tier.Tag("product", "tea")))
	fmt.Println(stock.Get(ctx, "tea"))
	// Output:
	// <nil>
	// ok
	// loads tea
	// 7 <nil>
	// <nil>
	// loads tea
	// 7 <nil>
}
