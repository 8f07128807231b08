package main

import (
	"maps"
	"slices"

	"github.com/tandem-cache/tandem/cdc"
)

// The change feeds of the shop. A space names the one that covers it.
const (
	ordersFeed  = "orders-feed"  // orders, their lines, users
	catalogFeed = "catalog-feed" // products, listings, countries, stock
)

// feeds says what each feed carries and what a changed row outdates. An entry must depend only on tables of the feed that
// covers its space: that is why an order keeps the titles and prices it was placed with.
//
// These are the tables of the embedded store and of PostgreSQL.
func feeds() map[string]cdc.Routes {
	return map[string]cdc.Routes{
		ordersFeed:  merge(ordersRoutes(), usersRoutes()),
		catalogFeed: catalogRoutes(),
	}
}

func merge(all ...cdc.Routes) cdc.Routes {
	merged := make(cdc.Routes)
	for _, routes := range all {
		maps.Copy(merged, routes)
	}
	return merged
}

// tablesOf returns the tables that routes are for, which are those that a source must follow.
func tablesOf(routes cdc.Routes) []string { return slices.Sorted(maps.Keys(routes)) }
