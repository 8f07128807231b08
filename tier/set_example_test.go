package tier_test

import (
	"context"
	"fmt"

	"github.com/tandem-cache/tandem/tier"
)

// openPrices returns a cache with a space of prices, and the table that they are in.
func openPrices(ctx context.Context) (*tier.Cache, *tier.Space[int], map[string]int) {
	cache, err := tier.Open(ctx, tier.Config{Name: "storefront"})
	if err != nil {
		panic(err)
	}
	table := map[string]int{"tea": 250}
	prices, err := tier.NewSpace(cache, tier.SpaceConfig[int]{
		Name: "catalog:price", Strategy: tier.CDC("catalog-feed"),
		Load: func(ctx context.Context, item string) (int, error) {
			fmt.Println("loads", item)
			tier.DependsOn(ctx, "item", item)
			return table[item], nil
		},
	})
	if err != nil {
		panic(err)
	}
	return cache, prices, table
}

func ExampleSpace_SetWith() {
	ctx := context.Background()
	cache, prices, table := openPrices(ctx)
	defer cache.Close(ctx)

	fmt.Println(prices.Get(ctx, "tea"))
	fmt.Println(prices.SetWith(ctx, "tea", func(ctx context.Context) (int, error) {
		tier.DependsOn(ctx, "item", "tea")
		table["tea"] += 30 // UPDATE … RETURNING
		return table["tea"], nil
	}))
	fmt.Println(prices.Get(ctx, "tea"))
	// Output:
	// loads tea
	// 250 <nil>
	// 280 <nil>
	// 280 <nil>
}

func ExampleSpace_Snapshot() {
	ctx := context.Background()
	cache, prices, table := openPrices(ctx)
	defer cache.Close(ctx)

	snap, err := prices.Snapshot(ctx, "tea") // before the transaction begins
	if err != nil {
		fmt.Println(err)
		return
	}
	snap.DependsOn("item", "tea")
	table["tea"] = 300
	table["coffee"] = 400
	fmt.Println(snap.Set(ctx, table["tea"])) // after it was committed
	fmt.Println(prices.Get(ctx, "tea"))
	// Output:
	// <nil>
	// 300 <nil>
}
