package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// checkServer reports whether the server can be followed at all.
func checkServer(ctx context.Context, sql *pgx.Conn) error {
	var recovery bool
	var level string
	err := sql.QueryRow(ctx, `SELECT pg_is_in_recovery(), current_setting('wal_level')`).Scan(&recovery, &level)
	if err != nil {
		return fmt.Errorf("postgres: ask about the server: %w", err)
	}
	var errs []error
	if recovery {
		errs = append(errs, errors.New("postgres: Config.ConnString leads to a standby: "+
			"only the primary can say which commits a reader sees; add target_session_attrs=primary"))
	}
	if level != "logical" {
		errs = append(errs, fmt.Errorf("postgres: wal_level is %s: set wal_level = logical and restart the server", level))
	}
	return errors.Join(errs...)
}

// statusEvery returns the time between two statuses: well below what the server
// waits for one.
func statusEvery(ctx context.Context, sql *pgx.Conn) (time.Duration, error) {
	var ms int64
	err := sql.QueryRow(ctx, `SELECT setting::bigint FROM pg_settings WHERE name = 'wal_sender_timeout'`).Scan(&ms)
	if err != nil {
		return 0, fmt.Errorf("postgres: read wal_sender_timeout: %w", err)
	}
	if ms == 0 {
		return time.Second, nil
	}
	return min(time.Second, time.Duration(ms)*time.Millisecond/4), nil
}

// checkPublication reports whether the publication is there and publishes what it
// must. missing: it isn't there, but may be created.
func checkPublication(ctx context.Context, sql *pgx.Conn, cfg Config) (missing bool, err error) {
	var complete bool
	err = sql.QueryRow(ctx, `SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate FROM pg_publication WHERE pubname = $1`,
		cfg.Publication).Scan(&complete)
	switch {
	case errors.Is(err, pgx.ErrNoRows) && len(cfg.Tables) > 0:
		return true, checkTables(ctx, sql, cfg.Tables)
	case errors.Is(err, pgx.ErrNoRows):
		return false, fmt.Errorf("postgres: publication %q doesn't exist: create it, or list its tables in Config.Tables "+
			"and let the source create it", cfg.Publication)
	case err != nil:
		return false, fmt.Errorf("postgres: look for publication %q: %w", cfg.Publication, err)
	case !complete:
		return false, fmt.Errorf("postgres: publication %q leaves out some kinds of change: "+
			"ALTER PUBLICATION %s SET (publish = 'insert, update, delete, truncate')", cfg.Publication, quote(cfg.Publication))
	}
	return false, checkPublished(ctx, sql, cfg)
}

// checkPublished reports the tables that the publication lacks.
func checkPublished(ctx context.Context, sql *pgx.Conn, cfg Config) error {
	var errs []error
	for _, table := range cfg.Tables {
		schema, name, _ := strings.Cut(table, ".")
		var found bool
		err := sql.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_publication_tables WHERE pubname = $1 AND schemaname = $2 AND tablename = $3)`,
			cfg.Publication, schema, name).Scan(&found)
		if err != nil {
			return fmt.Errorf("postgres: look for the tables of publication %q: %w", cfg.Publication, err)
		}
		if !found {
			errs = append(errs, fmt.Errorf("postgres: Config.Tables: %q isn't in publication %q: ALTER PUBLICATION %s ADD TABLE %s "+
				"(a partitioned table also needs SET (publish_via_partition_root = true)), then flush the cache",
				table, cfg.Publication, quote(cfg.Publication), quoteTable(table)))
		}
	}
	return errors.Join(errs...)
}

// checkTables reports what keeps tables from being published: that they don't
// exist, and that their writers would fail from then on.
func checkTables(ctx context.Context, sql *pgx.Conn, tables []string) error {
	var errs []error
	for _, table := range tables {
		schema, name, _ := strings.Cut(table, ".")
		var identified bool
		err := sql.QueryRow(ctx, `
			SELECT CASE c.relreplident WHEN 'f' THEN true WHEN 'n' THEN false
			       WHEN 'i' THEN EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisreplident)
			       ELSE EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary) END
			FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')`, schema, name).Scan(&identified)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			errs = append(errs, fmt.Errorf("postgres: Config.Tables: table %q doesn't exist", table))
		case err != nil:
			return fmt.Errorf("postgres: look for table %q: %w", table, err)
		case !identified:
			errs = append(errs, fmt.Errorf("postgres: Config.Tables: %q has no primary key or other replica identity: once published, "+
				"its UPDATE and DELETE would fail; add a key, or ALTER TABLE %s REPLICA IDENTITY FULL", table, quoteTable(table)))
		}
	}
	return errors.Join(errs...)
}

// createPublication creates it for cfg.Tables. That another follower was faster
// is no error.
func createPublication(ctx context.Context, sql *pgx.Conn, cfg Config) error {
	tables := make([]string, len(cfg.Tables))
	for i, t := range cfg.Tables {
		tables[i] = quoteTable(t)
	}
	_, err := sql.Exec(ctx, fmt.Sprintf(`CREATE PUBLICATION %s FOR TABLE %s WITH (publish_via_partition_root = true)`,
		quote(cfg.Publication), strings.Join(tables, ", ")))
	if err != nil && code(err) != codeDuplicate {
		return fmt.Errorf("postgres: create publication %q: %w", cfg.Publication, advise(err))
	}
	return nil
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

func quoteTable(table string) string {
	schema, name, _ := strings.Cut(table, ".")
	return pgx.Identifier{schema, name}.Sanitize()
}
