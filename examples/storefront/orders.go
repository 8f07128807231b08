package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/tier"
)

// OrderList is what an account sees of its orders.
type OrderList struct {
	Account string         `json:"account"`
	Orders  []OrderSummary `json:"orders"` // newest first
}

// OrderSummary is one line of an OrderList.
type OrderSummary struct {
	ID         string    `json:"id"`
	Status     string    `json:"status"`
	Placed     time.Time `json:"placed"`
	TotalCents int64     `json:"totalCents"`
}

// Order is one order in full.
type Order struct {
	Account string      `json:"account"`
	ID      string      `json:"id"`
	Status  string      `json:"status"`
	Placed  time.Time   `json:"placed"`
	Lines   []OrderLine `json:"lines"`
}

// OrderLine keeps what the product was called and cost when it was ordered.
type OrderLine struct {
	Product    string `json:"product"`
	Title      string `json:"title"`
	Quantity   int    `json:"quantity"`
	PriceCents int64  `json:"priceCents"`
}

type ordersStore interface {
	OrdersOf(ctx context.Context, account string) (*OrderList, error) // an empty list if there are none
	Order(ctx context.Context, account, id string) (*Order, error)
	SetOrderStatus(ctx context.Context, account, id, status string) error
}

const (
	ordersSpace  = "orders:account" // one account's list
	detailsSpace = "orders:details" // one order
)

// orders caches the orders of accounts until they change.
type orders struct {
	db      ordersStore
	lists   *tier.Space[*OrderList]
	details *tier.Space[*Order]
}

func newOrders(cache *tier.Cache, db ordersStore) (*orders, error) {
	o := &orders{db: db}
	var err error
	o.lists, err = tier.NewSpace(cache, tier.SpaceConfig[*OrderList]{
		Name:     ordersSpace,
		Strategy: tier.CDC(ordersFeed),
		Load: traced(func(ctx context.Context, id string) (*OrderList, error) {
			return db.OrdersOf(ctx, tier.Parts(id)[0])
		}),
	})
	if err != nil {
		return nil, err
	}
	o.details, err = tier.NewSpace(cache, tier.SpaceConfig[*Order]{
		Name:     detailsSpace,
		Strategy: tier.CDC(ordersFeed),
		Load: traced(func(ctx context.Context, id string) (*Order, error) {
			return db.Order(ctx, tier.Parts(id)[0], tier.Parts(id)[1])
		}),
	})
	return o, err
}

// ordersRoutes: a changed order, or one of its lines, outdates the account's list and the order itself. The account is part of
// both tables' primary keys, so that it is known of deleted rows, too.
func ordersRoutes() cdc.Routes {
	outdates := func(id string) []cdc.Rule {
		return []cdc.Rule{{Names: []string{tier.Key(ordersSpace, "{account}"), tier.Key(detailsSpace, "{account}:"+id)}}}
	}
	all := []string{tier.SpaceName(ordersSpace), tier.SpaceName(detailsSpace)}
	return cdc.Routes{
		"storefront.orders":      {Rules: outdates("{id}"), All: all},
		"storefront.order_lines": {Rules: outdates("{order_id}"), All: all},
	}
}

func (o *orders) register(mux *http.ServeMux) {
	mux.Handle("GET /orders/{account}", answer(func(r *http.Request) (*OrderList, error) {
		return o.lists.Get(r.Context(), tier.ID(r.PathValue("account")))
	}))
	mux.Handle("GET /orders/{account}/{order}", answer(func(r *http.Request) (*Order, error) {
		return o.details.Get(r.Context(), tier.ID(r.PathValue("account"), r.PathValue("order")))
	}))
	mux.Handle("PUT /orders/{account}/{order}", change(func(r *http.Request, body *orderChange) error {
		return o.db.SetOrderStatus(r.Context(), r.PathValue("account"), r.PathValue("order"), body.Status)
	}))
}

// orderChange is the body of PUT /orders/{account}/{order}.
type orderChange struct {
	Status string `json:"status"`
}

func (c *orderChange) check() error {
	switch c.Status {
	case "placed", "paid", "shipped", "returned":
		return nil
	}
	return fmt.Errorf("status is %q: want placed, paid, shipped or returned", c.Status)
}
