package tier_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tandem-cache/tandem/tier"
)

func ExampleSpace_Entry() {
	ctx := context.Background()
	cache, _ := tier.Open(ctx, tier.Config{Name: "storefront"})
	defer cache.Close(ctx)
	prices, _ := tier.NewSpace(cache, tier.SpaceConfig[int]{
		Name: "prices:product", Strategy: tier.TTL(time.Minute),
		Load: func(context.Context, string) (int, error) { return 990, nil },
	})
	for range 2 {
		e, err := prices.Entry(ctx, "p_1")
		fmt.Println(e.Value, e.Tier, e.Age < time.Second, e.TTL > 59*time.Second, e.Stale, err)
	}
	// Output:
	// 990 source true true false <nil>
	// 990 l1 true true false <nil>
}

func ExampleSpace_Explain() {
	ctx := context.Background()
	cache, _ := tier.Open(ctx, tier.Config{Name: "storefront"})
	defer cache.Close(ctx)
	orders, _ := tier.NewSpace(cache, tier.SpaceConfig[string]{
		Name: "orders:account", Strategy: tier.TTL(time.Minute),
		Load: func(ctx context.Context, id string) (string, error) {
			tier.DependsOn(ctx, "order", "ord_1")
			return "new", nil
		},
	})
	orders.Get(ctx, "acc_001")
	cache.InvalidateTag(ctx, "order", "ord_1")

	e, err := orders.Explain(ctx, "acc_001") // fmt.Print(e) says it in words
	fmt.Println(e.L1.Held, e.L1.Valid, e.L1.Why, err)
	fmt.Println(e.LastInvalidation.Name, "by", e.LastInvalidation.Origin)
	fmt.Println(e.LastRead.Tier, strings.Contains(e.String(), "not used: invalidated"))
	// Output:
	// true false invalidated <nil>
	// t:order:ord_1 by api
	// source true
}
