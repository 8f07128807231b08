package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/cdc/postgres"
	"github.com/tandem-cache/tandem/internal/servertest"
)

// patience is for what must happen, also beside other work; quiet is how long
// something that must not happen is given.
const (
	patience = time.Minute
	quiet    = 300 * time.Millisecond
)

// database is a server with a session.
type database struct {
	*servertest.Postgres
	t    *testing.T
	conn *pgx.Conn
}

var beside sync.Map // the tests that run beside others

// start starts a server for a test, which runs beside others: all of them wait most of the time.
func start(t *testing.T, settings ...string) *database {
	t.Helper()
	if _, another := beside.LoadOrStore(t, true); !another {
		t.Parallel()
	}
	db := &database{Postgres: servertest.StartPostgres(t, settings...), t: t}
	db.connect()
	return db
}

func (d *database) connect() { d.conn = session(d.t, d.URL) }

// session opens a connection that ends with the test.
func session(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// exec runs statements, each in a transaction of its own.
func (d *database) exec(statements ...string) {
	d.t.Helper()
	for _, s := range statements {
		if _, err := d.conn.Exec(d.t.Context(), s); err != nil {
			d.t.Fatalf("%s: %v", s, err)
		}
	}
}

func (d *database) text(query string) string {
	d.t.Helper()
	var s string
	if err := d.conn.QueryRow(d.t.Context(), query).Scan(&s); err != nil {
		d.t.Fatalf("%s: %v", query, err)
	}
	return s
}

func (d *database) confirmed() string {
	d.t.Helper()
	return d.text(`SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = 'tandem'`)
}

// await polls until the query says "true".
func (d *database) await(query string) {
	d.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if d.text(query) == "true" {
			return
		}
	}
	d.t.Fatalf("still not true: %s", query)
}

// source follows tables through slot and publication "tandem".
func (d *database) source(tables ...string) *postgres.Source {
	d.t.Helper()
	return d.sourceOf(postgres.Config{Tables: tables})
}

func (d *database) sourceOf(cfg postgres.Config) *postgres.Source {
	d.t.Helper()
	if cfg.ConnString == "" {
		cfg.ConnString = d.URL
	}
	if cfg.Slot == "" {
		cfg.Slot = "tandem"
	}
	if cfg.Publication == "" {
		cfg.Publication = "tandem"
	}
	cfg.Logger = slog.New(slog.DiscardHandler)
	src, err := postgres.NewSource(cfg)
	if err != nil {
		d.t.Fatal(err)
	}
	return src
}

func open(t *testing.T, src *postgres.Source, from string) cdc.Stream {
	t.Helper()
	st, err := src.Open(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStream(t, st) })
	return st
}

func closeStream(t *testing.T, st cdc.Stream) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := st.Close(ctx); err != nil {
		t.Error(err)
	}
}

// begin opens a slot that doesn't exist yet and acknowledges its flush.
func begin(t *testing.T, src *postgres.Source) (st cdc.Stream, position string) {
	t.Helper()
	st = open(t, src, "")
	position = lost(t, st)
	return st, position
}

// lost takes the first batch, which must be Lost, and acknowledges it.
func lost(t *testing.T, st cdc.Stream) (position string) {
	t.Helper()
	b := next(t, st)
	if !b.Lost || b.Position == "" || len(b.Events) > 0 {
		t.Fatalf("got first batch %+v; want it lost, with a position", b)
	}
	ack(t, st, b.Position)
	return b.Position
}

func next(t *testing.T, st cdc.Stream) cdc.Batch {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b, err := st.Next(ctx)
	if err != nil {
		t.Fatalf("next: %v", err)
	}
	return b
}

// events takes batches until they hold n events.
func events(t *testing.T, st cdc.Stream, n int) (events []cdc.Event, last cdc.Batch) {
	t.Helper()
	for len(events) < n {
		b := next(t, st)
		if b.Lost {
			t.Fatal("changes were lost")
		}
		if len(b.Events) > 0 {
			events, last = append(events, b.Events...), b
		}
	}
	if len(events) > n {
		t.Fatalf("got %d events; want %d: %+v", len(events), n, events)
	}
	return events, last
}

// silent asserts that the stream has no events now.
func silent(t *testing.T, st cdc.Stream) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), quiet)
	defer cancel()
	for {
		b, err := st.Next(ctx)
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return
		case err != nil:
			t.Fatalf("next: %v", err)
		case len(b.Events) > 0 || b.Lost:
			t.Fatalf("got %+v; want nothing", b)
		}
	}
}

func ack(t *testing.T, st cdc.Stream, position string) {
	t.Helper()
	if err := st.Ack(t.Context(), position); err != nil {
		t.Fatalf("ack %s: %v", position, err)
	}
}

// short writes events as "update orders {id:1 …}", columns in the order given.
func short(events []cdc.Event, columns ...string) []string {
	var out []string
	for _, e := range events {
		var rows []string
		for _, r := range e.Rows {
			var values []string
			for _, c := range columns {
				if v, ok := r[c]; ok {
					values = append(values, c+"="+v)
				}
			}
			if len(r) != len(values) {
				values = append(values, fmt.Sprintf("and %d more", len(r)-len(values)))
			}
			rows = append(rows, "{"+strings.Join(values, " ")+"}")
		}
		out = append(out, strings.TrimSpace(e.Kind.String()+" "+e.Entity+" "+strings.Join(rows, " ")))
	}
	return out
}
