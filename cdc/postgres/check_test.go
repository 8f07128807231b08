package postgres_test

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tandem-cache/tandem/cdc/postgres"
)

// as returns db's URL for another role, and its password if it has one.
func (d *database) as(role string, password ...string) string {
	u, err := url.Parse(d.URL)
	if err != nil {
		d.t.Fatal(err)
	}
	u.User = url.User(role)
	if len(password) > 0 {
		u.User = url.UserPassword(role, password[0])
	}
	return u.String()
}

// refused asserts that Open fails, and Check too if it can see it, with words
// that say what to do.
func refused(t *testing.T, src *postgres.Source, check bool, words ...string) {
	t.Helper()
	st, err := src.Open(t.Context(), "")
	if err == nil {
		b := next(t, st)
		err = st.Ack(t.Context(), b.Position)
		closeStream(t, st)
	}
	errs := map[string]error{"Open": err}
	if check {
		errs["Check"] = src.Check(t.Context())
	}
	for call, err := range errs {
		for _, word := range words {
			if err == nil || !strings.Contains(err.Error(), word) {
				t.Errorf("%s: got error %v; want one with %q", call, err, word)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	db := start(t, "max_replication_slots=2")
	db.exec(
		`CREATE TABLE orders (id int PRIMARY KEY)`, `CREATE TABLE other (id int PRIMARY KEY)`, `CREATE TABLE keyless (id int)`,
		`CREATE PUBLICATION theirs FOR TABLE other`, `CREATE PUBLICATION half FOR TABLE orders WITH (publish = 'insert')`,
		`CREATE UNLOGGED TABLE fast (id int PRIMARY KEY)`, `CREATE VIEW seen AS SELECT * FROM orders`, `CREATE MATERIALIZED VIEW kept AS SELECT * FROM orders`,
		`CREATE SCHEMA a`, `CREATE SCHEMA "a.b"`, `CREATE TABLE a."b.c" (id int PRIMARY KEY)`, `CREATE TABLE "a.b".c (id int PRIMARY KEY)`,
		`CREATE PUBLICATION every FOR ALL TABLES`,
		`CREATE ROLE reader LOGIN`, `CREATE ROLE replicator LOGIN REPLICATION`,
		`CREATE DATABASE elsewhere`,
		`SELECT pg_create_logical_replication_slot('testing', 'test_decoding')`,
	)
	if !strings.Contains(db.text(`SELECT version()`), "PostgreSQL") {
		t.Fatal("no server")
	}
	for _, c := range []struct {
		name  string
		cfg   postgres.Config
		check bool
		words []string
	}{
		{"no right to replicate", postgres.Config{ConnString: db.as("reader"), Tables: []string{"public.orders"}}, true, []string{"REPLICATION"}},
		{"publication missing", postgres.Config{Publication: "none"}, true, []string{`"none"`, "Config.Tables"}},
		{"publication not allowed", postgres.Config{ConnString: db.as("replicator"), Tables: []string{"public.orders"}}, true, []string{"ownership of the tables"}},
		{"table missing", postgres.Config{Tables: []string{"public.orders", "public.none"}}, true, []string{`"public.none"`}},
		{"table without a key", postgres.Config{Tables: []string{"public.keyless"}}, true, []string{`"public.keyless"`, "REPLICA IDENTITY FULL"}},
		{"table not published", postgres.Config{Publication: "theirs", Tables: []string{"public.orders"}}, true, []string{`ADD TABLE public.orders`}},
		{"unlogged", postgres.Config{Tables: []string{"public.fast"}}, true, []string{"is unlogged", "SET LOGGED"}},
		{"unlogged, and all tables are published", postgres.Config{Publication: "every", Tables: []string{"public.fast"}}, true, []string{"is unlogged", "SET LOGGED"}},
		{"view", postgres.Config{Tables: []string{"public.seen"}}, true, []string{"is a view"}},
		{"view in a publication", postgres.Config{Publication: "theirs", Tables: []string{"public.seen"}}, true, []string{"is a view"}},
		{"materialized view", postgres.Config{Tables: []string{"public.kept"}}, true, []string{"is a materialized view"}},
		{"two of one name", postgres.Config{Tables: []string{"a.b.c"}}, true, []string{`a."b.c" and "a.b".c`}},
		{"deletes not published", postgres.Config{Publication: "half"}, true, []string{"ALTER PUBLICATION"}},
		{"slot of another plugin", postgres.Config{Publication: "theirs", Slot: "testing"}, true, []string{"test_decoding", "Config.Slot"}},
		{"slots exhausted", postgres.Config{Publication: "theirs"}, false, []string{"max_replication_slots"}},
	} {
		t.Run(c.name, func(t *testing.T) { refused(t, db.sourceOf(c.cfg), c.check, c.words...) })
	}
	if err := db.sourceOf(postgres.Config{ConnString: db.as("replicator"), Publication: "theirs"}).Check(t.Context()); err != nil {
		t.Errorf("check as a role with nothing but REPLICATION: %v", err)
	}
	if got := db.text(`SELECT count(*)::text FROM pg_replication_slots`); got != "1" {
		t.Errorf("got %s slots; want 1: the failures left some behind", got)
	}
}

// A slot belongs to one database.
func TestSlotOfAnotherDatabase(t *testing.T) {
	db := start(t)
	db.exec(`CREATE DATABASE elsewhere`, `CREATE TABLE orders (id int PRIMARY KEY)`)
	st, _ := begin(t, db.source("public.orders"))
	closeStream(t, st)
	u := strings.Replace(db.URL, "/postgres?", "/elsewhere?", 1)
	other := session(t, u)
	if _, err := other.Exec(t.Context(), `CREATE PUBLICATION tandem`); err != nil {
		t.Fatal(err)
	}
	refused(t, db.sourceOf(postgres.Config{ConnString: u}), true, `database "postgres"`, "Config.Slot")
}

// The least a role needs is REPLICATION, when the publication is there.
func TestLeastPrivileges(t *testing.T) {
	db := start(t)
	db.exec(
		`CREATE TABLE orders (id int PRIMARY KEY)`, `CREATE PUBLICATION tandem FOR TABLE orders`,
		`CREATE ROLE follower LOGIN REPLICATION`, `REVOKE ALL ON orders FROM PUBLIC`,
	)
	src := db.sourceOf(postgres.Config{ConnString: db.as("follower"), Tables: []string{"public.orders"}})
	if err := src.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	st, _ := begin(t, src)
	db.exec(`INSERT INTO orders VALUES (1)`)
	events(t, st, 1)
	closeStream(t, st)
	if err := src.DropSlot(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestWALLevel(t *testing.T) {
	db := start(t, "wal_level=replica")
	db.exec(`CREATE TABLE orders (id int PRIMARY KEY)`, `CREATE PUBLICATION tandem FOR TABLE orders`)
	refused(t, db.source("public.orders"), true, "wal_level is replica", "restart")
}

func TestStandby(t *testing.T) {
	db := start(t)
	db.exec(`CREATE TABLE orders (id int PRIMARY KEY)`, `CREATE PUBLICATION tandem FOR TABLE orders`)
	db.Stop()
	if err := os.WriteFile(filepath.Join(db.Dir, "standby.signal"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	db.Start()
	refused(t, db.source("public.orders"), true, "standby", "target_session_attrs=primary")
}

func TestConfig(t *testing.T) {
	_, err := postgres.NewSource(postgres.Config{Slot: "Bad-Name", Tables: []string{"orders"}, MaxBatch: -1})
	for _, word := range []string{"ConnString", "Slot", "Publication", "Tables", "MaxBatch"} {
		if err == nil || !strings.Contains(err.Error(), "Config."+word) {
			t.Errorf("got error %v; want one about Config.%s", err, word)
		}
	}
	_, err = postgres.NewSource(postgres.Config{ConnString: "postgres://u:secret@h:port/d", Slot: "s", Publication: "p"})
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got error %v; want one without the password", err)
	}
}

// Names with dots and quotes are as events have them, or in SQL's quotes; Check and Open agree, before and after the publication is made.
func TestOddNames(t *testing.T) {
	db := start(t)
	db.exec(`CREATE SCHEMA "my.Schema"`, `CREATE TABLE "my.Schema"."Or""ders.old" (id int PRIMARY KEY)`)
	for i, name := range []string{`my.Schema.Or"ders.old`, `"my.Schema"."Or""ders.old"`} {
		slot := "odd_" + string(rune('a'+i))
		src := db.sourceOf(postgres.Config{Slot: slot, Publication: slot, Tables: []string{name}})
		for range 2 {
			if err := src.Check(t.Context()); err != nil {
				t.Errorf("check of %s: %v", name, err)
			}
			st := open(t, src, "")
			closeStream(t, st)
		}
		st, _ := begin(t, src)
		db.exec(`INSERT INTO "my.Schema"."Or""ders.old" VALUES (` + string(rune('1'+i)) + `)`)
		got, _ := events(t, st, 1)
		if got[0].Entity != `my.Schema.Or"ders.old` {
			t.Errorf("got entity %q", got[0].Entity)
		}
	}
	for _, name := range []string{`"a`, `"a"`, `"a"b`, `"a".`, `""."b"`, `"a"."b"c`, `a.`, `.b`, `a`} {
		if _, err := postgres.NewSource(postgres.Config{ConnString: "postgres://h/d", Slot: "s", Publication: "p", Tables: []string{name}}); err == nil {
			t.Errorf("%s: got no error; want one", name)
		}
	}
}
