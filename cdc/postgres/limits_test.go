package postgres_test

import (
	"testing"
	"time"

	"github.com/tandem-cache/tandem/cdc/postgres"
)

// What the server never sends, and the source notices by itself. docs/cdc/postgres.md says so.
func TestNeverDelivered(t *testing.T) {
	db := start(t)
	db.exec(
		`CREATE TABLE parted (id int, region text, PRIMARY KEY (id, region)) PARTITION BY LIST (region)`,
		`CREATE TABLE parted_eu PARTITION OF parted FOR VALUES IN ('eu')`,
		`CREATE TABLE parted_us PARTITION OF parted FOR VALUES IN ('us')`,
		`CREATE TABLE orders (id int PRIMARY KEY)`, `CREATE TABLE gone (id int PRIMARY KEY)`,
		`INSERT INTO parted VALUES (1, 'eu'), (2, 'us')`, `INSERT INTO gone VALUES (1)`,
	)
	st, _ := begin(t, db.source("public.parted", "public.orders", "public.gone"))
	for _, c := range []struct{ sql, entity string }{
		{`TRUNCATE parted_eu`, "public.parted"},
		{`ALTER TABLE parted DETACH PARTITION parted_us`, "public.parted"},
		{`ALTER TABLE orders ADD COLUMN n int DEFAULT 7`, "public.orders"},
	} {
		db.exec(c.sql)
		wholes(t, st, c.entity)
	}
	db.exec(`DROP TABLE parted_us`, `DROP TABLE gone`)
	silent(t, st)
	awaitProblem(t, st, "public.gone", "is not in publication")
	db.exec(`TRUNCATE parted`)
	wholes(t, st, "public.parted")
}

// A commit that doesn't wait for the disk is visible at once; its event comes
// when the server has written its log.
func TestAsynchronousCommit(t *testing.T) {
	db := start(t)
	db.exec(`CREATE TABLE orders (id serial PRIMARY KEY)`, `SET synchronous_commit = off`)
	st, _ := begin(t, db.source("public.orders"))
	var longest time.Duration
	for range 5 {
		before := time.Now()
		db.exec(`INSERT INTO orders DEFAULT VALUES`)
		events(t, st, 1)
		longest = max(longest, time.Since(before))
	}
	t.Logf("up to %s", longest)
}

// A follower that is stuck doesn't keep the server from shutting down.
func TestShutdown(t *testing.T) {
	db := start(t)
	db.exec(`CREATE TABLE orders (id int PRIMARY KEY)`)
	src := db.sourceOf(postgres.Config{Tables: []string{"public.orders"}, MaxBatch: 10})
	st, _ := begin(t, src)
	db.exec(`INSERT INTO orders SELECT generate_series(1, 100000)`)
	events(t, st, 10)
	before := time.Now()
	db.Stop()
	if took := time.Since(before); took > 25*time.Second {
		t.Errorf("the server took %s to end", took)
	}
	db.Start()
}
