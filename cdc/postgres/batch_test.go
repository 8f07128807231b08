package postgres_test

import (
	"testing"
	"time"

	"github.com/tandem-cache/tandem/cdc/postgres"
)

// What has been received already comes in one batch, up to MaxBatch.
func TestSmallTransactions(t *testing.T) {
	db := start(t)
	db.exec(`CREATE TABLE orders (id serial PRIMARY KEY)`)
	src := db.sourceOf(postgres.Config{Tables: []string{"public.orders"}, MaxBatch: 150})
	st, _ := begin(t, src)
	const n = 200
	for range n {
		db.exec(`INSERT INTO orders DEFAULT VALUES`)
	}
	end := db.text(`SELECT pg_current_wal_flush_lsn()::text`)
	db.await(`SELECT coalesce(write_lsn >= '` + end + `', false)::text FROM pg_stat_replication`) // all is received
	var sizes []int
	for got := 0; got < n; {
		b := next(t, st)
		if len(b.Events) == 0 {
			continue
		}
		if b.Position == "" {
			t.Error("a batch of whole transactions has no position")
		}
		got += len(b.Events)
		sizes = append(sizes, len(b.Events))
	}
	// The first may end at what was known to be visible.
	if len(sizes) > 3 {
		t.Errorf("got batches of %v; want them together", sizes)
	}
	for _, size := range sizes {
		if size > 150 {
			t.Errorf("got batches of %v; want at most 150", sizes)
		}
	}
}

// A big transaction comes in parts, and only the last one has a position.
func TestBigTransaction(t *testing.T) {
	db := start(t)
	db.exec(`CREATE TABLE orders (id int PRIMARY KEY)`)
	src := db.sourceOf(postgres.Config{Tables: []string{"public.orders"}, MaxBatch: 100})
	st, _ := begin(t, src)
	db.exec(`INSERT INTO orders VALUES (-1)`, `INSERT INTO orders SELECT generate_series(1, 5050)`)

	first := next(t, st)
	for len(first.Events) == 0 {
		first = next(t, st)
	}
	if len(first.Events) != 1 || first.Position == "" {
		t.Fatalf("got %d events, position %q; want the small transaction alone", len(first.Events), first.Position)
	}
	total := 0
	for total < 5050 {
		b := next(t, st)
		total += len(b.Events)
		if len(b.Events) > 100 {
			t.Errorf("got a batch of %d events; want at most 100", len(b.Events))
		}
		if last := total == 5050 && b.Position != ""; b.Position != "" && !last {
			t.Errorf("got position %q after %d events; want none before the commit", b.Position, total)
		}
	}
	if total != 5050 {
		t.Errorf("got %d events; want 5050", total)
	}

	// Cut off in the middle, all of it comes again.
	closeStream(t, st)
	st = open(t, src, first.Position)
	if got, _ := events(t, st, 5050); got[0].Rows[0]["id"] != "1" {
		t.Errorf("got %v first; want row 1", got[0])
	}
}

// A transaction of wide rows is cut by its size too.
func TestWideRows(t *testing.T) {
	db := start(t)
	db.exec(`CREATE TABLE orders (id int PRIMARY KEY, big text)`)
	st, _ := begin(t, db.source("public.orders"))
	db.exec(`INSERT INTO orders VALUES (0, '')`, `INSERT INTO orders SELECT n, repeat('x', 1 << 20) FROM generate_series(1, 40) n`)
	time.Sleep(1500 * time.Millisecond) // until both are received and known to be visible
	events(t, st, 1)                    // a part, which has no position, doesn't join what has one
	for got := 0; got < 40; {
		b := next(t, st)
		got += len(b.Events)
		if len(b.Events) > 5 {
			t.Fatalf("got a batch of %d MiB; want 4 or little more", len(b.Events))
		}
	}
}
