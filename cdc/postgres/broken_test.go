package postgres_test

import (
	"context"
	"testing"

	"github.com/tandem-cache/tandem/cdc/postgres"
)

// A stream whose connection breaks ends with an error, and nothing is sent on the connection any more: pgx closes it in a goroutine of
// its own. The race detector watches.
func TestBrokenConnection(t *testing.T) {
	db := start(t)
	db.exec(`CREATE TABLE orders (id int PRIMARY KEY)`)
	closeStream(t, first(begin(t, db.source("public.orders"))))
	for range 10 {
		way := newNetwork(t, db.URL)
		src := db.sourceOf(postgres.Config{ConnString: way.through(t, db.URL), Tables: []string{"public.orders"}})
		db.await(`SELECT (NOT active)::text FROM pg_replication_slots WHERE slot_name = 'tandem'`) // the server notices a cut somewhat later
		st := open(t, src, "")
		way.cut()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		var err error
		for err == nil {
			_, err = st.Next(ctx)
		}
		if ctx.Err() != nil {
			t.Errorf("got %v; want the stream to break", err)
		}
		cancel()
		closeStream(t, st)
	}
}

func first[A, B any](a A, _ B) A { return a }
