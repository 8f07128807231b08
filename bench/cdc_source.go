package main

import (
	"context"
	"fmt"

	"github.com/tandem-cache/tandem/cdc"
)

// The sources, and the shapes of their changes.
const (
	cdcPostgres   = "postgres"
	cdcSalesforce = "salesforce"

	shapeSingle = "single-row transactions"
	shapeBulk   = "one bulk update"
	shapeEvents = "change events"
)

var cdcSourceNames = []string{cdcPostgres, cdcSalesforce}

// A cdcSource makes changes of numbered rows.
type cdcSource interface {
	// config is for the pod that follows.
	config() *cdcSourceConfig
	// ids is the format of what the column holds of row %d.
	ids() string
	// shapes are the ways to make many changes.
	shapes() []string
	// change changes the rows 1 to n, each once.
	change(ctx context.Context, shape string, n int) error
	// touch changes one row. When it returns, the change is committed.
	touch(ctx context.Context, row int) error
	close() error
}

func openCDCSource(ctx context.Context, name string, s *servers, o cdcOptions) (cdcSource, error) {
	switch name {
	case cdcPostgres:
		return openCDCPostgres(ctx, s, o)
	case cdcSalesforce:
		return openCDCSalesforce(o)
	}
	return nil, fmt.Errorf("no source %q", name)
}

// cdcSourceConfig is a source as the pod opens it.
type cdcSourceConfig struct {
	Name       string         `json:"name"`
	Entity     string         `json:"entity"` // what the routes are for
	Column     string         `json:"column"`
	Postgres   string         `json:"postgres,omitempty"` // URL
	Salesforce *salesforceOrg `json:"salesforce,omitempty"`
}

func (c *cdcSourceConfig) open() (cdc.Source, error) {
	if c.Salesforce != nil {
		return c.Salesforce.open()
	}
	return openPostgres(c.Postgres)
}
