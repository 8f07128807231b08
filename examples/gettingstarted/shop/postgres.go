package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/cdc/postgres"
	"github.com/tandem-cache/tandem/tier"
)

// database is the shop's PostgreSQL: see schema.sql.
type database struct{ pool *pgxpool.Pool }

// Basket implements basketStore.
func (d database) Basket(ctx context.Context, id string) (*Basket, error) {
	rows, err := d.pool.Query(ctx, `
		SELECT p.id, p.name, i.quantity, p.price_cents
		FROM basket_items i JOIN products p ON p.id = i.product
		WHERE i.basket = $1 ORDER BY p.id`, id)
	if err != nil {
		return nil, fmt.Errorf("basket %q: %w", id, err)
	}
	items, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Item])
	switch {
	case err != nil:
		return nil, fmt.Errorf("basket %q: %w", id, err)
	case len(items) == 0:
		return nil, tier.ErrNotFound
	}
	basket := &Basket{ID: id, Items: items}
	for _, item := range items {
		basket.TotalCents += item.Quantity * item.PriceCents
	}
	return basket, nil
}

// newFollower turns the database's changes into invalidations. Run one in every pod: one works, the others stand by.
func newFollower(cache *tier.Cache, databaseURL string) (*cdc.Follower, error) {
	source, err := postgres.NewSource(postgres.Config{
		ConnString:  databaseURL,
		Slot:        "shop",
		Publication: "shop",
		Tables:      slices.Sorted(maps.Keys(routes())),
	})
	if err != nil {
		return nil, err
	}
	feed, err := cache.Feed(shopFeed)
	if err != nil {
		return nil, err
	}
	return cdc.NewFollower(cdc.FollowerConfig{Source: source, Feed: feed, Routes: routes()})
}
