package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-cache/tandem/cdc/postgres"
)

// cdcTable names the table, and the slot and publication beside it.
const cdcTable = "tandem_bench_cdc"

func openPostgres(url string) (*postgres.Source, error) {
	return postgres.NewSource(postgres.Config{ConnString: url, Slot: cdcTable, Publication: cdcTable, Logger: quiet()})
}

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

func (s *cdcPostgresSource) config() *cdcSourceConfig {
	return &cdcSourceConfig{Name: cdcPostgres, Entity: "public." + cdcTable, Column: "id", Postgres: s.url}
}

func (*cdcPostgresSource) ids() string { return "%d" }

func (s *cdcPostgresSource) shapes() []string { return []string{shapeSingle, shapeBulk} }

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
	src, err := openPostgres(s.url)
	if err == nil {
		err = src.DropSlot(ctx)
	}
	return errors.Join(err, s.conn.Close(ctx))
}
