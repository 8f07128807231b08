package tier_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tandem-cache/tandem/tier"
)

// openShop returns a cache of this process alone.
func openShop(ctx context.Context) *tier.Cache {
	cache, err := tier.Open(ctx, tier.Config{Name: "storefront"})
	if err != nil {
		panic(err)
	}
	return cache
}

// newStock returns a space of how much is left of a product.
func newStock(cache *tier.Cache, table map[string]int) *tier.Space[int] {
	stock, err := tier.NewSpace(cache, tier.SpaceConfig[int]{
		Name: "catalog:stock", Strategy: tier.Hybrid("catalog-feed", time.Minute),
		Load: func(ctx context.Context, product string) (int, error) {
			fmt.Println("loads", product)
			tier.DependsOn(ctx, "product", product) // first: one that is not there may come
			n, ok := table[product]
			if !ok {
				return 0, fmt.Errorf("no row of %s: %w", product, tier.ErrNotFound)
			}
			return n, nil
		},
	})
	if err != nil {
		panic(err)
	}
	return stock
}

func ExampleSpace_Get() {
	ctx := context.Background()
	cache := openShop(ctx)
	defer cache.Close(ctx)
	stock := newStock(cache, map[string]int{"tea": 7})

	fmt.Println(stock.Get(ctx, "tea"))
	fmt.Println(stock.Get(ctx, "tea")) // a hit
	// Output:
	// loads tea
	// 7 <nil>
	// 7 <nil>
}

// What is not there is remembered too, until it comes.
func Example_notFound() {
	ctx := context.Background()
	cache := openShop(ctx)
	defer cache.Close(ctx)
	table := map[string]int{}
	stock := newStock(cache, table)

	for range 2 {
		_, err := stock.Get(ctx, "mug")
		fmt.Println(errors.Is(err, tier.ErrNotFound))
	}
	table["mug"] = 3
	fmt.Println(cache.InvalidateTag(ctx, "product", "mug")) // what an insert's event does
	fmt.Println(stock.Get(ctx, "mug"))
	// Output:
	// loads mug
	// true
	// true
	// <nil>
	// loads mug
	// 3 <nil>
}

func ExampleSpace_Peek() {
	ctx := context.Background()
	cache := openShop(ctx)
	defer cache.Close(ctx)
	stock := newStock(cache, map[string]int{"tea": 7})

	fmt.Println(stock.Peek(ctx, "tea")) // never loads
	// Output: 0 false
}

// A page that is made of entries of another space depends on all that those depend on.
func ExampleDependsOn() {
	ctx := context.Background()
	cache := openShop(ctx)
	defer cache.Close(ctx)
	table := map[string]int{"tea": 7}
	stock := newStock(cache, table)
	pages, err := tier.NewSpace(cache, tier.SpaceConfig[string]{
		Name: "catalog:page", Strategy: tier.CDC("catalog-feed"),
		Load: func(ctx context.Context, product string) (string, error) {
			n, err := stock.Get(ctx, product) // with the ctx of this load
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("%s, %d left", product, n), nil
		},
	})
	if err != nil {
		panic(err)
	}

	fmt.Println(pages.Get(ctx, "tea"))
	table["tea"] = 6
	fmt.Println(cache.InvalidateTag(ctx, "product", "tea"))
	fmt.Println(pages.Get(ctx, "tea"))
	// Output:
	// loads tea
	// tea, 7 left <nil>
	// <nil>
	// loads tea
	// tea, 6 left <nil>
}

func ExampleSpace_GetMany() {
	ctx := context.Background()
	cache := openShop(ctx)
	defer cache.Close(ctx)
	stock := newStock(cache, map[string]int{"tea": 7})

	fmt.Println(stock.Get(ctx, "tea"))
	for _, r := range stock.GetMany(ctx, []string{"mug", "tea"}) {
		fmt.Println(r.ID, r.Value, errors.Is(r.Err, tier.ErrNotFound))
	}
	// Output:
	// loads tea
	// 7 <nil>
	// loads mug
	// mug 0 true
	// tea 7 false
}

// A loader of many, each with dependencies and an error of its own.
func ExampleBatch() {
	ctx := context.Background()
	cache := openShop(ctx)
	defer cache.Close(ctx)
	table := map[string]int{"tea": 7, "mug": -1}
	stock, err := tier.NewSpace(cache, tier.SpaceConfig[int]{
		Name: "catalog:stock", Strategy: tier.TTL(time.Minute),
		LoadMany: func(ctx context.Context, b *tier.Batch[int]) error {
			fmt.Println("one query for", strings.Join(b.IDs(), ", "))
			for _, id := range b.IDs() {
				tier.DependsOn(b.For(ctx, id), "product", id)
				switch n, ok := table[id]; {
				case ok && n < 0:
					b.Fail(id, errors.New("being counted"))
				case ok:
					b.Set(id, n)
				} // else it is not found
			}
			return nil
		},
	})
	if err != nil {
		panic(err)
	}
	for _, r := range stock.GetMany(ctx, []string{"tea", "mug", "hat"}) {
		fmt.Println(r.Value, r.Err)
	}
	// Output:
	// one query for tea, mug, hat
	// 7 <nil>
	// 0 tier: load "catalog:stock:mug": being counted
	// 0 tier: get "catalog:stock:hat": tier: not found
}

// Set is for spaces without a feed; see Space.SetWith for the others.
func ExampleSpace_Set() {
	ctx := context.Background()
	cache := openShop(ctx)
	defer cache.Close(ctx)
	sessions, err := tier.NewSpace(cache, tier.SpaceConfig[string]{
		Name: "users:session", Strategy: tier.TTL(time.Hour),
		Load: func(context.Context, string) (string, error) { return "", tier.ErrNotFound },
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(sessions.Set(ctx, "ses_1", "Ada"))
	fmt.Println(sessions.Get(ctx, "ses_1"))
	fmt.Println(newStock(cache, nil).Set(ctx, "tea", 6))
	// Output:
	// <nil>
	// Ada <nil>
	// tier: set "catalog:stock:tea": the feed "catalog-feed" keeps this space true, and a value from before Set could outlive its change: use SetWith, or take a Snapshot before the write
}

func ExampleSpace_Flush() {
	ctx := context.Background()
	cache := openShop(ctx)
	defer cache.Close(ctx)
	stock := newStock(cache, map[string]int{"tea": 7})

	fmt.Println(stock.Get(ctx, "tea"))
	fmt.Println(stock.Flush(ctx)) // costs the same however many entries there are
	fmt.Println(stock.Get(ctx, "tea"))
	// Output:
	// loads tea
	// 7 <nil>
	// <nil>
	// loads tea
	// 7 <nil>
}
