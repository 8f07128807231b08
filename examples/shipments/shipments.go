// Package shipments is the cache of a service as docs/new-service.md builds it: parcels, the parcels of an account, and what carriers ask.
package shipments

import (
	"context"
	"errors"
	"time"

	"github.com/tandem-cache/tandem/tier"
)

// The spaces, with a key of each, and the feed that covers them.
const (
	parcelSpace  = "shipments:parcel"  // shipments:parcel:prc_1
	accountSpace = "shipments:account" // shipments:account:acc_1
	quoteSpace   = "shipments:quote"   // shipments:quote:swift:jp

	shipmentsFeed = "shipments-feed"
)

// parcelSchema is the version of Parcel: raise it when old and new pods could not read each other's.
const parcelSchema = 1

// quoteTTL is how old a price of a carrier may be.
const quoteTTL = 90 * time.Second

// A Parcel is a row of parcels.
type Parcel struct {
	ID      string
	Account string
	Carrier string
	Status  string
}

// A ParcelList is the parcels of an account.
type ParcelList struct {
	Account string
	Parcels []*Parcel
}

// A Quote is what a carrier asks for a parcel to a country.
type Quote struct {
	Carrier, Country string
	Cents            int64
}

// A Store is the service's database. What it returns nobody changes.
type Store interface {
	Parcels(ctx context.Context, ids []string) ([]*Parcel, error) // without those that are not there
	ParcelsOf(ctx context.Context, account string) (ids []string, err error)
	SetStatus(ctx context.Context, id, status string) (*Parcel, error) // UPDATE … RETURNING; tier.ErrNotFound
}

// Carriers are other companies' systems, which tell of no change.
type Carriers interface {
	Quote(ctx context.Context, carrier, country string) (*Quote, error)
}

// A Service answers from its cache.
type Service struct {
	db       Store
	carriers Carriers

	parcels  *tier.Space[*Parcel]
	accounts *tier.Space[*ParcelList]
	quotes   *tier.Space[*Quote]
}

// New opens the spaces in cache.
func New(cache *tier.Cache, db Store, carriers Carriers) (*Service, error) {
	s := &Service{db: db, carriers: carriers}
	var errs [3]error
	s.parcels, errs[0] = tier.NewSpace(cache, tier.SpaceConfig[*Parcel]{
		Name:        parcelSpace,
		Strategy:    tier.CDC(shipmentsFeed),
		LoadMany:    s.loadParcels,
		NegativeTTL: time.Minute,
		Schema:      parcelSchema,
	})
	s.accounts, errs[1] = tier.NewSpace(cache, tier.SpaceConfig[*ParcelList]{
		Name:     accountSpace,
		Strategy: tier.CDC(shipmentsFeed),
		Load:     s.loadAccount,
		Schema:   parcelSchema, // it contains parcels
	})
	s.quotes, errs[2] = tier.NewSpace(cache, tier.SpaceConfig[*Quote]{
		Name:        quoteSpace,
		Strategy:    tier.TTL(quoteTTL),
		Load:        s.loadQuote,
		LoadTimeout: 2 * time.Second,
	})
	return s, errors.Join(errs[:]...)
}

// Parcel returns a parcel, or tier.ErrNotFound.
func (s *Service) Parcel(ctx context.Context, id string) (*Parcel, error) {
	return s.parcels.Get(ctx, tier.ID(id))
}

// ParcelsOf returns the parcels of an account.
func (s *Service) ParcelsOf(ctx context.Context, account string) (*ParcelList, error) {
	return s.accounts.Get(ctx, tier.ID(account))
}

// Quote returns what a carrier asked at most 90 seconds ago.
func (s *Service) Quote(ctx context.Context, carrier, country string) (*Quote, error) {
	return s.quotes.Get(ctx, tier.ID(carrier, country))
}

// SetStatus changes a parcel. Whoever reads it afterwards, on any pod that has heard of it, reads the change.
func (s *Service) SetStatus(ctx context.Context, id, status string) (*Parcel, error) {
	return s.parcels.SetWith(ctx, tier.ID(id), func(ctx context.Context) (*Parcel, error) {
		return s.db.SetStatus(ctx, id, status)
	})
}
