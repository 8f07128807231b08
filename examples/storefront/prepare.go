package main

import (
	"context"
	_ "embed" // the schema
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tandem-cache/tandem/cdc"
)

//go:embed schema.sql
var schema string

// prepareLock is the advisory lock under which processes prepare the database.
const prepareLock = 7_386_510_402

// prepareTimeout bounds the preparation. Making a slot waits for all transactions that are writing.
const prepareTimeout = 30 * time.Second

// prepare makes the schema, sees that the database can be followed, and only then fills it.
func (p *postgres) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	if err := p.exclusively(ctx, createSchema); err != nil {
		return err
	}
	if err := p.exclusively(ctx, p.checkFeeds); err != nil {
		return err
	}
	return p.exclusively(ctx, insertSample)
}

// exclusively runs do in a transaction that no other process prepares beside.
func (p *postgres) exclusively(ctx context.Context, do func(context.Context, pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, prepareLock); err != nil {
			return fmt.Errorf("wait for another process: %w", err)
		}
		return do(ctx, tx)
	})
}

// createSchema leaves a schema that is there as it is.
func createSchema(ctx context.Context, tx pgx.Tx) error {
	var there bool
	if err := tx.QueryRow(ctx, `SELECT to_regclass('storefront.order_lines') IS NOT NULL`).Scan(&there); err != nil || there {
		return err
	}
	if _, err := tx.Exec(ctx, schema); err != nil {
		return fmt.Errorf("create the schema storefront: %w (the role needs CREATE on the database)", err)
	}
	return nil
}

// checkFeeds says what keeps the feeds from being followed. It opens a stream of each, at the same time: some things, such as a
// limit on slots, show only then. Their slots are temporary and leave nothing.
func (p *postgres) checkFeeds(ctx context.Context, _ pgx.Tx) error {
	for feed, routes := range feeds() {
		stream, err := p.tryFeed(ctx, feed, tablesOf(routes))
		if err != nil {
			return fmt.Errorf("the database can't be followed by logical replication: %s: %w", feed, err)
		}
		if stream != nil {
			defer func() { _ = stream.Close(ctx) }() // a slot that this leaves ends with its connection
		}
	}
	return nil
}

// tryFeed returns an open stream; nil where another process has it.
func (p *postgres) tryFeed(ctx context.Context, feed string, tables []string) (cdc.Stream, error) {
	source, err := p.source(feed, tables)
	if err != nil {
		return nil, err
	}
	if err := source.Check(ctx); err != nil {
		return nil, err
	}
	stream, err := source.Open(ctx, "")
	if isGone(err) { // the slot of another process, which ended between two steps of Open
		stream, err = source.Open(ctx, "")
	}
	if errors.Is(err, cdc.ErrBusy) {
		return nil, nil
	}
	return stream, err
}

// isGone recognizes undefined_object.
func isGone(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "42704"
}

// insertSample fills tables that are empty.
func insertSample(ctx context.Context, tx pgx.Tx) error {
	var there bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM storefront.countries)`).Scan(&there); err != nil || there {
		return err
	}
	s := newSample()
	var lines []orderLine
	for _, o := range s.orders {
		for i, l := range o.Lines {
			lines = append(lines, orderLine{o.Account, o.ID, i + 1, l})
		}
	}
	for _, t := range []table{
		rowsOf("users", "external_id account", s.users, func(u User) []any { return []any{u.ExternalID, u.Account} }),
		rowsOf("countries", "code currency vat_percent shipping_cents", sampleCountries, func(c Country) []any {
			return []any{c.Code, c.Currency, c.VATPercent, c.ShippingCents}
		}),
		rowsOf("products", "id name price_cents", s.products, func(p Product) []any { return []any{p.ID, p.Name, p.PriceCents} }),
		rowsOf("stock", "product available", s.stock, func(s Stock) []any { return []any{s.Product, s.Available} }),
		rowsOf("listings", "account country product", s.listings, func(l listing) []any { return []any{l.account, l.country, l.product} }),
		rowsOf("orders", "account id status placed", s.orders, func(o Order) []any { return []any{o.Account, o.ID, o.Status, o.Placed} }),
		rowsOf("order_lines", "account order_id line product title quantity price_cents", lines, func(l orderLine) []any {
			return []any{l.account, l.order, l.line, l.Product, l.Title, l.Quantity, l.PriceCents}
		}),
	} {
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{"storefront", t.name}, t.columns, t.rows); err != nil {
			return fmt.Errorf("insert sample data into storefront.%s: %w", t.name, err)
		}
	}
	return nil
}

// table is the sample data of one table.
type table struct {
	name    string
	columns []string
	rows    pgx.CopyFromSource
}

func rowsOf[V any](name, columns string, rows []V, values func(V) []any) table {
	return table{name, strings.Fields(columns), pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) {
		return values(rows[i]), nil
	})}
}

// orderLine is a row of storefront.order_lines.
type orderLine struct {
	account, order string
	line           int
	OrderLine
}
