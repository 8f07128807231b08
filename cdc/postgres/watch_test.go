package postgres_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/cdc/postgres"
)

// inspect is what a stream has found out.
func inspect(t *testing.T, st cdc.Stream) cdc.Inspection {
	t.Helper()
	i, ok := st.(cdc.Inspector)
	if !ok {
		t.Fatal("the stream is no cdc.Inspector")
	}
	return i.Inspect()
}

// wholes reads batches until the entities were outdated as a whole, and fails after a while.
func wholes(t *testing.T, st cdc.Stream, want ...string) {
	t.Helper()
	missing := make(map[string]bool)
	for _, name := range want {
		missing[name] = true
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for len(missing) > 0 {
		b, err := st.Next(ctx)
		if err != nil {
			t.Fatalf("next: %v; still not outdated as a whole: %v", err, slices.Collect(maps.Keys(missing)))
		}
		for _, e := range b.Events {
			if e.Kind == cdc.Whole {
				delete(missing, e.Entity)
			}
		}
	}
}

// awaitProblem reads until the problem of an entity has the word; "": until there is none.
func awaitProblem(t *testing.T, st cdc.Stream, entity, word string) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		problem := inspect(t, st).Problems[entity]
		if (problem == "") == (word == "") && strings.Contains(problem, word) {
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err := st.Next(ctx)
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	}
	t.Fatalf("the problem of %q is %q; want %q", entity, inspect(t, st).Problems[entity], word)
}

// What stops changes from arriving is a problem while it lasts, and its end outdates the entity.
func TestProblemsWhileFollowing(t *testing.T) {
	const orders = "public.orders"
	db := start(t)
	for _, c := range []struct {
		name, problem string
		entity        string // "": that of the table
		begin, end    []string
	}{
		{"taken out of the publication", "is not in publication", orders, []string{`ALTER PUBLICATION tandem DROP TABLE orders`}, []string{`ALTER PUBLICATION tandem ADD TABLE orders`}},
		{
			"dropped and made again", "is not in publication", orders,
			[]string{`DROP TABLE orders`, `CREATE TABLE orders (id int PRIMARY KEY, code text)`},
			[]string{`ALTER PUBLICATION tandem ADD TABLE orders`},
		},
		{
			"swapped by rename", "is not in publication", orders,
			[]string{`CREATE TABLE fresh (id int PRIMARY KEY)`, `BEGIN; ALTER TABLE orders RENAME TO old; ALTER TABLE fresh RENAME TO orders; COMMIT`},
			[]string{`ALTER PUBLICATION tandem SET TABLE orders`},
		},
		{"renamed", "is not in publication", orders, []string{`ALTER TABLE orders RENAME TO orders_old`}, []string{`ALTER TABLE orders_old RENAME TO orders`}},
		{
			"moved to another schema", "is not in publication", orders,
			[]string{`CREATE SCHEMA away`, `ALTER TABLE orders SET SCHEMA away`},
			[]string{`ALTER TABLE away.orders SET SCHEMA public`},
		},
		{
			"publish", "leaves out some kinds of change", "",
			[]string{`ALTER PUBLICATION tandem SET (publish = 'insert')`},
			[]string{`ALTER PUBLICATION tandem SET (publish = 'insert, update, delete, truncate')`},
		},
		{"publication dropped", "is gone", "", []string{`DROP PUBLICATION tandem`}, nil},
		{"row filter", "a row filter", orders, []string{`ALTER PUBLICATION tandem SET TABLE orders WHERE (id > 5)`}, []string{`ALTER PUBLICATION tandem SET TABLE orders`}},
		{"column list", "a column list", orders, []string{`ALTER PUBLICATION tandem SET TABLE orders (id)`}, []string{`ALTER PUBLICATION tandem SET TABLE orders`}},
		{
			"inheritance child", "its child public.child is not published", orders,
			[]string{`CREATE TABLE child () INHERITS (orders)`},
			[]string{`ALTER PUBLICATION tandem ADD TABLE child`},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := *db
			db.t = t
			db.exec(`DROP SCHEMA public CASCADE`, `CREATE SCHEMA public`, `CREATE TABLE orders (id int PRIMARY KEY, code text)`, `DROP PUBLICATION IF EXISTS tandem`)
			src := db.source()
			t.Cleanup(func() { db.drop("tandem") })
			db.exec(`CREATE PUBLICATION tandem FOR TABLE orders`)
			st, _ := begin(t, src)
			defer closeStream(t, st)
			if in := inspect(t, st); len(in.Problems) > 0 || !slices.Equal(in.Entities, []string{orders}) {
				t.Fatalf("got %+v; want no problem, and one entity", in)
			}
			db.exec(c.begin...)
			awaitProblem(t, st, c.entity, c.problem)
			if c.end == nil {
				return
			}
			db.exec(c.end...)
			wholes(t, st, orders)
			if problem := inspect(t, st).Problems[c.entity]; problem == "" {
				t.Error("the problem was over before the follower asked for the next batch")
			}
			awaitProblem(t, st, c.entity, "")
		})
	}
}

// Changes of which no event tells are noticed, and outdate the entity.
func TestSilentChanges(t *testing.T) {
	const orders = "public.orders"
	db := start(t)
	db.exec(`CREATE TYPE mood AS ENUM ('sad', 'ok')`, `CREATE DOMAIN moods AS mood[]`, `CREATE TYPE pair AS (a int, b moods)`,
		`CREATE TABLE orders (id int PRIMARY KEY, code text, upper_code text, m mood, p pair)`,
		`CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY RANGE (id)`, `CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10)`,
		`CREATE TABLE leaf (id int PRIMARY KEY)`, `INSERT INTO leaf VALUES (15)`, `CREATE TABLE other (id int PRIMARY KEY, code text)`,
		`CREATE PUBLICATION tandem FOR TABLE orders, parted, other WITH (publish_via_partition_root = true)`)
	st, _ := begin(t, db.source())
	for _, c := range []struct{ sql, entity string }{
		{`ALTER TABLE orders ALTER code TYPE int USING length(code)`, orders},
		{`ALTER TABLE orders ALTER upper_code TYPE text USING upper(upper_code)`, orders},
		{`ALTER TABLE orders ADD COLUMN n int DEFAULT 7`, orders},
		{`ALTER TABLE orders DROP COLUMN n`, orders},
		{`ALTER TABLE orders RENAME code TO kode`, orders},
		{`ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'`, orders},
		{`ALTER TYPE pair RENAME ATTRIBUTE a TO c`, orders},
		{`ALTER TABLE parted ATTACH PARTITION leaf FOR VALUES FROM (10) TO (20)`, "public.parted"},
		{`TRUNCATE leaf`, "public.parted"},
		{`ALTER TABLE parted DETACH PARTITION leaf`, "public.parted"},
		{`BEGIN; ALTER PUBLICATION tandem DROP TABLE orders; COMMIT; BEGIN; ALTER PUBLICATION tandem ADD TABLE orders; COMMIT`, orders},
		{`ALTER TABLE other RENAME TO another; INSERT INTO another VALUES (1); ALTER TABLE another RENAME TO other`, ""},
	} {
		db.exec(c.sql)
		if c.entity != "" {
			wholes(t, st, c.entity)
		}
	}
	if in := inspect(t, st); len(in.Problems) > 0 && in.Problems["public.other"] == "" {
		t.Errorf("got problems %v; want none", in.Problems)
	}
}

// A table that is renamed and renamed back before anybody looks has had changes under another name.
func TestRenamedAndBack(t *testing.T) {
	db := start(t)
	db.exec(`CREATE TABLE orders (id int PRIMARY KEY)`)
	st, _ := begin(t, db.source("public.orders"))
	db.exec(`BEGIN; ALTER TABLE orders RENAME TO away; INSERT INTO away VALUES (1); ALTER TABLE away RENAME TO orders; COMMIT`)
	wholes(t, st, "public.orders")
}

// What says nothing about the rows outdates nothing.
func TestMaintenanceIsNoChange(t *testing.T) {
	db := start(t)
	db.exec(`CREATE TABLE orders (id int PRIMARY KEY, code text)`, `CREATE TABLE other (id int PRIMARY KEY)`, `CREATE ROLE reader`,
		`INSERT INTO orders SELECT n, n FROM generate_series(1, 1000) n`)
	st, _ := begin(t, db.source("public.orders"))
	db.exec(`VACUUM orders`, `ANALYZE orders`, `CREATE INDEX ON orders (code)`, `REINDEX TABLE orders`, `GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader`,
		`VACUUM FREEZE orders`, `VACUUM FULL orders`, `CLUSTER orders USING orders_pkey`, `ALTER PUBLICATION tandem ADD TABLE other`, `VACUUM FREEZE pg_class`, `VACUUM FREEZE pg_attribute`)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // two looks
	defer cancel()
	for {
		b, err := st.Next(ctx)
		if err != nil {
			break
		}
		for _, e := range b.Events {
			if e.Entity == "public.orders" {
				t.Errorf("got %+v; want nothing", e)
			}
		}
	}
}

// What changed while nobody followed is a loss: the position says what was published.
func TestChangedWhileNobodyFollowed(t *testing.T) {
	db := start(t)
	db.exec(`CREATE TYPE mood AS ENUM ('ok')`, `CREATE TABLE orders (id int PRIMARY KEY, m mood)`, `CREATE TABLE other (id int PRIMARY KEY)`,
		`CREATE PUBLICATION tandem FOR TABLE orders, other`)
	newSource := func() *postgres.Source {
		src := db.source()
		src.Select([]string{"public.orders"})
		return src
	}
	st, from := begin(t, newSource())
	closeStream(t, st)
	for _, c := range []struct {
		sql  string
		lost bool
	}{
		{`INSERT INTO other VALUES (1)`, false},
		{`ALTER TABLE other ADD COLUMN n int`, false}, // it has no route
		{`ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'`, true},
		{`ALTER PUBLICATION tandem DROP TABLE orders`, true},
		{`ALTER PUBLICATION tandem ADD TABLE orders`, true},
	} {
		db.exec(c.sql)
		st := open(t, newSource(), from)
		ctx, cancel := context.WithTimeout(t.Context(), quiet)
		b, err := st.Next(ctx)
		cancel()
		if b.Lost != c.lost {
			t.Errorf("%s: got %+v, %v; want it lost: %v", c.sql, b, err, c.lost)
		}
		if b.Lost {
			from = b.Position
			ack(t, st, from)
		}
		closeStream(t, st)
	}
}

// A table that has gone is missed by the next stream of the same process, too.
func TestProblemOutlivesTheStream(t *testing.T) {
	db := start(t)
	db.exec(`CREATE TABLE orders (id int PRIMARY KEY)`, `CREATE TABLE other (id int PRIMARY KEY)`, `CREATE PUBLICATION tandem FOR TABLE orders, other`)
	src := db.source()
	st, from := begin(t, src)
	closeStream(t, st)
	db.exec(`ALTER PUBLICATION tandem DROP TABLE orders`)
	st = open(t, src, from)
	lost(t, st)
	awaitProblem(t, st, "public.orders", "is not in publication")
	db.exec(`ALTER PUBLICATION tandem ADD TABLE orders`)
	wholes(t, st, "public.orders")
}

// A domain over char(n) that is made while the stream runs loses its padding, too.
func TestDomainIsTrimmed(t *testing.T) {
	db := start(t)
	db.exec(`CREATE DOMAIN country AS char(3)`, `CREATE DOMAIN origin AS country`, `CREATE TABLE orders (id int PRIMARY KEY, c country, o origin)`)
	st, _ := begin(t, db.source("public.orders"))
	db.exec(`INSERT INTO orders VALUES (1, 'CH', 'A')`)
	got, _ := events(t, st, 1)
	if r := got[0].Rows[0]; r["c"] != "CH" || r["o"] != "A" {
		t.Errorf("got %q; want CH and A", r)
	}
}
