package main

import (
	"context"
	"net/http"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/tier"
)

// User says which account a user of the identity provider belongs to.
type User struct {
	ExternalID string `json:"externalId"`
	Account    string `json:"account"`
}

type usersStore interface {
	User(ctx context.Context, externalID string) (*User, error)
}

const mappingSpace = "mapping:userId"

// mapping caches users: read with every request, changed almost never.
type mapping struct {
	users *tier.Space[*User]
}

func newMapping(cache *tier.Cache, db usersStore) (*mapping, error) {
	users, err := tier.NewSpace(cache, tier.SpaceConfig[*User]{
		Name:     mappingSpace,
		Strategy: tier.CDC(ordersFeed),
		Load: traced(func(ctx context.Context, id string) (*User, error) {
			return db.User(ctx, tier.Parts(id)[0])
		}),
	})
	return &mapping{users: users}, err
}

func usersRoutes() cdc.Routes {
	return cdc.Routes{
		"storefront.users": {
			Rules: []cdc.Rule{{Names: []string{tier.Key(mappingSpace, "{external_id}")}}},
			All:   []string{tier.SpaceName(mappingSpace)},
		},
	}
}

func (m *mapping) register(mux *http.ServeMux) {
	// An identity provider's ids may hold anything, here "idp|user_0001": tier.ID keeps them apart.
	mux.Handle("GET /users/{external}", answer(func(r *http.Request) (*User, error) {
		return m.users.Get(r.Context(), tier.ID(r.PathValue("external")))
	}))
}
