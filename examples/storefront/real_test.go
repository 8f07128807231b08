package main

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-cache/tandem/internal/servertest"
)

// database is a PostgreSQL with a session.
type database struct {
	*servertest.Postgres
	t    *testing.T
	conn *pgx.Conn
}

func startDatabase(t *testing.T, settings ...string) *database {
	t.Helper()
	pg := servertest.StartPostgres(t, settings...)
	conn, err := pgx.Connect(t.Context(), pg.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return &database{Postgres: pg, t: t, conn: conn}
}

func (d *database) exec(statement string) {
	d.t.Helper()
	if _, err := d.conn.Exec(d.t.Context(), statement); err != nil {
		d.t.Fatalf("%s: %v", statement, err)
	}
}

func (d *database) count(from string) (n int) {
	d.t.Helper()
	if err := d.conn.QueryRow(d.t.Context(), "SELECT count(*) FROM "+from).Scan(&n); err != nil {
		d.t.Fatalf("count %s: %v", from, err)
	}
	return n
}

func TestRealServers(t *testing.T) {
	db := startDatabase(t)
	cfg := config{pods: 3, databaseURL: db.URL, redisURL: "redis://" + servertest.StartRedis(t).Addr}
	s := startShop(t, cfg)

	t.Run("changed by HTTP", func(t *testing.T) { testChangedProduct(t, s) })
	for _, c := range []struct{ path, before, statement, after string }{
		{
			"/catalog/internet/acc_001/jp", `"id":"prd_0001","name":"red lamp","priceCents":4242`,
			`UPDATE storefront.products SET price_cents = 1111 WHERE id = 'prd_0001'`, `"priceCents":1111`,
		},
		{
			"/catalog/internet/acc_002/jp", `"products":[{"id":"prd_0049"`,
			`DELETE FROM storefront.listings WHERE (account, country, product) = ('acc_002', 'jp', 'prd_0049')`, `"products":[{"id":"prd_0050"`,
		},
		{
			"/catalog/internet/acc_new/jp", `"products":[]`,
			`INSERT INTO storefront.listings VALUES ('acc_new', 'jp', 'prd_0007')`, `"prd_0007"`,
		},
		{
			"/catalog/internet/acc_001/de", `"currency":"EUR"`,
			`UPDATE storefront.countries SET currency = 'DEM' WHERE code = 'de'`, `"currency":"DEM"`,
		},
		{
			"/catalog/static/fr", `"shippingCents":590`,
			`UPDATE storefront.countries SET shipping_cents = 600 WHERE code = 'fr'`, `"shippingCents":600`,
		},
		{
			"/catalog/volatile/prd_0002", `"available":37`,
			`UPDATE storefront.stock SET available = 36 WHERE product = 'prd_0002'`, `"available":36`,
		},
		{
			"/orders/acc_001", `"id":"ord_20"`,
			`DELETE FROM storefront.orders WHERE account = 'acc_001' AND id = 'ord_20'`, `"orders":[{"id":"ord_19"`,
		},
		{
			"/orders/acc_002/ord_01", `"quantity":1`,
			`UPDATE storefront.order_lines SET quantity = 99 WHERE (account, order_id, line) = ('acc_002', 'ord_01', 1)`, `"quantity":99`,
		},
		{
			"/users/idp%7Cuser_0001", `"account":"acc_001"`,
			`UPDATE storefront.users SET account = 'acc_002' WHERE external_id = 'idp|user_0001'`, `"account":"acc_002"`,
		},
		{
			"/orders/acc_003", `"ord_01"`,
			`TRUNCATE storefront.orders CASCADE`, `"orders":[]`,
		},
	} {
		t.Run(c.statement, func(*testing.T) {
			s.await(c.path, c.before)
			db.exec(c.statement)
			s.await(c.path, c.after)
		})
	}

	s.end()
	if n := db.count("pg_replication_slots"); n != 0 {
		t.Errorf("%d slots are left; want none", n)
	}
	if n := db.count("pg_stat_activity WHERE backend_type IN ('client backend', 'walsender') AND pid <> pg_backend_pid()"); n != 0 {
		t.Errorf("%d sessions are left; want none", n)
	}
}

// TestRealGuide runs the printed commands, and a second start on a database that is in use already.
func TestRealGuide(t *testing.T) {
	db := startDatabase(t)
	cfg := config{databaseURL: db.URL, redisURL: "redis://" + servertest.StartRedis(t).Addr}
	env := []string{"DATABASE_URL=" + db.URL}
	testGuide(t, cfg, env)
	rows := db.count("storefront.listings")
	if rows < 20_000 {
		t.Errorf("%d listings; want tens of thousands", rows)
	}
	testGuide(t, cfg, env)
	if n := db.count("storefront.listings"); n != rows {
		t.Errorf("%d listings after the second start; want %d", n, rows)
	}
	if n := db.count("pg_replication_slots"); n != 0 {
		t.Errorf("%d slots are left; want none", n)
	}
}

// refused starts the shop on a database that won't do, and returns why.
func refused(t *testing.T, url string) string {
	t.Helper()
	f, err := startFleet(t.Context(), config{host: "127.0.0.1", pods: 1, databaseURL: url, log: quiet()})
	if err == nil {
		t.Error(f.close())
		t.Fatal("the shop started; want an error")
	}
	return err.Error()
}

func (d *database) wantRefused(url string, want ...string) {
	d.t.Helper()
	got := refused(d.t, url)
	for _, w := range want {
		if !strings.Contains(got, w) {
			d.t.Errorf("got %s\nwant it to say %q", got, w)
		}
	}
}

func TestWalLevel(t *testing.T) {
	db := startDatabase(t, "wal_level=replica")
	db.wantRefused(db.URL, "DATABASE_URL", "wal_level is replica: set wal_level = logical and restart the server")
	if n := db.count("storefront.products"); n != 0 {
		t.Errorf("%d products were inserted; want none before the database can be followed", n)
	}
}

func TestRights(t *testing.T) {
	db := startDatabase(t)
	db.exec(`CREATE ROLE shop LOGIN`)
	url := strings.Replace(db.URL, "postgres@", "shop@", 1)
	db.wantRefused(url, "permission denied for database", "needs CREATE on the database")
	db.exec(`GRANT CREATE ON DATABASE postgres TO shop`)
	db.wantRefused(url, "logical replication", "ALTER ROLE … REPLICATION")
	db.exec(`ALTER ROLE shop REPLICATION`)
	db.exec(`REVOKE CREATE ON DATABASE postgres FROM shop`)
	db.wantRefused(url, "the publication is missing", "CREATE on the database")
	db.exec(`GRANT CREATE ON DATABASE postgres TO shop`)
	startShop(t, config{pods: 1, databaseURL: url}).await("/catalog/static/jp", `"JPY"`)
}

// TestNoSlotLeft: too few slots show at the start, not only in the log.
func TestNoSlotLeft(t *testing.T) {
	db := startDatabase(t, "max_replication_slots=1") // one for two feeds
	db.wantRefused(db.URL, "raise max_replication_slots")
}

// TestTwoProcesses starts two fleets on one database at once: they must not take each other for a fault, nor fill it twice.
func TestTwoProcesses(t *testing.T) {
	db := startDatabase(t)
	cfg := config{host: "127.0.0.1", pods: 1, databaseURL: db.URL, redisURL: "redis://" + servertest.StartRedis(t).Addr, log: quiet()}
	type started struct {
		fleet *fleet
		err   error
	}
	results := make(chan started, 2)
	for range 2 {
		go func() {
			f, err := startFleet(t.Context(), cfg)
			results <- started{f, err}
		}()
	}
	for range 2 {
		r := <-results
		if r.err != nil {
			t.Error(r.err)
			continue
		}
		defer func() {
			if err := r.fleet.close(); err != nil {
				t.Error(err)
			}
		}()
		if err := r.fleet.awaitFeeds(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if n := db.count("storefront.countries"); n != len(sampleCountries) {
		t.Errorf("%d countries; want %d", n, len(sampleCountries))
	}
}
