package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/tandem-cache/tandem/cdc"
)

// memoryLatency is how long a read of the embedded store takes.
const memoryLatency = 5 * time.Millisecond

// memory is a store in this process, with a change feed as a database has it: its events carry the names of tables and the
// rows as text, and are there only once a new read sees the change.
type memory struct {
	mu        sync.RWMutex // guards the fields below
	users     map[string]User
	countries map[string]Country
	products  map[string]Product
	stock     map[string]Stock
	listings  map[[2]string][]string // account and country → products
	orders    map[string]map[string]*Order
	feeds     map[string]*changelog
	tables    map[string]*changelog           // table → the feed that carries it
	changed   func(table string, row cdc.Row) // hears of each update, under mu
}

func newMemory(s *sample) *memory {
	m := &memory{
		users:     make(map[string]User),
		countries: make(map[string]Country),
		products:  make(map[string]Product),
		stock:     make(map[string]Stock),
		listings:  make(map[[2]string][]string),
		orders:    make(map[string]map[string]*Order),
		feeds:     make(map[string]*changelog),
		tables:    make(map[string]*changelog),
	}
	m.changed = m.logLocked
	for _, u := range s.users {
		m.users[u.ExternalID] = u
	}
	for _, c := range sampleCountries {
		m.countries[c.Code] = c
	}
	for _, p := range s.products {
		m.products[p.ID] = p
	}
	for _, st := range s.stock {
		m.stock[st.Product] = st
	}
	for _, l := range s.listings {
		key := [2]string{l.account, l.country}
		m.listings[key] = append(m.listings[key], l.product)
	}
	for _, o := range s.orders {
		if m.orders[o.Account] == nil {
			m.orders[o.Account] = make(map[string]*Order)
		}
		m.orders[o.Account][o.ID] = &o
	}
	return m
}

// Describe implements store.
func (m *memory) Describe() string { return "an embedded store with a change feed" }

// Close implements store.
func (m *memory) Close() {}

// Source implements store. All callers share the feed's one source.
func (m *memory) Source(feed string, tables []string) (cdc.Source, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	log := m.feeds[feed]
	if log == nil {
		log = newChangelog()
		m.feeds[feed] = log
	}
	for _, t := range tables {
		if other := m.tables[t]; other != nil && other != log {
			return nil, fmt.Errorf("memory: the table %s is in another feed already", t)
		}
		m.tables[t] = log
	}
	return log, nil
}

// Feeds implements store.
func (*memory) Feeds() map[string]cdc.Routes { return feeds() }

// updatedLocked hands an update to the feed of its table. The caller holds m.mu for writing: whoever reads after the event was
// handed over waits for that, and sees the change.
func (m *memory) updatedLocked(table string, row cdc.Row) { m.changed(table, row) }

func (m *memory) logLocked(table string, row cdc.Row) {
	if log := m.tables[table]; log != nil {
		log.append(cdc.Event{Entity: table, Kind: cdc.Update, Rows: []cdc.Row{row}})
	}
}

// User implements usersStore.
func (m *memory) User(ctx context.Context, externalID string) (*User, error) {
	return find(ctx, m, m.users, "user", externalID)
}

// Country implements catalogStore.
func (m *memory) Country(ctx context.Context, code string) (*Country, error) {
	return find(ctx, m, m.countries, "country", code)
}

// Stock implements catalogStore.
func (m *memory) Stock(ctx context.Context, product string) (*Stock, error) {
	return find(ctx, m, m.stock, "stock of product", product)
}

func find[V any](ctx context.Context, m *memory, in map[string]V, what, id string) (*V, error) {
	if err := pretend(ctx, memoryLatency); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	v, ok := in[id]
	if !ok {
		return nil, fmt.Errorf("%s %q: %w", what, id, errNotFound)
	}
	return &v, nil
}

// PriceList implements catalogStore.
func (m *memory) PriceList(ctx context.Context, account, country string) (*PriceList, error) {
	c, err := m.Country(ctx, country)
	if err != nil {
		return nil, err
	}
	list := &PriceList{Account: account, Country: country, Currency: c.Currency, Products: []Product{}}
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, id := range m.listings[[2]string{account, country}] {
		list.Products = append(list.Products, m.products[id])
	}
	return list, nil
}

// SetPrice implements catalogStore.
func (m *memory) SetPrice(_ context.Context, product string, cents int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, ok := m.products[product]
	if !ok {
		return fmt.Errorf("product %q: %w", product, errNotFound)
	}
	p.PriceCents = cents
	m.products[product] = p
	m.updatedLocked("storefront.products", cdc.Row{"id": p.ID, "name": p.Name, "price_cents": strconv.FormatInt(cents, 10)})
	return nil
}

// OrdersOf implements ordersStore.
func (m *memory) OrdersOf(ctx context.Context, account string) (*OrderList, error) {
	if err := pretend(ctx, memoryLatency); err != nil {
		return nil, err
	}
	list := &OrderList{Account: account, Orders: []OrderSummary{}}
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, o := range m.orders[account] {
		summary := OrderSummary{ID: o.ID, Status: o.Status, Placed: o.Placed}
		for _, l := range o.Lines {
			summary.TotalCents += int64(l.Quantity) * l.PriceCents
		}
		list.Orders = append(list.Orders, summary)
	}
	slices.SortFunc(list.Orders, func(a, b OrderSummary) int {
		return cmp.Or(b.Placed.Compare(a.Placed), cmp.Compare(b.ID, a.ID))
	})
	return list, nil
}

// Order implements ordersStore.
func (m *memory) Order(ctx context.Context, account, id string) (*Order, error) {
	if err := pretend(ctx, memoryLatency); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	o := m.orders[account][id]
	if o == nil {
		return nil, fmt.Errorf("order %q of account %q: %w", id, account, errNotFound)
	}
	found := *o // its lines never change
	return &found, nil
}

// SetOrderStatus implements ordersStore.
func (m *memory) SetOrderStatus(_ context.Context, account, id, status string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := m.orders[account][id]
	if o == nil {
		return fmt.Errorf("order %q of account %q: %w", id, account, errNotFound)
	}
	o.Status = status
	m.updatedLocked("storefront.orders", cdc.Row{
		"account": account, "id": id, "status": status, "placed": o.Placed.Format(time.RFC3339),
	})
	return nil
}
