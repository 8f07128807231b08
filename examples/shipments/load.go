package shipments

import (
	"context"
	"errors"

	"github.com/tandem-cache/tandem/tier"
)

// loadParcels reads parcels, one or many, in one query. What it does not set is remembered as missing.
func (s *Service) loadParcels(ctx context.Context, b *tier.Batch[*Parcel]) error {
	ids := make([]string, len(b.IDs()))
	for i, id := range b.IDs() {
		ids[i] = tier.Parts(id)[0]
	}
	parcels, err := s.db.Parcels(ctx, ids)
	for _, p := range parcels {
		b.Set(tier.ID(p.ID), p)
	}
	return err
}

// loadAccount reads which parcels an account has, and the parcels through their own space: the list depends on each of them by itself.
func (s *Service) loadAccount(ctx context.Context, id string) (*ParcelList, error) {
	account := tier.Parts(id)[0]
	tier.DependsOn(ctx, "account", account) // before it is read
	parcels, err := s.db.ParcelsOf(ctx, account)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(parcels))
	for i, parcel := range parcels {
		ids[i] = tier.ID(parcel)
	}
	list := &ParcelList{Account: account}
	for _, r := range s.parcels.GetMany(ctx, ids) {
		switch {
		case r.Err == nil:
			list.Parcels = append(list.Parcels, r.Value)
		case !errors.Is(r.Err, tier.ErrNotFound): // which is one that went meanwhile
			return nil, r.Err
		}
	}
	return list, nil
}

// loadQuote asks a carrier.
func (s *Service) loadQuote(ctx context.Context, id string) (*Quote, error) {
	return s.carriers.Quote(ctx, tier.Parts(id)[0], tier.Parts(id)[1])
}
