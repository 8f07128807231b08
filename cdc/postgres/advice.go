package postgres

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tandem-cache/tandem/cdc"
)

// SQLSTATE codes that the source reacts to.
const (
	codeInUse        = "55006" // object_in_use
	codeUndefined    = "42704" // undefined_object
	codeDuplicate    = "42710" // duplicate_object
	codeNoTable      = "42P01" // undefined_table
	codeDenied       = "42501" // insufficient_privilege
	codeLimit        = "53400" // configuration_limit_exceeded
	codeConnections  = "53300" // too_many_connections
	codeNotReady     = "55000" // object_not_in_prerequisite_state
	codeUnauthorized = "28000" // invalid_authorization_specification
	codeNoFile       = "58P01" // undefined_file: of the log, that is
)

func code(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}

// advise adds what to do about an error of the server, and marks a slot that is
// in use as cdc.ErrBusy.
func advise(err error) error {
	what := ""
	switch code(err) {
	case codeInUse:
		return fmt.Errorf("%w: %w", cdc.ErrBusy, err)
	case codeDenied:
		what = "give the role what is missing: ALTER ROLE … REPLICATION for the slot, ownership of the tables and CREATE on the database for a publication"
	case codeLimit:
		what = "raise max_replication_slots (one more is needed while a slot is made) or drop slots that nobody reads"
	case codeConnections:
		what = "raise max_wal_senders or max_connections"
	case codeUnauthorized:
		what = "let the role connect in pg_hba.conf"
	case codeNoFile:
		what = "the server has removed log that the slot needs; the next attempt makes the slot anew, and the feed is flushed"
	case codeUndefined:
		if strings.Contains(err.Error(), "publication") {
			what = "a publication must be older than the slot that it is used with: create it, then drop the slot (Source.DropSlot); the next Open makes another"
		}
	case codeNotReady:
		if strings.Contains(err.Error(), "wal_level") {
			what = "set wal_level = logical and restart the server"
		}
	}
	if what == "" {
		return err
	}
	return fmt.Errorf("%w; %s", err, what)
}
