package tier_test

import (
	"context"
	"fmt"
	"slices"

	"github.com/tandem-cache/tandem/remote"
	"github.com/tandem-cache/tandem/tier"
)

// Values in JSON, encrypted in Redis, compressed from 4 KiB on, and each reader's own.
func ExampleSpaceConfig() {
	ctx := context.Background()
	ring, _ := remote.NewKeyring(1, map[uint32][]byte{1: []byte("32 bytes from the secret's store")})
	cache, _ := tier.Open(ctx, tier.Config{Name: "storefront", Keys: ring})
	defer cache.Close(ctx)
	orders, err := tier.NewSpace(cache, tier.SpaceConfig[[]string]{
		Name:         "orders:account",
		Strategy:     tier.CDC("orders-feed"),
		Codec:        remote.JSON{},
		CompressOver: 4 << 10,
		Clone:        slices.Clone[[]string],
		Load:         func(context.Context, string) ([]string, error) { return []string{"ord_2", "ord_1"}, nil },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	list, _ := orders.Get(ctx, "acc_001")
	slices.Sort(list) // without Clone this would change what others read
	fmt.Println(list)
	fmt.Println(orders.Get(ctx, "acc_001"))
	// Output:
	// [ord_1 ord_2]
	// [ord_2 ord_1] <nil>
}

// A test of one's own code that finds who changes a cached value.
func ExampleConfig_detectMutation() {
	ctx := context.Background()
	cache, _ := tier.Open(ctx, tier.Config{Name: "storefront", DetectMutation: true})
	defer cache.Close(ctx)
	orders, _ := tier.NewSpace(cache, tier.SpaceConfig[[]string]{
		Name: "orders:account", Strategy: tier.CDC("orders-feed"),
		Load: func(context.Context, string) ([]string, error) { return []string{"ord_2", "ord_1"}, nil },
	})
	list, _ := orders.Get(ctx, "acc_001")
	slices.Sort(list)
	defer func() { fmt.Println(recover()) }()
	orders.Get(ctx, "acc_001")
	// Output:
	// tier: the value of "orders:account:acc_001" was changed by a caller of Get: readers share it. Copy it before you change it, or set SpaceConfig.Clone
}
