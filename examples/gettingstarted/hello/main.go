// Command hello is a cache in this process alone: the first program of docs/getting-started.md.
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/tandem-cache/tandem/tier"
)

// newBaskets returns the space of what baskets cost. The prices stand for the database; each basket holds one of every product.
func newBaskets(cache *tier.Cache, prices map[string]int) (*tier.Space[int], error) {
	return tier.NewSpace(cache, tier.SpaceConfig[int]{
		Name:     "shop:basket",
		Strategy: tier.TTL(time.Minute), // nobody tells us of changes yet
		Load: func(ctx context.Context, id string) (int, error) {
			fmt.Println("loading", id)
			total := 0
			for product, price := range prices {
				tier.DependsOn(ctx, "product", product)
				total += price
			}
			return total, nil
		},
	})
}

func main() {
	ctx := context.Background()
	cache, err := tier.Open(ctx, tier.Config{Name: "shop"})
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close(ctx)
	prices := map[string]int{"tea": 3, "mug": 9}
	baskets, err := newBaskets(cache, prices)
	if err != nil {
		log.Fatal(err)
	}

	fmt.Println(baskets.Get(ctx, "bsk_1")) // a miss
	fmt.Println(baskets.Get(ctx, "bsk_1")) // a hit

	prices["mug"] = 10                                      // the database changes,
	fmt.Println(cache.InvalidateTag(ctx, "product", "mug")) // and somebody tells the cache
	fmt.Println(baskets.Get(ctx, "bsk_1"))                  // a miss again
}
