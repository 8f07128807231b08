package cdc_test

import (
	"context"
	"fmt"
	"time"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/tier"
)

// A changelog is a source of one's own: what is sent to it has changed. It remembers nothing; a real one starts at the position it is
// given, or begins with a batch that is Lost.
type changelog chan cdc.Batch

func (c changelog) Identity() string { return "changelog" }

func (c changelog) Exclusive() bool { return true }

func (c changelog) Open(context.Context, string) (cdc.Stream, error) { return c, nil }

func (c changelog) Next(ctx context.Context) (cdc.Batch, error) {
	select {
	case b := <-c:
		return b, nil
	case <-ctx.Done():
		return cdc.Batch{}, ctx.Err()
	}
}

func (c changelog) Ack(context.Context, string) error { return nil }
func (c changelog) Lag() (time.Duration, bool)        { return 0, true }
func (c changelog) Close(context.Context) error       { return nil }

// A follower applies what its source says to the cache. For PostgreSQL the source is one of package cdc/postgres.
func ExampleFollower() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cache, _ := tier.Open(ctx, tier.Config{Name: "shop"})
	defer cache.Close(context.Background())
	price := 900
	prices, _ := tier.NewSpace(cache, tier.SpaceConfig[int]{
		Name: "shop:price", Strategy: tier.CDC("shop-feed"),
		Load: func(ctx context.Context, id string) (int, error) {
			tier.DependsOn(ctx, "product", id)
			return price, nil
		},
	})

	source := make(changelog)
	feed, _ := cache.Feed("shop-feed")
	follower, err := cdc.NewFollower(cdc.FollowerConfig{
		Source: source, Feed: feed,
		Routes: cdc.Routes{"public.products": {
			Rules: []cdc.Rule{{Names: []string{tier.Tag("product", "{id}")}}},
			All:   []string{tier.Entity("product")},
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error)
	go func() { ended <- follower.Run(ctx) }()

	fmt.Println(prices.Get(ctx, "prd_1"))
	price = 1000
	source <- cdc.Batch{
		Position: "1",
		Events:   []cdc.Event{{Entity: "public.products", Kind: cdc.Update, Rows: []cdc.Row{{"id": "prd_1"}}}},
	}
	for follower.Stats().Batches < 1 { // until it is applied
		time.Sleep(time.Millisecond)
	}
	fmt.Println(prices.Get(ctx, "prd_1"))
	cancel()
	fmt.Println(<-ended)
	// Output:
	// 900 <nil>
	// 1000 <nil>
	// <nil>
}
