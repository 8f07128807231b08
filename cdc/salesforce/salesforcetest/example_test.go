package salesforcetest_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/cdc/salesforce"
	"github.com/tandem-cache/tandem/cdc/salesforce/salesforcetest"
	"github.com/tandem-cache/tandem/tier"
	"github.com/tandem-cache/tandem/tier/tiertest"
)

// exampleTB stands for the t of a test of one's own: here examples are run as tests, and print what those would compare.
type exampleTB struct {
	testing.TB
	cleanups []func()
}

func (t *exampleTB) Helper()                           {}
func (t *exampleTB) Name() string                      { return "Example" }
func (t *exampleTB) Cleanup(f func())                  { t.cleanups = append(t.cleanups, f) }
func (t *exampleTB) Errorf(format string, args ...any) { fmt.Printf(format+"\n", args...) }
func (t *exampleTB) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func (t *exampleTB) end() {
	for len(t.cleanups) > 0 {
		last := t.cleanups[len(t.cleanups)-1]
		t.cleanups = t.cleanups[:len(t.cleanups)-1]
		last()
	}
}

type orderStatus struct{ Name string }

// A change in the org outdates what the cache has of the record.
func Example() {
	t := &exampleTB{}
	defer t.end()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	org, err := salesforcetest.Start(salesforcetest.Options{Keepalive: 20 * time.Millisecond}) // an idle feed is known to be connected at once
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer org.Close()
	entity := salesforcetest.Entity{Name: "Order", Fields: []salesforcetest.Field{{Name: "Status"}}}
	if err := org.AddEntity(entity); err != nil {
		t.Fatalf("%v", err)
	}

	cache := tiertest.Open(t, tier.Config{})
	rows := &tiertest.Source[orderStatus]{Entity: "Order"} // each entry depends on its record
	orders, err := tier.NewSpace(cache, tier.SpaceConfig[orderStatus]{Name: "orders:status", Strategy: tier.CDC("orders-feed"), Load: rows.Load})
	if err != nil {
		t.Fatalf("%v", err)
	}

	feed, err := cache.Feed("orders-feed")
	if err != nil {
		t.Fatalf("%v", err)
	}
	cfg := org.Config(entity.Topic())
	cfg.Logger = slog.New(slog.DiscardHandler)
	source, err := salesforce.NewSource(cfg)
	if err != nil {
		t.Fatalf("%v", err)
	}
	follower, err := cdc.NewFollower(cdc.FollowerConfig{
		Source: source, Feed: feed, Logger: cfg.Logger,
		Routes: cdc.Routes{"Order": {
			Rules: []cdc.Rule{{Names: []string{tier.Tag("Order", "{Id}")}, When: []string{"Status"}}},
			All:   []string{tier.Entity("Order")},
		}},
	})
	if err != nil {
		t.Fatalf("%v", err)
	}
	run, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- follower.Run(run) }()
	await := func(ok func(cdc.Stats) bool) {
		for !ok(follower.Stats()) && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
	}
	await(func(s cdc.Stats) bool { return s.Connected && s.Flushes == 1 }) // it began without a checkpoint

	const id = "801000000000001AAA"
	rows.Put(id, orderStatus{"New"})
	fmt.Println(orders.Get(ctx, id))
	rows.Put(id, orderStatus{"Shipped"})
	fmt.Println(orders.Get(ctx, id)) // nobody told the cache yet
	if _, err := org.Change(salesforcetest.Change{
		Entity: "Order", Type: "UPDATE", IDs: []string{id}, Fields: map[string]any{"Status": "Shipped"},
	}); err != nil {
		t.Fatalf("%v", err)
	}
	await(func(s cdc.Stats) bool { return s.Events == 1 })
	fmt.Println(orders.Get(ctx, id))

	stop()
	fmt.Println(<-ended)
	// Output:
	// {New} <nil>
	// {New} <nil>
	// {Shipped} <nil>
	// <nil>
}
