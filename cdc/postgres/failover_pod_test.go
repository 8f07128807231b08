package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/internal/servertest"
)

// failoverPods is what is around a failover of PostgreSQL: two servers, two pods, and a follower.
type failoverPods struct {
	*database // the primary
	fleet     doom
	standby   *servertest.Postgres
	pods      []*crashPod
	stop      func() // ends the follower
}

// startFailover has pods that the feed covers, and a standby that streams. The slot is younger than the base backup.
func startFailover(t *testing.T) *failoverPods {
	t.Helper()
	w := &failoverPods{database: start(t)}
	w.exec(
		`CREATE TABLE items (id int PRIMARY KEY, shelf int NOT NULL, version int NOT NULL DEFAULT 1)`,
		`INSERT INTO items VALUES (1, 1), (2, 2), (3, 3)`,
		`CREATE PUBLICATION tandem FOR TABLE items`,
	)
	w.standby = w.Standby()
	w.fleet = doom{Redis: servertest.StartRedis(t).Addr, Postgres: bothOf(t, w.URL, w.standby.URL), Name: "failover"}
	w.follow()
	for range 2 {
		w.pods = append(w.pods, openPod(t, w.fleet))
	}
	w.pass()
	return w
}

// follow starts a follower.
func (w *failoverPods) follow() {
	w.t.Helper()
	follower := newFollower(w.t, w.fleet, connect(w.t, w.fleet.Redis), nil)
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- follower.Run(ctx) }()
	w.stop = func() {
		w.t.Helper()
		cancel()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
		w.stop = func() {}
	}
	w.t.Cleanup(func() { w.stop() })
}

// pass changes item 2 and waits until the checkpoint has passed that, and every pod reads the change.
func (w *failoverPods) pass() {
	w.t.Helper()
	w.exec(`UPDATE items SET version = version + 1 WHERE id = 2`)
	at := w.text(`SELECT pg_current_wal_flush_lsn()::text`)
	w.await(`SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '` + w.fleet.Name + `' AND confirmed_flush_lsn >= '` + at + `')::text`)
	w.read("item 2", w.version(2))
}

func (w *failoverPods) version(id int) (v int) {
	w.t.Helper()
	if err := w.conn.QueryRow(w.t.Context(), `SELECT version FROM items WHERE id = $1`, id).Scan(&v); err != nil {
		w.t.Fatal(err)
	}
	return v
}

// cache has every pod keep what it reads in its L1.
func (w *failoverPods) cache(keys ...string) {
	w.t.Helper()
	for _, key := range keys {
		w.each(key+" in L1", func(p *crashPod) bool {
			p.get(w.t, key)
			_, local, _ := p.peek(w.t, key)
			return local
		})
	}
}

// read waits until every pod reads a version.
func (w *failoverPods) read(key string, version int) {
	w.t.Helper()
	w.each(fmt.Sprintf("%s is %d", key, version), func(p *crashPod) bool { return p.get(w.t, key) == version })
}

func (w *failoverPods) each(what string, is func(*crashPod) bool) {
	w.t.Helper()
	for end := time.Now().Add(patience); slices.ContainsFunc(w.pods, func(p *crashPod) bool { return !is(p) }); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("%s: still not so on every pod", what)
		}
	}
}

// hold stops the standby, with the slot, where the feed has come to.
func (w *failoverPods) hold() {
	w.t.Helper()
	w.exec(`CHECKPOINT`) // the slot's state goes to the disk
	at := w.text(`SELECT pg_current_wal_flush_lsn()::text`)
	w.await(`SELECT (count(*) = 1)::text FROM pg_stat_replication WHERE application_name = 'walreceiver' AND replay_lsn >= '` + at + `'`)
	w.standby.Stop()
	w.standby.CopySlot(w.Postgres, w.fleet.Name)
	w.standby.Follow(nil)
}

// promote kills the primary and promotes the standby. Loaders reach the new primary, and no follower does yet.
func (w *failoverPods) promote() {
	w.t.Helper()
	w.Kill()
	w.standby.Start()
	w.standby.Promote()
	w.Postgres = w.standby
	w.connect()
	for _, p := range w.pods {
		p.mu.Lock()
		p.conn = session(w.t, w.URL)
		p.mu.Unlock()
	}
}

// The checkpoint lies before the place where the standby was promoted. A row that loaders have read went back, and no event ever names it.
func TestReadBeforeAFailoverAndTakenBack(t *testing.T) {
	w := startFailover(t)
	w.stop()
	w.hold()
	w.exec(`UPDATE items SET version = 9 WHERE id = 1`)
	w.cache("item 1", "shelf 1")
	w.promote()
	w.back("item 1", "shelf 1")
}

// The checkpoint lies behind that place, and the new primary's log has come further. What it wrote in between is not in the stream.
func TestFollowedBeforeAFailoverAndTakenBack(t *testing.T) {
	w := startFailover(t)
	w.hold()
	w.cache("item 1", "shelf 1", "item 3", "shelf 3")
	w.exec(`UPDATE items SET version = 9 WHERE id = 1`)
	w.read("item 1", 9)
	w.read("shelf 1", 9)
	w.cache("item 1", "shelf 1")
	w.stop()
	end := w.text(`SELECT pg_current_wal_insert_lsn()::text`)
	w.promote()
	w.exec(`UPDATE items SET version = 5 WHERE id = 3`)
	for w.text(`SELECT (pg_current_wal_flush_lsn() > '`+end+`')::text`) != "true" {
		w.exec(`SELECT pg_logical_emit_message(true, 'noise', repeat('x', 100000))`)
	}
	w.back("item 1", "shelf 1", "item 3", "shelf 3")
}

// back asserts that no pod goes on serving what was taken back, once the feed has followed the new primary.
func (w *failoverPods) back(keys ...string) {
	w.t.Helper()
	w.follow()
	w.pass()
	for _, key := range keys {
		want := 1
		if strings.HasSuffix(key, "3") {
			want = w.version(3)
		}
		w.read(key, want)
	}
	w.stop()
}
