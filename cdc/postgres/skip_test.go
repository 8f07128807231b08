package postgres_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/cdc/postgres"
	"github.com/tandem-cache/tandem/internal/servertest"
)

// After Skip the rest of the entity's rows in this transaction is left out: not those of another entity, nor of another transaction, nor of another
// stream; and the position moves at the end.
func TestSkip(t *testing.T) {
	const rows = 3000
	db := start(t)
	db.exec(`CREATE TABLE orders (id int PRIMARY KEY)`, `CREATE TABLE items (id int PRIMARY KEY)`)
	src := db.sourceOf(postgres.Config{Tables: []string{"public.orders", "public.items"}, MaxBatch: 50})
	st, from := begin(t, src)
	big := fmt.Sprintf(`DO $$ BEGIN FOR i IN 1..%d LOOP INSERT INTO orders VALUES (i); INSERT INTO items VALUES (i); END LOOP; END $$`, rows)
	read := func(st cdc.Stream, skip bool) (orders, items int) {
		t.Helper()
		for position := ""; items < rows || position == ""; {
			b := next(t, st)
			for _, e := range b.Events {
				switch e.Entity {
				case "public.orders":
					orders++
				case "public.items":
					items++
				}
			}
			if skip && orders > 0 {
				st.(cdc.Skipper).Skip(b.Events[0].Transaction, "public.orders")
				skip = false
			}
			if items >= rows { // the end may come alone
				position = b.Position
			}
		}
		return orders, items
	}
	db.exec(big)
	orders, items := read(st, true)
	if orders > 1000 || items != rows {
		t.Errorf("got %d rows of the entity that is skipped, %d of another; want at most some hundreds, %d", orders, items, rows)
	}
	st.(cdc.Skipper).Skip("1", "public.items") // of a transaction that isn't the last batch's
	db.exec(`INSERT INTO orders VALUES (0)`, `INSERT INTO items VALUES (0)`)
	events(t, st, 2)
	db.exec(strings.NewReplacer("INSERT INTO orders VALUES (i)", "DELETE FROM orders WHERE id = i", "INSERT INTO items VALUES (i)", "DELETE FROM items WHERE id = i").Replace(big))
	if orders, items := read(st, false); orders != rows || items != rows {
		t.Errorf("got %d and %d rows of the next transaction; want all %d of both", orders, items, rows)
	}
	closeStream(t, st)

	st = open(t, src, from)                                              // nothing was acknowledged
	if orders, items := read(st, false); orders < rows || items < rows { // its end may come with what follows
		t.Errorf("after a crash: %d and %d rows; want all %d of both", orders, items, rows)
	}
}

// BenchmarkBigTransaction is the time from the commit of an update of a million rows until the checkpoint is behind it; "server" is how long the server
// takes to decode the same transaction and send it to nobody.
func BenchmarkBigTransaction(b *testing.B) {
	const rows = 1_000_000
	server := servertest.StartPostgres(b)
	conn, err := pgx.Connect(b.Context(), server.URL)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	must := func(sql string) {
		if _, err := conn.Exec(b.Context(), sql); err != nil {
			b.Fatalf("%s: %v", sql, err)
		}
	}
	for _, s := range []string{
		`CREATE TABLE orders (id int PRIMARY KEY, account int, note text)`,
		fmt.Sprintf(`INSERT INTO orders SELECT n, n %% 1000, 'note ' || n FROM generate_series(1, %d) n`, rows),
		`CREATE PUBLICATION tandem FOR TABLE orders`,
		`SELECT pg_create_logical_replication_slot('alone', 'pgoutput')`,
	} {
		must(s)
	}
	for _, collapse := range []int{0, -1} {
		b.Run(map[int]string{0: "collapse", -1: "each"}[collapse], func(b *testing.B) {
			f := new(feed)
			src, err := postgres.NewSource(postgres.Config{
				ConnString: server.URL, Slot: fmt.Sprintf("tandem_%d", collapse+1), Publication: "tandem", Logger: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				b.Fatal(err)
			}
			follower, err := cdc.NewFollower(cdc.FollowerConfig{
				Source: src, Feed: f, Logger: slog.New(slog.DiscardHandler), Collapse: collapse,
				Routes: cdc.Routes{"public.orders": {Rules: []cdc.Rule{{Names: []string{"order:{id}"}}}, All: []string{"orders"}}},
			})
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(b.Context())
			var wg sync.WaitGroup
			wg.Go(func() { _ = follower.Run(ctx) })
			defer wg.Wait()
			defer cancel()
			for !follower.Stats().Connected {
				time.Sleep(10 * time.Millisecond)
			}
			for b.Loop() {
				b.StopTimer()
				must(`UPDATE orders SET account = account + 1`)
				var text string
				if err := conn.QueryRow(b.Context(), `SELECT pg_current_wal_insert_lsn()::text`).Scan(&text); err != nil {
					b.Fatal(err)
				}
				end, err := pglogrepl.ParseLSN(text)
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
					if at, ok := postgres.PositionLSN(follower.Stats().Position); ok && at >= end {
						break
					}
					if time.Since(began) > 5*time.Minute {
						b.Fatal("still not applied")
					}
				}
			}
			b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
	b.Run("server", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			must(`SELECT pg_replication_slot_advance('alone', pg_current_wal_lsn())`)
			must(`UPDATE orders SET account = account + 1`)
			b.StartTimer()
			must(`SELECT count(*) FROM pg_logical_slot_get_binary_changes('alone', NULL, NULL, 'proto_version', '1', 'publication_names', 'tandem')`)
		}
		b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	})
}
