package postgres_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/cdc/cdctest"
	"github.com/tandem-cache/tandem/cdc/postgres"
)

// The contract of a source, on a real server.
func TestSource(t *testing.T) {
	w := newSuiteWorld(t)
	cdctest.Run(t, w.rig)
}

var (
	kills = flag.Int("kills", cdctest.DefaultKills, "followers that TestKill kills")
	seed  = flag.Uint64("seed", 0, "of TestKill; 0: a new one")
)

// Followers that are killed lose nothing.
func TestKill(t *testing.T) {
	w := newSuiteWorld(t)
	cdctest.Kill(t, w.rig, cdctest.Kills{Count: *kills, Seed: *seed})
}

// suiteWorld is a server for many rigs, which give it their faults in turn.
type suiteWorld struct {
	db   *database
	rigs int
}

const secret = "not-to-be-told"

// senderTimeout is the wal_sender_timeout of tests about it: a follower sends its
// status four times as often, and has two seconds for that on a busy machine.
const senderTimeout = 3 * time.Second

// newSuiteWorld starts a server that gives a silent follower up after senderTimeout, and
// asks the role suite for its password.
func newSuiteWorld(t *testing.T) *suiteWorld {
	t.Helper()
	w := &suiteWorld{db: start(t, "wal_sender_timeout=3s")}
	w.db.exec(`CREATE TABLE noise (t text)`, `CREATE ROLE suite LOGIN REPLICATION PASSWORD '`+secret+`'`)
	path := filepath.Join(w.db.Dir, "pg_hba.conf")
	hba, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append([]byte("host all suite 127.0.0.1/32 scram-sha-256\n"), hba...), 0o600); err != nil {
		t.Fatal(err)
	}
	w.db.Set("log_min_messages", "warning") // reads that file too
	w.db.await(`SELECT (count(*) = 1)::text FROM pg_hba_file_rules WHERE auth_method = 'scram-sha-256'`)
	return w
}

// drop drops a slot that nobody reads any more, also when its test has ended.
func (d *database) drop(slot string) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, d.URL)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	for {
		var left int
		_, err := conn.Exec(ctx, `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active`, slot)
		if err == nil {
			err = conn.QueryRow(ctx, `SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1`, slot).Scan(&left)
		}
		switch {
		case err == nil && left == 0:
			return
		case ctx.Err() != nil:
			d.t.Fatalf("slot %s is still in use: %v", slot, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// suiteConfig is what a source needs in a process of its own.
type suiteConfig struct{ URL, Slot string }

func (c suiteConfig) source() (cdc.Source, error) {
	return postgres.NewSource(postgres.Config{
		ConnString: c.URL, Slot: c.Slot, Publication: c.Slot, MaxBatch: 50, Logger: slog.New(slog.DiscardHandler),
	})
}

// rig is a table, a publication and a slot, all of one name, and a way to the server
// of their own.
func (w *suiteWorld) rig(t *testing.T) cdctest.Rig {
	t.Helper()
	w.rigs++
	name := "suite_" + strconv.Itoa(w.rigs)
	db := &database{Postgres: w.db.Postgres, t: t}
	db.connect()
	way := newNetwork(t, db.URL)
	db.exec(
		fmt.Sprintf(`CREATE TABLE %s (id int PRIMARY KEY, n int NOT NULL DEFAULT 1)`, name),
		fmt.Sprintf(`CREATE PUBLICATION %s FOR TABLE %[1]s`, name),
	)
	t.Cleanup(func() { db.drop(name) })
	url := parse(t, way.through(t, db.as("suite", secret)))
	cfg := suiteConfig{URL: url.String(), Slot: name}
	source, err := cfg.source()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return cdctest.Rig{
		Source: source, MaxBatch: 50, Entity: "public." + name, Column: "id", Remembers: true,
		Secrets: []string{secret}, Config: string(text), Patience: patience, Pause: 3 * senderTimeout / 2,
		Change: func(ids ...string) {
			_, err := db.conn.Exec(t.Context(), fmt.Sprintf(
				`INSERT INTO %s SELECT unnest($1::text[])::int ON CONFLICT (id) DO UPDATE SET n = %[1]s.n + 1`, name), ids)
			if err != nil {
				t.Fatal(err)
			}
		},
		Whole: func() { db.exec(`TRUNCATE ` + name) },
		Unrelated: func() {
			db.exec(`INSERT INTO noise SELECT repeat('x', 100) FROM generate_series(1, 1000)`)
		},
		Lose: func() { db.drop(name) }, Cut: way.cut, Freeze: way.freeze, Thaw: way.thaw,
		Down:   db.Stop,
		Up:     func() { db.Start(); db.connect() },
		Revoke: func() { db.exec(`ALTER ROLE suite PASSWORD 'another'`) },
		Grant:  func() { db.exec(`ALTER ROLE suite PASSWORD '` + secret + `'`) },
	}
}
