package main

import (
	"testing"

	"github.com/tandem-cache/tandem/tier"
	"github.com/tandem-cache/tandem/tier/tiertest"
)

func TestBasketFollowsItsProducts(t *testing.T) {
	cache := tiertest.Open(t, tier.Config{})
	prices := map[string]int{"tea": 3, "mug": 9}
	baskets, err := newBaskets(cache, prices)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := baskets.Get(t.Context(), "bsk_1"); got != 12 || err != nil {
		t.Fatalf("got %d, %v; want 12", got, err)
	}
	prices["mug"] = 10
	if err := cache.InvalidateTag(t.Context(), "product", "mug"); err != nil {
		t.Fatal(err)
	}
	if got, err := baskets.Get(t.Context(), "bsk_1"); got != 13 || err != nil {
		t.Errorf("after the change: got %d, %v; want 13", got, err)
	}
}
