package postgres_test

import (
	"strconv"
	"testing"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/cdc/postgres"
)

// A slot made just now is a gap, until its flush was acknowledged.
func TestSlotMissing(t *testing.T) {
	db := start(t)
	db.exec(`CREATE TABLE orders (id int PRIMARY KEY)`)
	src := db.source("public.orders")
	slots := `SELECT count(*)::text FROM pg_replication_slots`
	for range 2 {
		st := open(t, src, "")
		if b := next(t, st); !b.Lost {
			t.Fatalf("got %+v; want it lost", b)
		}
		if _, known := st.Lag(); known {
			t.Error("the lag is known before the stream has begun")
		}
		closeStream(t, st) // the follower died before it had flushed
		db.await(`SELECT (count(*) = 0)::text FROM pg_replication_slots`)
	}

	st := open(t, src, "")
	b := next(t, st)
	db.exec(`INSERT INTO orders VALUES (1)`) // while the cache is being flushed
	ack(t, st, b.Position)
	if got := db.text(slots); got != "1" {
		t.Errorf("got %s slots; want 1", got)
	}
	events(t, st, 1)
	closeStream(t, st)

	st = open(t, src, "") // not lost: it goes on where it was acknowledged
	events(t, st, 1)
	closeStream(t, st)

	if err := src.DropSlot(t.Context()); err != nil {
		t.Fatal(err)
	}
	st = open(t, src, b.Position) // somebody dropped it
	lost(t, st)
	silent(t, st)
}

// Two followers that make the slot at the same time: one gets it.
func TestSlotMadeTwice(t *testing.T) {
	db := start(t)
	db.exec(`CREATE TABLE orders (id int PRIMARY KEY)`)
	src := db.source("public.orders")
	first, second := open(t, src, ""), open(t, src, "")
	lost(t, first)
	b := next(t, second)
	if err := second.Ack(t.Context(), b.Position); err == nil {
		t.Error("the second follower got the slot too")
	}
	db.exec(`INSERT INTO orders VALUES (1)`)
	events(t, first, 1)
}

func TestTemporarySlot(t *testing.T) {
	db := start(t)
	db.exec(`CREATE TABLE orders (id int PRIMARY KEY)`)
	src := db.sourceOf(postgres.Config{Tables: []string{"public.orders"}, Temporary: true})
	st, from := begin(t, src)
	db.exec(`INSERT INTO orders VALUES (1)`)
	events(t, st, 1)
	closeStream(t, st)
	if got := db.text(`SELECT count(*)::text FROM pg_replication_slots`); got != "0" {
		t.Errorf("got %s slots; want 0", got)
	}
	st = open(t, src, from)
	lost(t, st)
}

// The server drops the log that a slot needs when it is told not to keep so much.
func TestSlotInvalidated(t *testing.T) {
	db := start(t, "max_slot_wal_keep_size=1MB", "min_wal_size=32MB", "max_wal_size=32MB")
	db.exec(`CREATE TABLE orders (id int PRIMARY KEY)`, `CREATE TABLE noise (t text)`)
	src := db.source("public.orders")
	st, from := begin(t, src)
	closeStream(t, st)
	db.exec(`INSERT INTO orders VALUES (1)`)
	for range 3 {
		db.exec(`INSERT INTO noise SELECT repeat('x', 1000) FROM generate_series(1, 20000)`, `SELECT pg_switch_wal()`, `CHECKPOINT`)
	}
	if got := db.text(`SELECT wal_status FROM pg_replication_slots`); got != "lost" {
		t.Fatalf("got wal_status %s; want lost: the test did not invalidate the slot", got)
	}
	st = open(t, src, from)
	lost(t, st)
	silent(t, st)
	db.exec(`INSERT INTO orders VALUES (2)`)
	events(t, st, 1)
	if got := db.text(`SELECT wal_status FROM pg_replication_slots`); got == "lost" {
		t.Error("the slot was not made anew")
	}
}

// Positions at which the server would start without a word about the gap.
func TestPositionLost(t *testing.T) {
	db := start(t)
	db.exec(`CREATE TABLE orders (id int PRIMARY KEY)`)
	src := db.source("public.orders")
	st, old := begin(t, src)
	db.exec(`INSERT INTO orders VALUES (1)`)
	_, b := events(t, st, 1)
	ack(t, st, b.Position)
	closeStream(t, st)

	system := db.text(`SELECT system_identifier::text FROM pg_control_system()`)
	id, err := strconv.ParseUint(system, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	confirmed := db.confirmed()
	for name, from := range map[string]string{
		"older than confirmed": old,
		"malformed":            "next year",
		"half":                 system + "/",
		"zero":                 system + "/1/0/0",
		"another cluster":      strconv.FormatUint(id+1, 10) + "/1/" + lsn(t, b.Position).String(),
		"another timeline":     system + "/2@3000148/" + lsn(t, b.Position).String(),
		"no timeline":          system + "/" + lsn(t, b.Position).String(),
		"no history":           system + "/1@?/" + lsn(t, b.Position).String(),
		"ahead of the log":     system + "/1/FFFF/0",
	} {
		t.Run(name, func(t *testing.T) {
			st := open(t, src, from)
			got := next(t, st)
			if !got.Lost || lsn(t, got.Position).String() != confirmed {
				t.Fatalf("from %q: got %+v; want it lost, at %s", from, got, confirmed)
			}
			closeStream(t, st)
		})
	}
	for name, from := range map[string]string{"none": "", "confirmed": b.Position} {
		t.Run(name, func(t *testing.T) {
			st := open(t, src, from)
			silent(t, st)
			closeStream(t, st)
		})
	}
}

// A slot that is older than its publication can't be decoded; it is made anew.
func TestPublicationMissing(t *testing.T) {
	db := start(t)
	db.exec(`CREATE TABLE orders (id int PRIMARY KEY)`)
	src := db.source("public.orders")
	st, from := begin(t, src)
	closeStream(t, st)
	db.exec(`DROP PUBLICATION tandem`, `INSERT INTO orders VALUES (1)`)
	st = open(t, src, from)
	lost(t, st)
	db.exec(`INSERT INTO orders VALUES (2)`)
	events(t, st, 1)
}

var _ cdc.Source = (*postgres.Source)(nil)
