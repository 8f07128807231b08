package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// pins are the settings that alter how the server writes a value. A role or a database may have any of them, may get them while the
// follower runs, and then the text of a key, and the name that a route makes of it, would be another than yesterday's: it would outdate
// nothing.
var pins = []string{
	"client_encoding = 'UTF8'",
	"datestyle = 'ISO, YMD'",      // date, timestamp, timestamptz
	"timezone = 'UTC'",            // timestamptz
	"intervalstyle = 'postgres'",  // interval
	"bytea_output = 'hex'",        // bytea
	"extra_float_digits = 3",      // float4, float8: rounded, an update of the last digits would look like none
	"lc_monetary = 'C'",           // money
	"quote_all_identifiers = off", // regclass and its kin
	"search_path = 'pg_catalog'",  // the same: with their schema, unless it is this one
}

// pin sets them for the session.
func pin(ctx context.Context, conn *pgconn.PgConn) error {
	if _, err := conn.Exec(ctx, "SET "+strings.Join(pins, "; SET ")).ReadAll(); err != nil {
		return fmt.Errorf("postgres: pin the session's settings: %w", advise(err))
	}
	return nil
}
