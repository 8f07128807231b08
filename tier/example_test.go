package tier_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tandem-cache/tandem/tier"
)

func Example() {
	ctx := context.Background()
	cache, err := tier.Open(ctx, tier.Config{Name: "storefront"}) // with Redis: L2, and more pods
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cache.Close(ctx)

	database := map[string][]string{"acc_001": {"ord_1"}} // orders by account
	orders, err := tier.NewSpace(cache, tier.SpaceConfig[[]string]{
		Name:     "orders:account",
		Strategy: tier.CDC("orders-feed"),
		Load: func(ctx context.Context, account string) ([]string, error) {
			tier.DependsOn(ctx, "account-orders", account) // before the read: an empty list depends on it, too
			return database[account], nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(orders.Get(ctx, "acc_001"))
	fmt.Println(orders.Get(ctx, "acc_002")) // has none

	database["acc_002"] = []string{"ord_2"}                            // its first
	fmt.Println(orders.Get(ctx, "acc_002"))                            // nobody told
	fmt.Println(cache.InvalidateTag(ctx, "account-orders", "acc_002")) // as the insert's event does
	fmt.Println(orders.Get(ctx, "acc_002"))
	// Output:
	// [ord_1] <nil>
	// [] <nil>
	// [] <nil>
	// <nil>
	// [ord_2] <nil>
}

func ExampleID() {
	id := tier.ID("acc_001", "jp")
	fmt.Println(id, tier.Parts(id))
	odd := tier.ID("a:b", "{c}")
	fmt.Println(odd, tier.Parts(odd))
	// Output:
	// acc_001:jp [acc_001 jp]
	// a%3Ab:%7Bc%7D [a:b {c}]
}

func ExampleNewSpace() {
	ctx := context.Background()
	cache, _ := tier.Open(ctx, tier.Config{Name: "storefront"})
	defer cache.Close(ctx)
	_, err := tier.NewSpace(cache, tier.SpaceConfig[string]{Name: "invoices"})
	fmt.Println(err)
	// Output:
	// tier: space "invoices": the space name "invoices" has no colon: it reads domain:type, as in orders:account
	// SpaceConfig.Strategy: neither a feed nor a TTL, so a change that nobody invalidates would stay for ever: use tier.CDC(feed), tier.TTL(d) or tier.Hybrid(feed, d)
}

func ExampleSpace_GetWith() {
	ctx := context.Background()
	cache, _ := tier.Open(ctx, tier.Config{Name: "storefront"})
	defer cache.Close(ctx)
	invoices, _ := tier.NewSpace(cache, tier.SpaceConfig[string]{Name: "invoices:account", Strategy: tier.TTL(90 * time.Second)})
	errDown := errors.New("billing is down")
	_, err := invoices.GetWith(ctx, "acc_001", func(context.Context, string) (string, error) { return "", errDown })
	fmt.Println(err)
	v, err := invoices.GetWith(ctx, "acc_001", func(context.Context, string) (string, error) { return "paid", nil })
	fmt.Println(v, err)
	// Output:
	// tier: load "invoices:account:acc_001": billing is down
	// paid <nil>
}
