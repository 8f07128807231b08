package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tandem-cache/tandem/cdc"
	cdcpostgres "github.com/tandem-cache/tandem/cdc/postgres"
)

// postgres is a store in PostgreSQL: the schema storefront, and a slot and a publication for each feed.
type postgres struct {
	url  string
	pool *pgxpool.Pool
	log  *slog.Logger
}

// openPostgres connects, and prepares a database that is new to the shop. An error says what is wrong with it.
func openPostgres(ctx context.Context, url string, log *slog.Logger) (*postgres, error) {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	p := &postgres{url: url, pool: pool, log: log}
	if err := p.prepare(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	return p, nil
}

// Source implements store. A temporary slot ends with the connection that reads it, however the process ends, so that no log is
// kept for a shop that isn't there; the price is that each start flushes what the feed covers. A service that must not flush
// leaves Temporary out, and watches its slot.
func (p *postgres) Source(feed string, tables []string) (cdc.Source, error) {
	return p.source(feed, tables)
}

func (p *postgres) source(feed string, tables []string) (*cdcpostgres.Source, error) {
	name := "storefront_" + strings.ReplaceAll(feed, "-", "_")
	return cdcpostgres.NewSource(cdcpostgres.Config{
		ConnString:  p.url,
		Slot:        name,
		Publication: name,
		Tables:      tables,
		Temporary:   true,
		Logger:      p.log.With("feed", feed),
	})
}

// Feeds implements store.
func (*postgres) Feeds() map[string]cdc.Routes { return feeds() }

// Describe implements store.
func (p *postgres) Describe() string {
	cfg := p.pool.Config().ConnConfig
	return fmt.Sprintf("PostgreSQL, database %s at %s", cfg.Database, cfg.Host)
}

// Close implements store.
func (p *postgres) Close() { p.pool.Close() }

// User implements usersStore.
func (p *postgres) User(ctx context.Context, externalID string) (*User, error) {
	return one[User](ctx, p, `SELECT external_id, account FROM storefront.users WHERE external_id = $1`, externalID)
}

// Country implements catalogStore.
func (p *postgres) Country(ctx context.Context, code string) (*Country, error) {
	return one[Country](ctx, p, `SELECT code, currency, vat_percent, shipping_cents FROM storefront.countries WHERE code = $1`, code)
}

// Stock implements catalogStore.
func (p *postgres) Stock(ctx context.Context, product string) (*Stock, error) {
	return one[Stock](ctx, p, `SELECT product, available FROM storefront.stock WHERE product = $1`, product)
}

// PriceList implements catalogStore. Its two statements may see different states: a change between them outdates the list, as
// the load began before it.
func (p *postgres) PriceList(ctx context.Context, account, country string) (*PriceList, error) {
	c, err := p.Country(ctx, country)
	if err != nil {
		return nil, err
	}
	products, err := many[Product](ctx, p, `
		SELECT p.id, p.name, p.price_cents FROM storefront.listings l JOIN storefront.products p ON p.id = l.product
		WHERE l.account = $1 AND l.country = $2 ORDER BY p.id`, account, country)
	if err != nil {
		return nil, err
	}
	return &PriceList{Account: account, Country: country, Currency: c.Currency, Products: products}, nil
}

// SetPrice implements catalogStore.
func (p *postgres) SetPrice(ctx context.Context, product string, cents int64) error {
	return p.update(ctx, `UPDATE storefront.products SET price_cents = $2 WHERE id = $1`, product, cents)
}

// OrdersOf implements ordersStore.
func (p *postgres) OrdersOf(ctx context.Context, account string) (*OrderList, error) {
	orders, err := many[OrderSummary](ctx, p, `
		SELECT o.id, o.status, o.placed, coalesce(sum(l.quantity * l.price_cents), 0)::bigint
		FROM storefront.orders o LEFT JOIN storefront.order_lines l ON l.account = o.account AND l.order_id = o.id
		WHERE o.account = $1 GROUP BY o.account, o.id ORDER BY o.placed DESC, o.id DESC`, account)
	if err != nil {
		return nil, err
	}
	return &OrderList{Account: account, Orders: orders}, nil
}

// Order implements ordersStore.
func (p *postgres) Order(ctx context.Context, account, id string) (*Order, error) {
	o := &Order{Account: account, ID: id}
	err := p.pool.QueryRow(ctx, `SELECT status, placed FROM storefront.orders WHERE account = $1 AND id = $2`, account, id).
		Scan(&o.Status, &o.Placed)
	if err != nil {
		return nil, missing(err, "order", id)
	}
	o.Lines, err = many[OrderLine](ctx, p, `
		SELECT product, title, quantity, price_cents FROM storefront.order_lines
		WHERE account = $1 AND order_id = $2 ORDER BY line`, account, id)
	return o, err
}

// SetOrderStatus implements ordersStore.
func (p *postgres) SetOrderStatus(ctx context.Context, account, id, status string) error {
	return p.update(ctx, `UPDATE storefront.orders SET status = $3 WHERE account = $1 AND id = $2`, account, id, status)
}

// one reads the row whose key is id into the fields of a V, in their order.
func one[V any](ctx context.Context, p *postgres, query, id string) (*V, error) {
	rows, err := p.pool.Query(ctx, query, id)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByPos[V])
	if err != nil {
		return nil, missing(err, "row", id)
	}
	return v, nil
}

// many reads rows; an empty slice if there are none.
func many[V any](ctx context.Context, p *postgres, query string, args ...any) ([]V, error) {
	rows, err := p.pool.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[V])
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	return all, nil
}

func missing(err error, what, id string) error {
	if errors.Is(err, pgx.ErrNoRows) {
		err = errNotFound
	}
	return fmt.Errorf("postgres: %s %q: %w", what, id, err)
}

// update changes one row, whose key is the first of args.
func (p *postgres) update(ctx context.Context, statement string, args ...any) error {
	tag, err := p.pool.Exec(ctx, statement, args...)
	switch {
	case err != nil:
		return fmt.Errorf("postgres: %w", err)
	case tag.RowsAffected() == 0:
		return fmt.Errorf("postgres: row %q: %w", args[0], errNotFound)
	}
	return nil
}
