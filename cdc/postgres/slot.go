package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
)

// slot is a row of pg_replication_slots.
type slot struct {
	active    bool
	lost      bool          // the server dropped log that it needs
	restart   string        // from where the server keeps its log for the slot
	confirmed pglogrepl.LSN // acknowledged; the stream can't start before it
}

// findSlot returns the slot, or nil if there is none. A slot of the same name
// that serves something else is an error.
func findSlot(ctx context.Context, sql *pgx.Conn, name string) (*slot, error) {
	var kind, plugin, database, current, status, confirmed string
	var temporary bool
	var s slot
	err := sql.QueryRow(ctx, `
		SELECT slot_type, coalesce(plugin, ''), coalesce(database, ''), current_database(), active, temporary,
		       coalesce(wal_status, ''), coalesce(confirmed_flush_lsn::text, ''), coalesce(restart_lsn::text, '')
		FROM pg_replication_slots WHERE slot_name = $1`, name).
		Scan(&kind, &plugin, &database, &current, &s.active, &temporary, &status, &confirmed, &s.restart)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("postgres: look for slot %q: %w", name, err)
	case kind != "logical" || plugin != "pgoutput" || database != current:
		return nil, fmt.Errorf("postgres: slot %q belongs to something else (%s, plugin %q, database %q; want logical, pgoutput, %q): "+
			"set Config.Slot to another name, or drop it", name, kind, plugin, database, current)
	}
	s.lost = status == "lost" || confirmed == ""
	if s.lost {
		return &s, nil
	}
	if s.confirmed, err = pglogrepl.ParseLSN(confirmed); err != nil {
		return nil, fmt.Errorf("postgres: slot %q: %w", name, err)
	}
	return &s, nil
}

// dropSlot drops the slot; that it doesn't exist is no error.
func dropSlot(ctx context.Context, sql *pgx.Conn, name string) error {
	_, err := sql.Exec(ctx, `SELECT pg_drop_replication_slot($1)`, name)
	if err != nil && code(err) != codeUndefined {
		return fmt.Errorf("postgres: drop slot %q: %w", name, advise(err))
	}
	return nil
}

// newSlot makes a slot that ends with the session of sql, and returns where its
// stream begins. It waits for every transaction that is writing now.
func newSlot(ctx context.Context, sql *pgx.Conn, name string) (pglogrepl.LSN, error) {
	var at string
	err := sql.QueryRow(ctx, `SELECT lsn::text FROM pg_create_logical_replication_slot($1, 'pgoutput', true)`, name).Scan(&at)
	if err != nil {
		return 0, fmt.Errorf("postgres: create slot %q: %w", name, advise(err))
	}
	return pglogrepl.ParseLSN(at)
}

// keepSlot makes a lasting slot that begins where the temporary one does, and
// drops that.
func keepSlot(ctx context.Context, sql *pgx.Conn, temporary, name string) error {
	_, err := sql.Exec(ctx, `SELECT pg_copy_logical_replication_slot($1, $2, false)`, temporary, name)
	if err != nil {
		return fmt.Errorf("postgres: create slot %q: %w", name, advise(err))
	}
	return dropSlot(ctx, sql, temporary)
}
