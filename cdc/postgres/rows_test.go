package postgres_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRows(t *testing.T) {
	db := start(t)
	db.exec(
		`CREATE TABLE plain (id int PRIMARY KEY, account text, note text)`,
		`CREATE TABLE whole (id int PRIMARY KEY, account text, note text)`, `ALTER TABLE whole REPLICA IDENTITY FULL`,
		`CREATE TABLE indexed (id int PRIMARY KEY, account text NOT NULL, note text)`,
		`CREATE UNIQUE INDEX by_account ON indexed (account)`, `ALTER TABLE indexed REPLICA IDENTITY USING INDEX by_account`,
		`CREATE TABLE parted (id int, region text, note text, PRIMARY KEY (id, region)) PARTITION BY LIST (region)`,
		`CREATE TABLE parted_eu PARTITION OF parted FOR VALUES IN ('eu')`,
		`CREATE TABLE parted_us PARTITION OF parted FOR VALUES IN ('us')`,
		`CREATE TABLE parent (id int PRIMARY KEY)`,
		`CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent ON DELETE CASCADE)`,
		`INSERT INTO parent VALUES (1)`, `INSERT INTO child VALUES (7, 1)`,
		`CREATE SCHEMA "Odd"`, `CREATE TABLE "Odd"."Na""me" ("I d" int PRIMARY KEY)`,
	)
	st, _ := begin(t, db.source("public.plain", "public.whole", "public.indexed", "public.parted", "public.parent", "public.child", `Odd.Na"me`))
	columns := []string{"id", "account", "region", "note", "parent", "I d"}
	for _, step := range []struct {
		name, sql string
		want      []string
	}{
		{"insert, null is absent", `INSERT INTO plain (id, account) VALUES (1, 'a')`, []string{"insert public.plain {id=1 account=a}"}},
		{"update", `UPDATE plain SET note = 'n' WHERE id = 1`, []string{"update public.plain {id=1 account=a note=n}"}},
		{"key change", `UPDATE plain SET id = 2 WHERE id = 1`, []string{"update public.plain {id=2 account=a note=n} {id=1}"}},
		{"delete", `DELETE FROM plain WHERE id = 2`, []string{"delete public.plain {id=2}"}},
		{"full insert", `INSERT INTO whole VALUES (1, 'a', 'n')`, []string{"insert public.whole {id=1 account=a note=n}"}},
		{"full update", `UPDATE whole SET account = 'b'`, []string{"update public.whole {id=1 account=b note=n} {id=1 account=a note=n}"}},
		{"full delete", `DELETE FROM whole`, []string{"delete public.whole {id=1 account=b note=n}"}},
		{"index insert", `INSERT INTO indexed VALUES (1, 'a', 'n')`, []string{"insert public.indexed {id=1 account=a note=n}"}},
		{"index key change", `UPDATE indexed SET account = 'b'`, []string{"update public.indexed {id=1 account=b note=n} {account=a}"}},
		{"index delete", `DELETE FROM indexed`, []string{"delete public.indexed {account=b}"}},
		{"partition root", `INSERT INTO parted VALUES (1, 'eu', 'n')`, []string{"insert public.parted {id=1 region=eu note=n}"}},
		{
			"partition change", `UPDATE parted SET region = 'us'`,
			[]string{"delete public.parted {id=1 region=eu}", "insert public.parted {id=1 region=us note=n}"},
		},
		{"cascade", `DELETE FROM parent`, []string{"delete public.parent {id=1}", "delete public.child {id=7}"}},
		{"quoted names", `INSERT INTO "Odd"."Na""me" VALUES (3)`, []string{`insert Odd.Na"me {I d=3}`}},
		{"truncate", `TRUNCATE plain, whole`, []string{"whole public.plain", "whole public.whole"}},
		{"truncate cascade", `TRUNCATE parent CASCADE`, []string{"whole public.parent", "whole public.child"}},
	} {
		db.exec(step.sql)
		got, last := events(t, st, len(step.want))
		if diff := cmp.Diff(step.want, short(got, columns...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
		if last.Position == "" || last.Committed.IsZero() || last.Oldest.IsZero() {
			t.Errorf("%s: got %+v; want a position and commit times", step.name, last)
		}
	}
}

// A rolled back transaction, and a rolled back part of one, changed nothing.
func TestRollback(t *testing.T) {
	db := start(t)
	db.exec(`CREATE TABLE orders (id int PRIMARY KEY)`)
	st, _ := begin(t, db.source("public.orders"))
	db.exec(
		`BEGIN; INSERT INTO orders VALUES (1); ROLLBACK`,
		`BEGIN; INSERT INTO orders VALUES (2); SAVEPOINT s; INSERT INTO orders VALUES (3); ROLLBACK TO s; COMMIT`,
	)
	got, _ := events(t, st, 1)
	if diff := cmp.Diff([]string{"insert public.orders {id=2}"}, short(got, "id")); diff != "" {
		t.Error(diff)
	}
}

// Without a replica identity the writer's UPDATE and DELETE fail, so that there
// is nothing to deliver; and the source doesn't bring a table into that state.
func TestReplicaIdentityNothing(t *testing.T) {
	db := start(t)
	db.exec(`CREATE TABLE orders (id int PRIMARY KEY)`, `ALTER TABLE orders REPLICA IDENTITY NOTHING`)
	src := db.source("public.orders")
	if _, err := src.Open(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "REPLICA IDENTITY FULL") {
		t.Fatalf("got error %v; want one that says what to do", err)
	}
	db.exec(`CREATE PUBLICATION tandem FOR TABLE orders`)
	st, _ := begin(t, src)
	db.exec(`INSERT INTO orders VALUES (1)`)
	got, _ := events(t, st, 1)
	if diff := cmp.Diff([]string{"insert public.orders {id=1}"}, short(got, "id")); diff != "" {
		t.Error(diff)
	}
	for _, sql := range []string{`UPDATE orders SET id = 2`, `DELETE FROM orders`} {
		if _, err := db.conn.Exec(t.Context(), sql); err == nil {
			t.Errorf("%s: got no error; want one", sql)
		}
	}
	silent(t, st)
}

// A value that is stored out of line isn't sent with an update that leaves it
// alone, unless the old row has it.
func TestUnchangedToast(t *testing.T) {
	db := start(t)
	db.exec(
		`CREATE TABLE plain (id int PRIMARY KEY, n int, big text)`, `ALTER TABLE plain ALTER big SET STORAGE EXTERNAL`,
		`CREATE TABLE whole (id int PRIMARY KEY, n int, big text)`, `ALTER TABLE whole ALTER big SET STORAGE EXTERNAL`,
		`ALTER TABLE whole REPLICA IDENTITY FULL`,
		`INSERT INTO plain VALUES (1, 1, repeat('x', 5000))`, `INSERT INTO whole VALUES (1, 1, repeat('x', 5000))`,
	)
	st, _ := begin(t, db.source("public.plain", "public.whole"))
	db.exec(`UPDATE plain SET n = 2`, `UPDATE whole SET n = 2`)
	got, _ := events(t, st, 2)
	big := strings.Repeat("x", 5000)
	want := []string{
		"update public.plain {id=1 n=2}",
		"update public.whole {id=1 n=2 big=" + big + "} {id=1 n=1 big=" + big + "}",
	}
	if diff := cmp.Diff(want, short(got, "id", "n", "big")); diff != "" {
		t.Error(diff)
	}
}
