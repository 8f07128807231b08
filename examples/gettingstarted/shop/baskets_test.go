package main

import (
	"context"
	"errors"
	"testing"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/tier"
	"github.com/tandem-cache/tandem/tier/tiertest"
)

func TestBasketAppearsWithItsFirstItem(t *testing.T) {
	cache := tiertest.Open(t, tier.Config{})
	feed := tiertest.NewFeed(t, cache, shopFeed)
	db := &tiertest.Source[*Basket]{}
	baskets, err := newBaskets(cache, rows{db})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := baskets.Get(t.Context(), "bsk_1"); !errors.Is(err, tier.ErrNotFound) {
		t.Fatalf("got %v; want ErrNotFound", err)
	}

	db.Put("bsk_1", &Basket{ID: "bsk_1", Items: []Item{{Product: "prd_1", PriceCents: 300}}})
	feed.Change(inserted("public.basket_items", cdc.Row{"basket": "bsk_1", "product": "prd_1"})...)
	if _, err := baskets.Get(t.Context(), "bsk_1"); err != nil {
		t.Fatal(err)
	}

	feed.Change(inserted("public.products", cdc.Row{"id": "prd_1"})...)
	if _, err := baskets.Get(t.Context(), "bsk_1"); err != nil {
		t.Fatal(err)
	}
	if n := db.Loads("bsk_1"); n != 3 {
		t.Errorf("%d loads; want one, one for the item and one for the product", n)
	}
}

// inserted is what a new row of table outdates.
func inserted(table string, row cdc.Row) []string {
	return routes().Explain(cdc.Event{Entity: table, Kind: cdc.Insert, Rows: []cdc.Row{row}}).Names
}

// rows makes a source a basketStore.
type rows struct{ *tiertest.Source[*Basket] }

func (r rows) Basket(ctx context.Context, id string) (*Basket, error) { return r.Load(ctx, id) }
