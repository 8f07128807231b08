package main

import (
	"context"
	"errors"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/tier"
)

// errNotFound is what loaders return for what the source does not have: the caches remember it for a while.
var errNotFound = tier.ErrNotFound

// A store is the shop's database. What each cache reads of it is declared beside that cache; memory and postgres provide it.
type store interface {
	ordersStore
	catalogStore
	usersStore

	// Feeds says what each feed carries and what a change outdates.
	Feeds() map[string]cdc.Routes
	// Source returns the source of a feed that carries the changes of tables.
	Source(feed string, tables []string) (cdc.Source, error)
	// Describe says what kind of store this is, for people.
	Describe() string
	Close()
}

// openStore returns an org, the database at url or, without either, a store in memory.
func openStore(ctx context.Context, cfg config) (store, error) {
	switch {
	case cfg.salesforce && cfg.databaseURL != "":
		return nil, errors.New("-salesforce and DATABASE_URL: choose one")
	case cfg.salesforce:
		o, err := openOrg(cfg)
		if err != nil {
			return nil, err
		}
		return o, nil
	case cfg.databaseURL == "":
		return newMemory(newSample()), nil
	}
	p, err := openPostgres(ctx, cfg.databaseURL, cfg.log)
	if err != nil {
		return nil, err
	}
	return p, nil
}
