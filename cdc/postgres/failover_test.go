package postgres_test

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/cdc/postgres"
	"github.com/tandem-cache/tandem/internal/servertest"
)

// pair is a primary with a standby that is stopped and has the primary's slot, as tools leave it that keep slots across a failover.
type pair struct {
	*database // the primary; after fail, the standby, promoted
	standby   *servertest.Postgres
	both      string // a connection string to whichever is the primary
}

// startPair has followed the table orders up to its row 1, which the standby has.
func startPair(t *testing.T, cfg postgres.Config) (p *pair, src *postgres.Source, at string) {
	t.Helper()
	p = &pair{database: start(t)}
	p.exec(`CREATE TABLE orders (id int PRIMARY KEY)`, `CREATE TABLE noise (t text)`)
	p.standby = p.Standby()
	st, _ := begin(t, p.source("public.orders"))
	p.exec(`INSERT INTO orders VALUES (1)`)
	_, b := events(t, st, 1)
	ack(t, st, b.Position)
	closeStream(t, st)
	p.await(`SELECT (NOT active)::text FROM pg_replication_slots WHERE slot_name = 'tandem'`)
	p.await(`SELECT (count(*) = 1)::text FROM pg_stat_replication WHERE replay_lsn >= '` + lsn(t, b.Position).String() + `'`)
	p.exec(`CHECKPOINT`) // the slot's state goes to the disk
	p.standby.Stop()
	p.standby.CopySlot(p.Postgres, "tandem")
	p.standby.Follow(nil) // so that it gets nothing more
	p.both = bothOf(t, p.URL, p.standby.URL)
	cfg.ConnString, cfg.Tables = p.both, []string{"public.orders"}
	return p, p.sourceOf(cfg), b.Position
}

// bothOf is a URL of two servers that leads to the primary of them.
func bothOf(t *testing.T, one, other string) string {
	t.Helper()
	u, v := parse(t, one), parse(t, other)
	u.Host += "," + v.Host
	query := url.Values{"sslmode": {"disable"}, "target_session_attrs": {"read-write"}}
	u.RawQuery = query.Encode()
	return u.String()
}

// fail ends the primary, promotes the standby, and writes to it, from 100 on, until its log lies behind beyond.
func (p *pair) fail(beyond string) {
	p.t.Helper()
	p.Kill()
	p.standby.Start()
	p.standby.Promote()
	p.Postgres = p.standby
	p.connect()
	p.exec(`INSERT INTO orders SELECT generate_series(100, 109)`)
	for p.text(`SELECT (pg_current_wal_flush_lsn() > '`+lsn(p.t, beyond).String()+`')::text`) != "true" {
		p.exec(`INSERT INTO noise SELECT repeat('x', 1000) FROM generate_series(1, 100)`)
	}
}

// until takes batches, none of which may be lost, up to that with the order of an id, and returns its position.
func until(t *testing.T, st cdc.Stream, id string) string {
	t.Helper()
	for {
		b := next(t, st)
		if b.Lost {
			t.Fatalf("lost once more: %+v", b)
		}
		for _, e := range b.Events {
			if e.Rows[0]["id"] == id {
				return b.Position
			}
		}
	}
}

// A standby that has the slot is promoted behind the checkpoint, and its log goes beyond the checkpoint's place before the follower is
// back. What the new timeline wrote until that place would never come.
func TestPromotedBehindTheCheckpoint(t *testing.T) {
	for _, synchronous := range []bool{false, true} {
		p, src, at := startPair(t, postgres.Config{SynchronousStandbys: synchronous})
		st := open(t, src, at)
		p.exec(`INSERT INTO noise SELECT repeat('x', 1000) FROM generate_series(1, 1000)`, `INSERT INTO orders VALUES (2)`)
		_, b := events(t, st, 1)
		closeStream(t, st)
		p.fail(b.Position)
		st = open(t, src, b.Position)
		lost(t, st)
		p.exec(`INSERT INTO orders VALUES (3)`)
		last := until(t, st, "3")
		closeStream(t, st)
		st = open(t, src, last) // the new timeline's own position is good
		silent(t, st)
		closeStream(t, st)
	}
}

// The checkpoint lies before the place where the standby was promoted: every change comes. But what the old primary alone had, and loaders
// have read, went back without an event.
func TestPromotedAheadOfTheCheckpoint(t *testing.T) {
	for name, synchronous := range map[string]bool{"flushes": false, "keeps what synchronous standbys have": true} {
		t.Run(name, func(t *testing.T) {
			p, src, at := startPair(t, postgres.Config{SynchronousStandbys: synchronous})
			p.exec(`INSERT INTO orders VALUES (2)`) // a loader reads it; the standby never gets it
			p.fail(at)
			st := open(t, src, at)
			if b := next(t, st); b.Lost == synchronous {
				t.Fatalf("got first batch %+v; want it lost: %t", b, !synchronous)
			} else if b.Lost {
				ack(t, st, b.Position)
			}
			p.exec(`INSERT INTO orders VALUES (3)`)
			until(t, st, "3")
		})
	}
}

// Two standbys that never heard of each other begin a timeline of the same number: they are told apart by where it begins.
func TestTwoTimelinesOfOneNumber(t *testing.T) {
	p, src, at := startPair(t, postgres.Config{SynchronousStandbys: true})
	p.fail(at)
	st := open(t, src, at)
	events(t, st, 10)
	p.exec(`INSERT INTO orders VALUES (3)`)
	_, b := events(t, st, 1)
	closeStream(t, st)
	parts := strings.Split(b.Position, "/")
	number, begin, ok := strings.Cut(parts[1], "@")
	if !ok || number != "2" {
		t.Fatalf("got the position %s; want one of timeline 2, with its begin", b.Position)
	}
	parts[1] = number + "@" + begin + "0"
	st = open(t, src, strings.Join(parts, "/"))
	lost(t, st)
	closeStream(t, st)
	st = open(t, src, b.Position)
	silent(t, st)
}

// Without a position, what was acknowledged says of which timeline it is.
func TestAcknowledgedOnAnotherTimeline(t *testing.T) {
	p, src, at := startPair(t, postgres.Config{})
	p.fail(at)
	for range 2 { // the first one dies before it has flushed
		st := open(t, src, "")
		if b := next(t, st); !b.Lost {
			t.Fatalf("got %+v; want it lost", b)
		}
		closeStream(t, st)
	}
	st := open(t, src, "")
	lost(t, st)
	ack(t, st, until(t, st, "109"))
	closeStream(t, st)
	st = open(t, src, "")
	silent(t, st)
}

// In the middle of a failover two connections may lead to two servers, one of which knows nothing of what the other's readers see.
func TestConnectionsToTwoServers(t *testing.T) {
	one, other := start(t), start(t)
	for _, db := range []*database{one, other} {
		db.exec(`CREATE TABLE orders (id int PRIMARY KEY)`)
	}
	way := newNetwork(t, one.URL, other.URL)
	src := one.sourceOf(postgres.Config{ConnString: way.through(t, one.URL), Tables: []string{"public.orders"}})
	if st, err := src.Open(t.Context(), ""); err == nil {
		closeStream(t, st)
		t.Error("a stream reads one server and asks another what is visible")
	} else if !strings.Contains(err.Error(), "target_session_attrs") {
		t.Errorf("got %v; want advice", err)
	}
}

// The log that a slot needs is gone, and the server finds that out only while it reads: the slot is of no use.
func TestLogOfTheSlotRemoved(t *testing.T) {
	db := start(t, "min_wal_size=32MB", "max_wal_size=32MB")
	db.exec(`CREATE TABLE orders (id int PRIMARY KEY)`)
	src := db.source("public.orders")
	st, at := begin(t, src)
	closeStream(t, st)
	db.exec(`INSERT INTO orders VALUES (1)`)
	db.await(`SELECT (NOT active)::text FROM pg_replication_slots`)
	first := db.text(`SELECT pg_walfile_name(restart_lsn) FROM pg_replication_slots`)
	db.exec(`SELECT pg_switch_wal()`, `INSERT INTO orders VALUES (2)`, `SELECT pg_switch_wal()`, `CHECKPOINT`)
	db.Stop()
	removeLog(t, db.Dir, first)
	db.Start()
	db.connect()
	for attempt := 1; ; attempt++ {
		st, err := src.Open(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		b, err := st.Next(t.Context())
		if err == nil && b.Lost {
			ack(t, st, b.Position)
			db.exec(`INSERT INTO orders VALUES (3)`)
			events(t, st, 1)
			closeStream(t, st)
			break
		}
		closeStream(t, st)
		if err == nil || !strings.Contains(err.Error(), "WAL segment") || attempt == 3 {
			t.Fatalf("attempt %d: got %+v, %v; want an error that names the missing WAL segment, and then a lost batch", attempt, b, err)
		}
	}
}

// removeLog takes a segment of the log from a stopped server.
func removeLog(t *testing.T, dir, segment string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, "pg_wal", segment)); err != nil {
		t.Fatal(err)
	}
}
