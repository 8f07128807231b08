package guides_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/tier"
	"github.com/tandem-cache/tandem/tier/tiertest"
)

// The code of docs/best-practices.md and docs/strategies.md, and what follows from it.

type order struct{ ID, Status string }

type orderTable = tiertest.Source[*order]

func openOrders(t *testing.T, load func(ctx context.Context, id string) (*order, error)) (*tier.Cache, *tier.Space[*order]) {
	t.Helper()
	cache := tiertest.Open(t, tier.Config{})
	orders, err := tier.NewSpace(cache, tier.SpaceConfig[*order]{Name: "orders:detail", Strategy: tier.TTL(time.Hour), Load: load})
	if err != nil {
		t.Fatal(err)
	}
	return cache, orders
}

// insert puts an order into a table that was asked for it in vain, and says whether it shows.
func insert(t *testing.T, db *orderTable, load func(ctx context.Context, id string) (*order, error)) bool {
	t.Helper()
	cache, orders := openOrders(t, load)
	if _, err := orders.Get(t.Context(), "ord_1"); !errors.Is(err, tier.ErrNotFound) {
		t.Fatalf("got %v; want ErrNotFound", err)
	}
	db.Put("ord_1", &order{"ord_1", "new"})
	if err := cache.InvalidateTag(t.Context(), "order", "ord_1"); err != nil {
		t.Fatal(err)
	}
	_, err := orders.Get(t.Context(), "ord_1")
	return err == nil
}

func TestDependBeforeReading(t *testing.T) {
	db := &orderTable{}
	if !insert(t, db, func(ctx context.Context, id string) (*order, error) {
		tier.DependsOn(ctx, "order", id)
		return db.Load(ctx, id)
	}) {
		t.Error("the order does not show")
	}
	db = &orderTable{}
	if insert(t, db, func(ctx context.Context, id string) (*order, error) {
		o, err := db.Load(ctx, id)
		if err != nil {
			return nil, err // depends on nothing
		}
		tier.DependsOn(ctx, "order", o.ID)
		return o, nil
	}) {
		t.Error("the order shows: the guide is wrong")
	}
}

func TestCopyBeforeChanging(t *testing.T) {
	cache := tiertest.Open(t, tier.Config{DetectMutation: true})
	sizes, err := tier.NewSpace(cache, tier.SpaceConfig[[]int]{
		Name: "catalog:sizes", Strategy: tier.TTL(time.Hour),
		Load: func(context.Context, string) ([]int, error) { return []int{3, 1, 2}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	list, err := sizes.Get(ctx, "prd_1")
	if err != nil {
		t.Fatal(err)
	}
	mine := slices.Clone(list)
	slices.Sort(mine)
	if _, err := sizes.Get(ctx, "prd_1"); err != nil { // would panic
		t.Fatal(err)
	}
}

func TestManyAtOnce(t *testing.T) {
	cache := tiertest.Open(t, tier.Config{})
	db := &orderTable{}
	for _, id := range []string{"ord_1", "ord_2"} {
		db.Put(id, &order{id, "new"})
	}
	orders, err := tier.NewSpace(cache, tier.SpaceConfig[*order]{
		Name: "orders:detail", Strategy: tier.TTL(time.Hour), LoadMany: db.LoadMany,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, ids := t.Context(), []string{"ord_1", "ord_2", "ord_3"}
	var found []*order
	for _, r := range orders.GetMany(ctx, ids) {
		switch {
		case r.Err == nil:
			found = append(found, r.Value)
		case !errors.Is(r.Err, tier.ErrNotFound):
			t.Fatal(r.Err)
		}
	}
	if len(found) != 2 || db.Batches() != 1 {
		t.Errorf("%d orders in %d calls; want 2 in 1", len(found), db.Batches())
	}
}

func TestTimeoutOfNestedLoads(t *testing.T) {
	cache := tiertest.Open(t, tier.Config{})
	db := &orderTable{}
	db.Put("ord_1", &order{"ord_1", "new"})
	orders, err1 := tier.NewSpace(cache, tier.SpaceConfig[*order]{
		Name:        "orders:detail",
		Strategy:    tier.TTL(time.Hour),
		Load:        db.Load,
		LoadTimeout: 2 * time.Second,
	})
	pages, err2 := tier.NewSpace(cache, tier.SpaceConfig[string]{
		Name:        "orders:page",
		Strategy:    tier.TTL(time.Hour),
		LoadTimeout: 10 * time.Second, // for all that it reads
		Load: func(ctx context.Context, id string) (string, error) {
			o, err := orders.Get(ctx, id) // ctx of this load: what it reads counts
			if err != nil {
				return "", err // no page of half the data
			}
			return "order " + o.ID + " is " + o.Status, nil
		},
	})
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if got, err := pages.Get(t.Context(), "ord_1"); got != "order ord_1 is new" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	db.Put("ord_1", &order{"ord_1", "paid"})
	if err := orders.Invalidate(t.Context(), "ord_1"); err != nil {
		t.Fatal(err)
	}
	if got, err := pages.Get(t.Context(), "ord_1"); got != "order ord_1 is paid" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// commit is a transaction.
func commit(db *orderTable, o *order) error {
	db.Put(o.ID, o)
	return nil
}

func TestInvalidateAfterTheCommit(t *testing.T) {
	db := &orderTable{Entity: "order"}
	db.Put("ord_1", &order{"ord_1", "new"})
	cache, orders := openOrders(t, db.Load)
	pay := func(ctx context.Context) error {
		if err := commit(db, &order{"ord_1", "paid"}); err != nil {
			return err
		}
		// The row has changed: that the caller has gone is no reason to keep it from the cache.
		return cache.InvalidateTag(context.WithoutCancel(ctx), "order", "ord_1")
	}
	if _, err := orders.Get(t.Context(), "ord_1"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := pay(ctx); err != nil {
		t.Fatal(err)
	}
	if o, err := orders.Get(t.Context(), "ord_1"); err != nil || o.Status != "paid" {
		t.Errorf("got %v, %v; want paid", o, err)
	}
}

func TestOneClient(t *testing.T) {
	redisURL := "redis://" + servertest.StartRedis(t).Addr + "/0"
	ctx := t.Context()
	options, err := redis.ParseURL(redisURL)
	if err != nil {
		t.Fatal(err)
	}
	options.ContextTimeoutEnabled = true
	client := redis.NewClient(options) // one for the process
	cache, err := tier.Open(ctx, tier.Config{Name: "storefront", Redis: client})
	if err != nil {
		t.Fatal(err)
	}
	if h := cache.Health(ctx); !h.Redis.Connected {
		t.Errorf("got %+v; want Redis connected", h.Redis)
	}
	if err := errors.Join(cache.Close(ctx), client.Close()); err != nil { // in this order
		t.Fatal(err)
	}
}

func TestSettle(t *testing.T) {
	cache := tiertest.Open(t, tier.Config{})
	feed, err := cache.Feed("orders-feed")
	if err != nil {
		t.Fatal(err)
	}
	var source cdc.Source = noSource{}
	routes := cdc.Routes{"public.orders": {All: []string{tier.Entity("order")}}}
	follower, err := cdc.NewFollower(cdc.FollowerConfig{
		Source: source, Feed: feed, Routes: routes,
		Settle: 5 * time.Second,
	})
	if err != nil || follower == nil {
		t.Errorf("got %v, %v; want a follower", follower, err)
	}
}

type noSource struct{}

func (noSource) Identity() string { return "nothing" }
func (noSource) Exclusive() bool  { return true }

func (noSource) Open(context.Context, string) (cdc.Stream, error) { return nil, cdc.ErrBusy }
