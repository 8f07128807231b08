package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/cdc/salesforce"
	"github.com/tandem-cache/tandem/cdc/salesforce/salesforcetest"
	"github.com/tandem-cache/tandem/tier"
)

// orgKeepalive is how often the fake org speaks on a quiet topic. The service does so every 270 s: a feed that is followed for the first
// time is not connected until it has spoken.
const orgKeepalive = 500 * time.Millisecond

// org keeps orders and catalog as a Salesforce org would: each feed is a channel of change events. The org is a fake in this process,
// over real sockets; with a real one, Source is made of its URL, its topics and a login, and the rest is the same.
//
// An event names the record and what has changed of it, and neither the account of an order nor its number, unless they changed. So what is read is
// depended on by the record's id.
type org struct {
	*memory
	server *salesforcetest.Server
	log    *slog.Logger

	mu      sync.Mutex        // guards the field below
	records map[string]string // what the shop calls a row → the record's id
}

const (
	orderEntity   = "Order"
	userEntity    = "Contact"
	productEntity = "Product2"
)

// openOrg starts an org with the shop's sample.
func openOrg(cfg config) (*org, error) {
	server, err := salesforcetest.Start(salesforcetest.Options{Keepalive: orgKeepalive})
	if err != nil {
		return nil, fmt.Errorf("salesforce: start the org: %w", err)
	}
	o := &org{memory: newMemory(newSample()), server: server, log: cfg.log, records: make(map[string]string)}
	o.changed = o.publish
	errs := []error{
		server.AddEntity(salesforcetest.Entity{Name: orderEntity, Fields: []salesforcetest.Field{{Name: "Account__c"}, {Name: "Status"}}}),
		server.AddEntity(salesforcetest.Entity{Name: userEntity, Fields: []salesforcetest.Field{{Name: "External_Id__c"}, {Name: "Account__c"}}}),
		server.AddEntity(salesforcetest.Entity{Name: productEntity, Fields: []salesforcetest.Field{{Name: "Name"}, {Name: "Price__c", Type: salesforcetest.Double}}}),
		server.AddChannel("Orders__chn", orderEntity, userEntity),
		server.AddChannel("Catalog__chn", productEntity),
	}
	if err := errors.Join(errs...); err != nil {
		server.Close()
		return nil, fmt.Errorf("salesforce: set the org up: %w", err)
	}
	return o, nil
}

// Describe implements store.
func (*org) Describe() string {
	return "a Salesforce org in this process, followed by its change events"
}

// Close implements store.
func (o *org) Close() { o.server.Close() }

// Feeds implements store. Every entry of a list or a detail stands on the records that it was made from; only one that isn't in a list yet, or
// moves to another, is told by its account.
func (*org) Feeds() map[string]cdc.Routes {
	return map[string]cdc.Routes{
		ordersFeed: {
			orderEntity: {
				Rules: []cdc.Rule{
					{Names: []string{tier.Tag(orderEntity, "{Id}")}},
					{Names: []string{tier.Key(ordersSpace, "{Account__c}")}, When: []string{"Account__c"}, Optional: true},
				},
				All: []string{tier.SpaceName(ordersSpace), tier.SpaceName(detailsSpace)},
			},
			userEntity: {All: []string{tier.SpaceName(mappingSpace)}}, // seldom: all of them
		},
		catalogFeed: {
			productEntity: {
				Rules: []cdc.Rule{{Names: []string{tier.Tag(productEntity, "{Id}")}}},
				All:   []string{tier.Entity(productEntity)},
			},
		},
	}
}

// Source implements store: a feed is a channel.
func (o *org) Source(feed string, _ []string) (cdc.Source, error) {
	cfg := o.server.Config(map[string]string{ordersFeed: "/data/Orders__chn", catalogFeed: "/data/Catalog__chn"}[feed])
	cfg.Logger = o.log.With("feed", feed)
	return salesforce.NewSource(cfg)
}

// record returns the id of a record, which the org gives when it is first asked for. prefix is of its object.
func (o *org) record(prefix, name string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	id, ok := o.records[name]
	if !ok {
		id = fmt.Sprintf("%s%012dAAA", prefix, len(o.records)+1)
		o.records[name] = id
	}
	return id
}

func (o *org) orderRecord(account, id string) string { return o.record("801", account+"/"+id) }
func (o *org) productRecord(id string) string        { return o.record("01t", id) }

// publish sends the change event of a row that the embedded store has just changed.
func (o *org) publish(table string, row cdc.Row) {
	c := salesforcetest.Change{Type: "UPDATE"}
	switch table {
	case "storefront.orders":
		c.Entity, c.IDs = orderEntity, []string{o.orderRecord(row["account"], row["id"])}
		c.Fields = map[string]any{"Status": row["status"]}
	case "storefront.products":
		c.Entity, c.IDs = productEntity, []string{o.productRecord(row["id"])}
		c.Changed = []string{"Price__c"}
	}
	if _, err := o.server.Change(c); err != nil {
		panic("bug: " + err.Error()) // an entity or a field that openOrg did not make
	}
}

// OrdersOf implements ordersStore.
func (o *org) OrdersOf(ctx context.Context, account string) (*OrderList, error) {
	list, err := o.memory.OrdersOf(ctx, account)
	if err != nil {
		return nil, err
	}
	for _, order := range list.Orders {
		tier.DependsOn(ctx, orderEntity, o.orderRecord(account, order.ID))
	}
	return list, nil
}

// Order implements ordersStore.
func (o *org) Order(ctx context.Context, account, id string) (*Order, error) {
	tier.DependsOn(ctx, orderEntity, o.orderRecord(account, id))
	return o.memory.Order(ctx, account, id)
}

// PriceList implements catalogStore.
func (o *org) PriceList(ctx context.Context, account, country string) (*PriceList, error) {
	list, err := o.memory.PriceList(ctx, account, country)
	if err != nil {
		return nil, err
	}
	for _, p := range list.Products {
		tier.DependsOn(ctx, productEntity, o.productRecord(p.ID))
	}
	return list, nil
}

// eventsHealth answers for the two feeds alone, whatever they come from, as cache knows them: 200 also while one is not fresh, since the pod
// still answers.
func eventsHealth(cache *tier.Cache) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := cache.Health(r.Context())
		status := "ok"
		feeds := make(map[string]tier.FeedHealth)
		for _, name := range []string{ordersFeed, catalogFeed} {
			feeds[name] = h.Feeds[name]
			if !feeds[name].Connected || feeds[name].Fallback {
				status = "degraded"
			}
		}
		writeJSON(w, http.StatusOK, map[string]any{"timestamp": h.Timestamp, "status": status, "feeds": feeds})
	})
}
