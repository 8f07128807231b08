package main

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/tier"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestKeys runs every operation on a cache that another process, as it were, has filled.
func TestKeys(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	client := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true})
	defer client.Close()
	cache, err := tier.Open(t.Context(), tier.Config{Name: "shop", Redis: client, RemoteTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close(context.WithoutCancel(t.Context()))
	orders, err := tier.NewSpace(cache, tier.SpaceConfig[string]{
		Name: "orders:account", Strategy: tier.TTL(time.Hour),
		Load: func(ctx context.Context, id string) (string, error) {
			tier.DependsOn(ctx, "product", "tea")
			return "orders of " + id, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"jp_1", "jp_2", "us_1"} {
		if _, err := orders.Get(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(args ...string) string {
		t.Helper()
		var out strings.Builder
		if err := run(t.Context(), append([]string{"-redis", "redis://" + addr, "-cache", "shop"}, args...), &out, io.Discard); err != nil {
			t.Fatal(args, err)
		}
		return out.String()
	}
	for ask("count", "*") != "3 entries\n" || strings.Count(ask("dependents", "product", "tea"), "\n") < 3 {
		time.Sleep(10 * time.Millisecond) // they are stored after their readers were answered
	}
	for _, row := range []struct{ args, want string }{
		{"dependents product tea", "orders:account:jp_1\n"},
		{"count orders:account:jp_?", "2 entries\n"},
		{"list *:us_1", "orders:account:us_1 "},
		{"-sample 2 usage *", "3 entries, "},
		{"-v delete *:jp_*", "2 entries deleted\n"},
		{"count *", "1 entries\n"},
	} {
		if got := ask(strings.Fields(row.args)...); !strings.Contains(got, row.want) {
			t.Errorf("%s: got %q; want %q", row.args, got, row.want)
		}
	}
	for _, args := range [][]string{{}, {"count"}, {"count", ""}, {"dependents", "product"}, {"sing", "*"}, {"-redis", "no", "count", "*"}} {
		if err := run(t.Context(), append([]string{"-redis", "redis://" + addr}, args...), io.Discard, io.Discard); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
