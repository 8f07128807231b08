package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
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
// must. create: it isn't there, but may be created for these tables.
func checkPublication(ctx context.Context, sql *pgx.Conn, cfg Config) (create []string, err error) {
	var there bool
	err = sql.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = $1)`, cfg.Publication).Scan(&there)
	switch {
	case err != nil:
		return nil, fmt.Errorf("postgres: look for publication %q: %w", cfg.Publication, err)
	case !there && len(cfg.Tables) > 0:
		return checkTables(ctx, sql, cfg.Tables)
	case !there:
		return nil, fmt.Errorf("postgres: publication %q doesn't exist: create it, or list its tables in Config.Tables "+
			"and let the source create it", cfg.Publication)
	}
	seen, err := look(ctx, sql, cfg.Publication)
	if err != nil {
		return nil, err
	}
	if seen.problem != "" {
		return nil, errors.New("postgres: " + seen.problem)
	}
	return nil, checkPublished(ctx, sql, cfg, seen)
}

// checkFollowed reports what a stream would tell as a problem as soon as it runs.
func checkFollowed(ctx context.Context, sql *pgx.Conn, cfg Config) error {
	seen, err := look(ctx, sql, cfg.Publication)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(seen.entities)) {
		if problem := seen.entities[name].problem; problem != "" {
			errs = append(errs, fmt.Errorf("postgres: not all changes of %s arrive: %s", name, problem))
		}
	}
	return errors.Join(errs...)
}

// createPublication creates it for tables, which are in SQL. That another follower was faster
// is no error.
func createPublication(ctx context.Context, sql *pgx.Conn, name string, tables []string) error {
	_, err := sql.Exec(ctx, fmt.Sprintf(`CREATE PUBLICATION %s FOR TABLE %s WITH (publish_via_partition_root = true)`,
		quote(name), strings.Join(tables, ", ")))
	if err != nil && code(err) != codeDuplicate {
		return fmt.Errorf("postgres: create publication %q: %w", name, advise(err))
	}
	return nil
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }
