package tier_test

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tandem-cache/tandem/tier"
)

// openStorefront opens a cache with three entries in its L1.
func openStorefront(ctx context.Context) (*tier.Cache, *tier.Space[string]) {
	cache, err := tier.Open(ctx, tier.Config{Name: "storefront"}) // with Redis: L2 too
	if err != nil {
		panic(err)
	}
	orders, err := tier.NewSpace(cache, tier.SpaceConfig[string]{
		Name:     "orders:account",
		Strategy: tier.TTL(time.Hour),
		Load:     func(_ context.Context, account string) (string, error) { return "orders of " + account, nil },
	})
	if err != nil {
		panic(err)
	}
	for _, account := range []string{"jp_001", "jp_002", "us_001"} {
		for stored := false; !stored; { // L1 shows what it stores somewhat later
			_, _ = orders.Get(ctx, account)
			n, err := orders.Count(ctx, tier.KeyQuery{Pattern: tier.QuotePattern(account)})
			stored = n.L1 == 1 || err != nil
		}
	}
	return cache, orders
}

func ExampleCache_Keys() {
	ctx := context.Background()
	cache, _ := openStorefront(ctx)
	defer cache.Close(ctx)

	var found []string
	for k, err := range cache.Keys(ctx, tier.KeyQuery{Pattern: "orders:*:jp_*"}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		found = append(found, fmt.Sprintf("%s %s", k.Tier, k))
	}
	slices.Sort(found) // they come in no order
	for _, line := range found {
		fmt.Println(line)
	}
	// Output:
	// l1 orders:account:jp_001
	// l1 orders:account:jp_002
}

func ExampleCache_Count() {
	ctx := context.Background()
	cache, orders := openStorefront(ctx)
	defer cache.Close(ctx)

	fmt.Println(cache.Count(ctx, tier.KeyQuery{Pattern: "orders:*"}))
	fmt.Println(orders.Count(ctx, tier.KeyQuery{Pattern: "jp_*"})) // in a space: over identifiers
	// Output:
	// {3 0} <nil>
	// {2 0} <nil>
}

func ExampleCache_Usage() {
	ctx := context.Background()
	cache, _ := openStorefront(ctx)
	defer cache.Close(ctx)

	usage, err := cache.Usage(ctx, tier.KeyQuery{Pattern: "*", Sample: 100}) // each 100th key of Redis
	fmt.Println(usage.L1.Keys, usage.L1.Bytes > 600, err)
	// Output: 3 true <nil>
}

func ExampleCache_Delete() {
	ctx := context.Background()
	cache, _ := openStorefront(ctx)
	defer cache.Close(ctx)

	deleted, err := cache.Delete(ctx, tier.KeyQuery{
		Pattern:  "orders:account:us_*",
		Progress: func(p tier.KeyProgress) { fmt.Printf("%d of %d keys\n", p.Looked, p.Total) }, // in Redis
	})
	fmt.Println(deleted, err)
	fmt.Println(cache.Count(ctx, tier.KeyQuery{Pattern: "*"}))
	// Output:
	// {1 0} <nil>
	// {2 0} <nil>
}

func ExampleQuotePattern() {
	fmt.Println(tier.QuotePattern("50*70 cm?") + ":*")
	// Output: 50[*]70 cm[?]:*
}
