package postgres_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pglogrepl"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/cdc/postgres"
)

// An acknowledgement reaches the server while the stream is idle.
func TestAck(t *testing.T) {
	db := start(t)
	db.exec(`CREATE TABLE orders (id int PRIMARY KEY)`)
	st, from := begin(t, db.source("public.orders"))
	db.exec(`INSERT INTO orders VALUES (1)`)
	_, b := events(t, st, 1)
	time.Sleep(quiet)
	if got := db.confirmed(); lsn(t, got) > lsn(t, from) {
		t.Fatalf("confirmed %s before any acknowledgement; want at most %s", got, from)
	}
	ack(t, st, b.Position)
	db.await(`SELECT (confirmed_flush_lsn >= '` + lsn(t, b.Position).String() + `')::text FROM pg_replication_slots WHERE slot_name = 'tandem'`)
	if err := st.Ack(t.Context(), "1/1/0/1"); err == nil {
		t.Error("acknowledged a position of another cluster")
	}
}

// The last acknowledgement reaches the server at Close, though the server has much
// more to send; and then the slot is free.
func TestAckAtClose(t *testing.T) {
	db := start(t)
	db.exec(`CREATE TABLE orders (id int PRIMARY KEY, big text)`)
	src := db.sourceOf(postgres.Config{Tables: []string{"public.orders"}, MaxBatch: 10})
	st, _ := begin(t, src)
	const rows = 2000
	for n := range 5 {
		db.exec(fmt.Sprintf(`INSERT INTO orders VALUES (%d)`, -1-n))
		_, b := events(t, st, 1)
		// 20 MB: more than sockets hold.
		db.exec(fmt.Sprintf(`INSERT INTO orders SELECT n, repeat('x', 10000) FROM generate_series(%d, %d) n`, rows*n, rows*n+rows-1))
		time.Sleep(quiet) // for the queue to fill up
		ack(t, st, b.Position)
		closeStream(t, st)
		if got, want := lsn(t, db.confirmed()), lsn(t, b.Position); got != want {
			t.Fatalf("confirmed %s; want %s", got, want)
		}
		st = open(t, src, b.Position)
		events(t, st, rows)
	}
}

// While others keep the server busy and nothing is published, the position moves
// on all the same; but never past what Next hasn't returned.
func TestIdlePublication(t *testing.T) {
	db := start(t)
	db.exec(`CREATE TABLE orders (id int PRIMARY KEY)`, `CREATE TABLE noise (id int, t text)`)
	st, from := begin(t, db.source("public.orders"))
	db.exec(`INSERT INTO noise SELECT n, repeat('x', 100) FROM generate_series(1, 10000) n`)
	target := lsn(t, db.text(`SELECT pg_current_wal_flush_lsn()::text`))
	for at := lsn(t, from); at < target; {
		b := next(t, st)
		if len(b.Events) > 0 || b.Position == "" {
			t.Fatalf("got %+v; want a position alone", b)
		}
		at = lsn(t, b.Position)
		ack(t, st, b.Position)
	}
	db.await(`SELECT (confirmed_flush_lsn >= '` + target.String() + `')::text FROM pg_replication_slots WHERE slot_name = 'tandem'`)

	// An event that is waiting holds the position back.
	db.exec(`INSERT INTO orders VALUES (1)`)
	before := lsn(t, db.text(`SELECT pg_current_wal_flush_lsn()::text`))
	db.exec(`INSERT INTO noise SELECT n, 'x' FROM generate_series(1, 10000) n`)
	time.Sleep(2 * time.Second) // for keepalives, and statuses that must not confirm
	if got := lsn(t, db.confirmed()); got > before {
		t.Errorf("confirmed %s while an event before %s waited", got, before)
	}
	if _, b := events(t, st, 1); lsn(t, b.Position) > before {
		t.Errorf("got position %s; want the event's own, at most %s", b.Position, before)
	}
}

// lsn reads an LSN, also out of a position.
func lsn(t *testing.T, text string) pglogrepl.LSN {
	t.Helper()
	if p, ok := postgres.PositionLSN(text); ok {
		return p
	}
	l, err := pglogrepl.ParseLSN(text)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A consumer that is slower than wal_sender_timeout stays connected, also with
// its queue full.
func TestSlowConsumer(t *testing.T) {
	db := start(t, "wal_sender_timeout=3s")
	db.exec(`CREATE TABLE orders (id int PRIMARY KEY)`)
	src := db.sourceOf(postgres.Config{Tables: []string{"public.orders"}, MaxBatch: 10})
	st, _ := begin(t, src)
	db.exec(`INSERT INTO orders SELECT generate_series(1, 20000)`)
	events(t, st, 10)
	time.Sleep(3 * senderTimeout / 2)
	events(t, st, 19990)
	time.Sleep(3 * senderTimeout / 2)
	db.exec(`INSERT INTO orders VALUES (-1)`)
	events(t, st, 1)
}

func TestBusy(t *testing.T) {
	db := start(t)
	db.exec(`CREATE TABLE orders (id int PRIMARY KEY)`)
	src := db.source("public.orders")
	first, from := begin(t, src)
	for _, from := range []string{"", from, "garbage"} {
		if _, err := src.Open(t.Context(), from); !errors.Is(err, cdc.ErrBusy) {
			t.Fatalf("second from %q: got error %v; want ErrBusy", from, err)
		}
	}
	if err := src.DropSlot(t.Context()); !errors.Is(err, cdc.ErrBusy) {
		t.Errorf("drop: got error %v; want ErrBusy", err)
	}
	if err := src.Check(t.Context()); err != nil {
		t.Errorf("check: got error %v; want none", err)
	}
	db.exec(`INSERT INTO orders VALUES (1)`)
	events(t, first, 1)
	closeStream(t, first)
	for range 20 {
		second := open(t, src, from) // at once: Close waited until the slot was free
		events(t, second, 1)
		closeStream(t, second)
	}
	if err := src.DropSlot(t.Context()); err != nil {
		t.Error(err)
	}
	if err := src.DropSlot(t.Context()); err != nil {
		t.Errorf("drop again: %v", err)
	}
}
