package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/cdc/postgres"
)

// The sources, and the shapes of their changes.
const (
	cdcPostgres   = "postgres"
	cdcSalesforce = "salesforce"

	shapeSingle = "single-row transactions"
	shapeBulk   = "one bulk update"
	shapeEvents = "change events"
)

var cdcSourceNames = []string{cdcPostgres}

// A cdcSource makes changes of numbered rows.
type cdcSource interface {
	// config is for the pod that follows.
	config() *cdcSourceConfig
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
	}
	return nil, fmt.Errorf("no source %q", name)
}

// cdcSourceConfig is a source as the pod opens it: one of its fields is set.
type cdcSourceConfig struct {
	Postgres string `json:"postgres,omitempty"` // URL
}

func (c *cdcSourceConfig) name() string { return cdcPostgres }

// entity and column say what the routes are for.
func (c *cdcSourceConfig) entity() string { return "public." + cdcTable }
func (c *cdcSourceConfig) column() string { return "id" }

func (c *cdcSourceConfig) open() (cdc.Source, error) {
	return postgres.NewSource(postgres.Config{ConnString: c.Postgres, Slot: cdcTable, Publication: cdcTable, Logger: quiet()})
}

// cdcTable names the table, and the slot and publication beside it.
const cdcTable = "tandem_bench_cdc"

// cdcPostgresSource is a table of a server. It has a short row, as a table of orders or prices does.
type cdcPostgresSource struct {
	url  string
	conn *pgx.Conn
}

func openCDCPostgres(ctx context.Context, s *servers, o cdcOptions) (*cdcPostgresSource, error) {
	url, err := s.postgres(o.postgres)
	if err != nil {
		return nil, err
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	src := &cdcPostgresSource{url: url, conn: conn}
	for _, sql := range []string{
		`DROP PUBLICATION IF EXISTS ` + cdcTable,
		`DROP TABLE IF EXISTS ` + cdcTable,
		`CREATE TABLE ` + cdcTable + ` (id int PRIMARY KEY, version bigint NOT NULL DEFAULT 0, title text NOT NULL)`,
		fmt.Sprintf(`INSERT INTO %s SELECT i, 0, 'the title of row ' || i FROM generate_series(1, %d) i`, cdcTable, o.changes),
		`CREATE PUBLICATION ` + cdcTable + ` FOR TABLE ` + cdcTable,
		`VACUUM ANALYZE ` + cdcTable,
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", sql, err), src.close())
		}
	}
	return src, nil
}

func (s *cdcPostgresSource) config() *cdcSourceConfig { return &cdcSourceConfig{Postgres: s.url} }
func (s *cdcPostgresSource) shapes() []string         { return []string{shapeSingle, shapeBulk} }

func (s *cdcPostgresSource) change(ctx context.Context, shape string, n int) error {
	sql := fmt.Sprintf(`UPDATE %s SET version = version + 1 WHERE id <= %d`, cdcTable, n)
	if shape == shapeSingle {
		sql = fmt.Sprintf(`DO $$ BEGIN FOR i IN 1..%d LOOP UPDATE %s SET version = version + 1 WHERE id = i; COMMIT; END LOOP; END $$`, n, cdcTable)
	}
	if _, err := s.conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("%s: %w", shape, err)
	}
	_, err := s.conn.Exec(ctx, `VACUUM `+cdcTable)
	return err
}

func (s *cdcPostgresSource) touch(ctx context.Context, row int) error {
	_, err := s.conn.Exec(ctx, `UPDATE `+cdcTable+` SET version = version + 1 WHERE id = $1`, row)
	return err
}

// close drops the slot: a server that is not ours would keep its log for it.
func (s *cdcPostgresSource) close() error {
	ctx := context.Background()
	src, err := (&cdcSourceConfig{Postgres: s.url}).open()
	if err == nil {
		err = src.(*postgres.Source).DropSlot(ctx)
	}
	return errors.Join(err, s.conn.Close(ctx))
}
