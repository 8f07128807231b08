package main

import (
	"context"
	"log"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/tier"
)

// A Basket is what is cached: its items at the prices of today.
type Basket struct {
	ID         string `json:"id"`
	Items      []Item `json:"items"`
	TotalCents int64  `json:"totalCents"`
}

// An Item is one line of a basket.
type Item struct {
	Product    string `json:"product"`
	Name       string `json:"name"`
	Quantity   int64  `json:"quantity"`
	PriceCents int64  `json:"priceCents"`
}

// A basketStore reads a basket; tier.ErrNotFound if it has no items.
type basketStore interface {
	Basket(ctx context.Context, id string) (*Basket, error)
}

// shopFeed carries the changes of the tables in routes.
const shopFeed = "shop-feed"

func newBaskets(cache *tier.Cache, db basketStore) (*tier.Space[*Basket], error) {
	return tier.NewSpace(cache, tier.SpaceConfig[*Basket]{
		Name:     "shop:basket",
		Strategy: tier.CDC(shopFeed), // no TTL: it lives until it changes
		Load: func(ctx context.Context, id string) (*Basket, error) {
			log.Println("loading", id)
			tier.DependsOn(ctx, "basket", id) // first: an empty basket changes too, when an item comes
			basket, err := db.Basket(ctx, id)
			if err != nil {
				return nil, err
			}
			for _, item := range basket.Items {
				tier.DependsOn(ctx, "product", item.Product)
			}
			return basket, nil
		},
	})
}

// routes says which objects a changed row is. Whatever depends on them goes.
func routes() cdc.Routes {
	return cdc.Routes{
		"public.products": {
			Rules: []cdc.Rule{{Names: []string{tier.Tag("product", "{id}")}}},
			All:   []string{tier.Entity("product")}, // a TRUNCATE, or a row that can't be read
		},
		"public.basket_items": {
			Rules: []cdc.Rule{{Names: []string{tier.Tag("basket", "{basket}")}}},
			All:   []string{tier.Entity("basket")},
		},
	}
}
