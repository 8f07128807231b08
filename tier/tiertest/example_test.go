package tiertest_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/tandem-cache/tandem/tier"
	"github.com/tandem-cache/tandem/tier/tiertest"
)

// A test of one's own code gets t from the testing package. Here examples are run as tests, and print what those would compare.
func asTest(test func(t testing.TB)) {
	t := &exampleTB{}
	test(t)
	for len(t.cleanups) > 0 {
		last := t.cleanups[len(t.cleanups)-1]
		t.cleanups = t.cleanups[:len(t.cleanups)-1]
		last()
	}
}

type exampleTB struct {
	testing.TB
	cleanups []func()
}

func (t *exampleTB) Helper()                           {}
func (t *exampleTB) Name() string                      { return "Example" }
func (t *exampleTB) Context() context.Context          { return context.Background() }
func (t *exampleTB) Cleanup(f func())                  { t.cleanups = append(t.cleanups, f) }
func (t *exampleTB) Errorf(format string, args ...any) { fmt.Printf(format+"\n", args...) }
func (t *exampleTB) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

type order struct{ Status string }

// openOrders stands for the code under test: what a service does with its cache.
func openOrders(cache *tier.Cache, rows *tiertest.Source[order]) (*tier.Space[order], error) {
	return tier.NewSpace(cache, tier.SpaceConfig[order]{Name: "orders:detail", Strategy: tier.CDC("orders-feed"), Load: rows.Load})
}

// An order is read once, and once more after it has changed.
func Example() {
	asTest(func(t testing.TB) {
		cache := tiertest.Open(t, tier.Config{})
		feed := tiertest.NewFeed(t, cache, "orders-feed")
		rows := &tiertest.Source[order]{Entity: "order"}
		orders, err := openOrders(cache, rows)
		if err != nil {
			t.Fatalf("%v", err)
		}
		rows.Put("ord_1", order{Status: "new"})
		for range 3 {
			fmt.Println(orders.Get(t.Context(), "ord_1"))
		}
		rows.Put("ord_1", order{Status: "paid"})
		feed.Change(tier.Tag("order", "ord_1"))
		fmt.Println(orders.Get(t.Context(), "ord_1"))
		fmt.Println(rows.Loads("ord_1"), "loads")
	})
	// Output:
	// {new} <nil>
	// {new} <nil>
	// {new} <nil>
	// {paid} <nil>
	// 2 loads
}

// A load under way while its row changes: who asked before gets what was there, and the next read what is there now.
func ExampleSource_Block() {
	asTest(func(t testing.TB) {
		cache := tiertest.Open(t, tier.Config{})
		feed := tiertest.NewFeed(t, cache, "orders-feed")
		rows := &tiertest.Source[order]{Entity: "order"}
		orders, err := openOrders(cache, rows)
		if err != nil {
			t.Fatalf("%v", err)
		}
		rows.Put("ord_1", order{Status: "new"})
		release := rows.Block("ord_1")
		var wg sync.WaitGroup
		wg.Go(func() {
			e, err := orders.Entry(t.Context(), "ord_1")
			fmt.Println(e.Value, e.Stale, err)
		})
		rows.AwaitLoads(t, "ord_1", 1)
		rows.Put("ord_1", order{Status: "paid"})
		feed.Change(tier.Tag("order", "ord_1"))
		release()
		wg.Wait()
		fmt.Println(orders.Get(t.Context(), "ord_1"))
	})
	// Output:
	// {new} true <nil>
	// {paid} <nil>
}

// A database that fails, and one that does not have the row.
func ExampleSource_Fail() {
	asTest(func(t testing.TB) {
		cache := tiertest.Open(t, tier.Config{})
		rows := &tiertest.Source[order]{}
		orders, err := openOrders(cache, rows)
		if err != nil {
			t.Fatalf("%v", err)
		}
		rows.Fail("ord_1", fmt.Errorf("connection refused"))
		_, err = orders.Get(t.Context(), "ord_1")
		fmt.Println(err)
		_, err = orders.Get(t.Context(), "ord_2")
		fmt.Println(err)
	})
	// Output:
	// tier: load "orders:detail:ord_1": connection refused
	// tier: get "orders:detail:ord_2": tier: not found
}
