package tier_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/tier"
)

var errNoRow = fmt.Errorf("no row: %w", tier.ErrNotFound)

// A table is a source that at first has nothing, and then has one row.
type table struct {
	has   atomic.Bool
	loads atomic.Int32
}

func (s *table) load(ctx context.Context, id string) (any, error) {
	s.loads.Add(1)
	tier.DependsOn(ctx, "row", id)
	if s.has.Load() {
		return "row", nil
	}
	return nil, errNoRow
}

func (s *table) open(t *testing.T, cfg tier.Config, ttl time.Duration) (*tier.Cache, *tier.Space[any]) {
	c := openCache(t, cfg)
	strategy := tier.CDC("feed")
	if ttl > 0 {
		strategy = tier.TTL(ttl)
	}
	return c, newSpace(t, c, tier.SpaceConfig[any]{Name: "test:row", Strategy: strategy, Load: s.load, NegativeTTL: 10 * time.Second})
}

func wantAbsent(t *testing.T, s *tier.Space[any], src *table, loads int32) {
	t.Helper()
	v, err := s.Get(t.Context(), "k")
	if v != nil || !errors.Is(err, tier.ErrNotFound) {
		t.Errorf("got %v, %v; want ErrNotFound", v, err)
	}
	if n := src.loads.Load(); n != loads {
		t.Errorf("%d loads; want %d", n, loads)
	}
}

// That there is no row is remembered in both tiers, and an insert outdates it in each.
func TestAbsenceIsRememberedUntilTheInsert(t *testing.T) {
	for name, invalidate := range map[string]func(*tier.Cache) error{
		"key":   func(c *tier.Cache) error { return c.Invalidate(t.Context(), tier.Key("test:row", "k")) },
		"tag":   func(c *tier.Cache) error { return c.InvalidateTag(t.Context(), "row", "k") },
		"space": func(c *tier.Cache) error { return c.Invalidate(t.Context(), tier.SpaceName("test:row")) },
	} {
		t.Run(name, func(t *testing.T) {
			addr, src := servertest.StartRedis(t).Addr, &table{}
			client := connect(t, addr)
			ca, a := src.open(t, tier.Config{Redis: client, RemoteTimeout: 2 * time.Second}, 0)
			_, b := src.open(t, tier.Config{Redis: connect(t, addr), RemoteTimeout: 2 * time.Second}, 0)
			wantAbsent(t, a, src, 1)
			wantAbsent(t, a, src, 1)
			eventually(t, "L2 knows", func() bool { return client.StrLen(t.Context(), "shop:test:row:k").Val() > 50 })
			if left := client.PTTL(t.Context(), "shop:test:row:k").Val(); left <= 0 || left > 10*time.Second {
				t.Errorf("L2 remembers it for %s; want 10 s", left)
			}
			wantAbsent(t, b, src, 1)
			if _, ok := b.Peek(t.Context(), "k"); ok {
				t.Error("Peek has found something")
			}
			src.has.Store(true)
			if err := invalidate(ca); err != nil {
				t.Fatal(err)
			}
			if v, err := a.Get(t.Context(), "k"); v != "row" || err != nil {
				t.Errorf("got %v, %v after the insert", v, err)
			}
			eventually(t, "the other pod has the row", func() bool { v, err := b.Get(t.Context(), "k"); return v == "row" && err == nil })
		})
	}
}

func TestNegativeTTL(t *testing.T) {
	for name, test := range map[string]struct{ ttl, want time.Duration }{
		"of its own":              {0, 10 * time.Second},
		"bounded by the strategy": {3 * time.Second, 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := &table{}
				_, s := src.open(t, tier.Config{}, test.ttl)
				wantAbsent(t, s, src, 1)
				time.Sleep(test.want - time.Millisecond)
				wantAbsent(t, s, src, 1)
				time.Sleep(2 * time.Millisecond)
				wantAbsent(t, s, src, 2)
			})
		})
	}
}

// A loader that reads what is not there stands on its absence.
func TestNestedAbsence(t *testing.T) {
	withAndWithout(t, func(t *testing.T, addr string) {
		src := &table{}
		cfg := tier.Config{}
		if addr != "" {
			cfg = tier.Config{Redis: connect(t, addr), RemoteTimeout: 2 * time.Second}
		}
		c, rows := src.open(t, cfg, 0)
		page := newSpace(t, c, tier.SpaceConfig[string]{
			Name: "test:page", Strategy: tier.CDC("feed"),
			Load: func(ctx context.Context, id string) (string, error) {
				if _, err := rows.Get(ctx, id); err != nil {
					return "empty", nil
				}
				return "full", nil
			},
		})
		want := func(want string) {
			t.Helper()
			if got, err := page.Get(t.Context(), "k"); got != want || err != nil {
				t.Errorf("got %q, %v; want %q", got, err, want)
			}
		}
		want("empty")
		src.has.Store(true)
		want("empty") // stored: nobody told
		if err := c.InvalidateTag(t.Context(), "row", "k"); err != nil {
			t.Fatal(err)
		}
		want("full")
	})
}

func TestAbsentHitAllocatesNothing(t *testing.T) {
	src := &table{}
	_, s := src.open(t, tier.Config{}, 0)
	wantAbsent(t, s, src, 1)
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() { _, _ = s.Get(ctx, "k") }); n != 0 {
		t.Errorf("%v allocations; want 0", n)
	}
}

// A loader that panics with an ErrNotFound has not said that there is nothing.
func TestPanicWithNotFoundIsNotRemembered(t *testing.T) {
	p := newPod(t, "", &source{})
	s := newSpace(t, p.cache, tier.SpaceConfig[int]{Name: "test:must", Strategy: tier.TTL(time.Hour), Load: func(context.Context, string) (int, error) {
		panic(fmt.Errorf("must: %w", tier.ErrNotFound))
	}})
	for range 2 {
		_, err := s.Get(t.Context(), "k")
		if panicked := new(tier.PanicError); !errors.As(err, &panicked) {
			t.Errorf("got %v; want a PanicError", err)
		}
	}
}
