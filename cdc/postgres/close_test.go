package postgres_test

import (
	"testing"
	"time"

	"github.com/tandem-cache/tandem/cdc/postgres"
)

// The end of an idle stream doesn't wait for the next status, which is half a minute away.
func TestCloseWhileIdle(t *testing.T) {
	db := start(t)
	db.exec(`CREATE TABLE orders (id int PRIMARY KEY)`)
	src := db.source("public.orders")
	const every = 30 * time.Second
	postgres.SetStatusEvery(src, every)
	st, position := begin(t, src)
	for range 3 {
		silent(t, st) // the reader waits for the server
		began := time.Now()
		closeStream(t, st)
		if took := time.Since(began); took > every/2 {
			t.Fatalf("it took %s to close", took)
		}
		st = open(t, src, position)
	}
}
