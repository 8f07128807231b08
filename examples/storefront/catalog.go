package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/tier"
)

// PriceList is what one account may buy in one country.
type PriceList struct {
	Account  string    `json:"account"`
	Country  string    `json:"country"`
	Currency string    `json:"currency"`
	Products []Product `json:"products"`
}

// Product is something to buy.
type Product struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	PriceCents int64  `json:"priceCents"`
}

// Country is what hardly ever changes.
type Country struct {
	Code          string `json:"code"`
	Currency      string `json:"currency"`
	VATPercent    int    `json:"vatPercent"`
	ShippingCents int64  `json:"shippingCents"`
}

// Stock is how much of a product is left.
type Stock struct {
	Product   string `json:"product"`
	Available int    `json:"available"`
}

type catalogStore interface {
	PriceList(ctx context.Context, account, country string) (*PriceList, error) // errNotFound without the country
	Country(ctx context.Context, code string) (*Country, error)
	Stock(ctx context.Context, product string) (*Stock, error)
	SetPrice(ctx context.Context, product string, cents int64) error
}

const (
	internetSpace = "catalog:internet" // price lists of this channel: catalog:internet:acc_001:jp
	staticSpace   = "catalog:static"
	volatileSpace = "catalog:volatile"

	volatileTTL = time.Minute
)

// catalog caches price lists and countries until they change, and stock until it changes but never longer than volatileTTL.
type catalog struct {
	db        catalogStore
	internet  *tier.Space[*PriceList]
	countries *tier.Space[*Country]
	stock     *tier.Space[*Stock]
}

func newCatalog(cache *tier.Cache, db catalogStore) (*catalog, error) {
	var errs [3]error
	c := &catalog{db: db}
	c.internet, errs[0] = tier.NewSpace(cache, tier.SpaceConfig[*PriceList]{
		Name:     internetSpace,
		Bucket:   "catalog",
		Strategy: tier.CDC(catalogFeed),
		Load:     traced(c.loadPriceList),
	})
	c.countries, errs[1] = tier.NewSpace(cache, tier.SpaceConfig[*Country]{
		Name:     staticSpace,
		Strategy: tier.CDC(catalogFeed),
		Load: traced(func(ctx context.Context, id string) (*Country, error) {
			return db.Country(ctx, tier.Parts(id)[0])
		}),
	})
	c.stock, errs[2] = tier.NewSpace(cache, tier.SpaceConfig[*Stock]{
		Name:     volatileSpace,
		Strategy: tier.Hybrid(catalogFeed, volatileTTL),
		Load: traced(func(ctx context.Context, id string) (*Stock, error) {
			return db.Stock(ctx, tier.Parts(id)[0])
		}),
	})
	return c, errors.Join(errs[:]...)
}

// loadPriceList names the rows that the list was made from: each outdates this list, and no list that lacks it. The country comes before
// it is read, since that there is none is remembered, too, and ends when it is inserted.
func (c *catalog) loadPriceList(ctx context.Context, id string) (*PriceList, error) {
	account, country := tier.Parts(id)[0], tier.Parts(id)[1]
	tier.DependsOn(ctx, "country", country)
	list, err := c.db.PriceList(ctx, account, country)
	if err != nil {
		return nil, err
	}
	for _, p := range list.Products {
		tier.DependsOn(ctx, "product", p.ID)
	}
	return list, nil
}

// catalogRoutes: a product or country outdates what depends on it. A listing that comes or goes concerns a list that may not
// know it yet, so it outdates the list by its key.
func catalogRoutes() cdc.Routes {
	return cdc.Routes{
		"storefront.products": {
			Rules: []cdc.Rule{{Names: []string{tier.Tag("product", "{id}")}}},
			All:   []string{tier.Entity("product")},
		},
		"storefront.listings": {
			Rules: []cdc.Rule{{Names: []string{tier.Key(internetSpace, "{account}:{country}")}}},
			All:   []string{tier.SpaceName(internetSpace)},
		},
		"storefront.countries": {
			Rules: []cdc.Rule{{Names: []string{tier.Tag("country", "{code}"), tier.Key(staticSpace, "{code}")}}},
			All:   []string{tier.Entity("country"), tier.SpaceName(staticSpace)},
		},
		"storefront.stock": {
			Rules: []cdc.Rule{{Names: []string{tier.Key(volatileSpace, "{product}")}}},
			All:   []string{tier.SpaceName(volatileSpace)},
		},
	}
}

func (c *catalog) register(mux *http.ServeMux) {
	mux.Handle("GET /catalog/internet/{account}/{country}", answer(func(r *http.Request) (*PriceList, error) {
		return c.internet.Get(r.Context(), tier.ID(r.PathValue("account"), r.PathValue("country")))
	}))
	mux.Handle("GET /catalog/static/{country}", answer(func(r *http.Request) (*Country, error) {
		return c.countries.Get(r.Context(), tier.ID(r.PathValue("country")))
	}))
	mux.Handle("GET /catalog/volatile/{product}", answer(func(r *http.Request) (*Stock, error) {
		return c.stock.Get(r.Context(), tier.ID(r.PathValue("product")))
	}))
	// The change goes to the database and nowhere else: the feed tells the caches, as it does for a change by anybody else.
	mux.Handle("PUT /products/{product}", change(func(r *http.Request, body *productChange) error {
		return c.db.SetPrice(r.Context(), r.PathValue("product"), body.PriceCents)
	}))
}

// productChange is the body of PUT /products/{product}.
type productChange struct {
	PriceCents int64 `json:"priceCents"`
}

func (c *productChange) check() error {
	if c.PriceCents <= 0 {
		return errors.New("priceCents must be positive")
	}
	return nil
}
