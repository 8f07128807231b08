package main

import (
	"context"
	"errors"

	"github.com/tandem-cache/tandem/cdc"
)

// errNotFound is what loaders return for what the source does not have. Errors are not cached.
var errNotFound = errors.New("not found")

// A store is the shop's database. What each cache reads of it is declared beside that cache; memory and postgres provide it.
type store interface {
	ordersStore
	catalogStore
	usersStore

	// Source returns the source of a feed that carries the changes of tables.
	Source(feed string, tables []string) (cdc.Source, error)
	// Describe says what kind of store this is, for people.
	Describe() string
	Close()
}

// openStore returns the database at url or, if that is empty, one in memory.
func openStore(ctx context.Context, cfg config) (store, error) {
	if cfg.databaseURL == "" {
		return newMemory(newSample()), nil
	}
	p, err := openPostgres(ctx, cfg.databaseURL, cfg.log)
	if err != nil {
		return nil, err
	}
	return p, nil
}
