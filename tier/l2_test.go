package tier_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/remote"
	"github.com/tandem-cache/tandem/tier"
)

type order struct {
	ID    string
	Lines []string
	Total *int
}

// What one pod loads another decodes.
func TestValuesCrossPods(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	total, loads := 7, 0
	open := func() *tier.Space[*order] {
		return newSpace(t, openCache(t, tier.Config{Redis: connect(t, addr), RemoteTimeout: 2 * time.Second}), tier.SpaceConfig[*order]{
			Name: "orders:detail", Strategy: tier.CDC("feed"),
			Load: func(_ context.Context, id string) (*order, error) {
				loads++
				if id == "none" {
					return nil, nil
				}
				return &order{ID: id, Lines: []string{"x", "y"}, Total: &total}, nil
			},
		})
	}
	a, b := open(), open()
	id := tier.ID("acc:1", "jp")
	for _, id := range []string{id, "none"} {
		if _, err := a.Get(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		eventually(t, "L2 is filled", func() bool { _, ok := b.Peek(t.Context(), id); return ok })
	}
	got, err := b.Get(t.Context(), id)
	if err != nil || got.ID != id || len(got.Lines) != 2 || *got.Total != 7 {
		t.Errorf("got %+v, %v", got, err)
	}
	if none, err := b.Get(t.Context(), "none"); none != nil || err != nil {
		t.Errorf("got %+v, %v; want nil", none, err)
	}
	if loads != 2 {
		t.Errorf("%d loads; want 2", loads)
	}
}

// storedIn waits until L2 holds a value for row k and returns it.
func storedIn(t *testing.T, client *redis.Client) string {
	t.Helper()
	var raw string
	eventually(t, "L2 is filled", func() bool {
		raw = client.Get(t.Context(), "shop:test:row:k").Val()
		return strings.HasPrefix(raw, "V")
	})
	return raw
}

// An envelope that can't be read is a miss, counted and overwritten, and no error.
func TestUnreadableEnvelopeIsOverwritten(t *testing.T) {
	server := servertest.StartRedis(t)
	client := connect(t, server.Addr)
	src := &source{}
	newPod(t, server.Addr, src).want(t, "k", 0)
	good := storedIn(t, client)
	edit := func(change func(e *remote.Envelope)) string {
		e, err := remote.Decode([]byte(good))
		if err != nil {
			t.Fatal(err)
		}
		change(e)
		b, err := e.AppendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for name, test := range map[string]struct{ raw, reason string }{
		"empty":                 {"", "unreadable"},
		"junk":                  {"junk", "unreadable"},
		"truncated":             {good[:len(good)-1], "unreadable"},
		"a newer format":        {"V\x02" + good[2:], "unreadable"},
		"a foreign marker":      {"M9 of somebody who never expires", ""},
		"another codec":         {edit(func(e *remote.Envelope) { e.Codec = "json" }), "unreadable"},
		"an encrypted value":    {edit(func(e *remote.Envelope) { e.KeyID = 9 }), "sealed"},
		"another schema":        {edit(func(e *remote.Envelope) { e.Schema = 9 }), "schema"},
		"an expired value":      {edit(func(e *remote.Envelope) { e.Hard = time.Now().Add(-time.Second) }), "expired"},
		"a broken payload":      {edit(func(e *remote.Envelope) { e.Payload = []byte("\xc1") }), "unreadable"},
		"a payload of a string": {edit(func(e *remote.Envelope) { e.Payload = []byte("\xa1x") }), "unreadable"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := client.Set(t.Context(), "shop:test:row:k", test.raw, 0).Err(); err != nil {
				t.Fatal(err)
			}
			p := newPod(t, server.Addr, src)
			before := src.count("k")
			p.want(t, "k", 0)
			if n := src.count("k") - before; n != 1 {
				t.Errorf("%d loads; want 1", n)
			}
			if n := metric(t, p.cache, "tandem_dead_entries_total", test.reason); test.reason != "" && n != 1 {
				t.Errorf("counted %v times as %s; want 1", n, test.reason)
			}
			newPod(t, server.Addr, src).want(t, "k", 0)
			storedIn(t, client)
			eventually(t, "it is overwritten", func() bool {
				_, err := remote.Decode([]byte(client.Get(t.Context(), "shop:test:row:k").Val()))
				return err == nil
			})
		})
	}
}

func TestTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{}
		s := newSpace(t, openCache(t, tier.Config{}), tier.SpaceConfig[int]{Name: "a:b", Strategy: tier.TTL(time.Minute), Load: src.load})
		src.onRead(func(string, int) { time.Sleep(5 * time.Second) }) // counts: the value is as old as its read
		get := func(want int) {
			t.Helper()
			if got, err := s.Get(t.Context(), "k"); got != want || err != nil {
				t.Errorf("got %d, %v; want %d", got, err, want)
			}
		}
		get(0)
		src.write("k")
		time.Sleep(55*time.Second - 1)
		get(0)
		time.Sleep(time.Nanosecond)
		get(1)
	})
}

// The life of a value in L2 and in the L1 of whoever reads it there is what its writer gave it.
func TestTTLCrossesPods(t *testing.T) {
	server := servertest.StartRedis(t)
	src := &source{}
	open := func() *tier.Space[int] {
		c := openCache(t, tier.Config{Redis: connect(t, server.Addr), RemoteTimeout: 2 * time.Second})
		return newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.Hybrid("feed", 2*time.Second), Load: src.load})
	}
	a, b := open(), open()
	began := time.Now()
	get := func(s *tier.Space[int]) int {
		v, err := s.Get(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	get(a)
	client := connect(t, server.Addr)
	storedIn(t, client)
	if ttl := client.PTTL(t.Context(), "shop:test:row:k").Val(); ttl <= 0 || ttl > 2*time.Second {
		t.Errorf("the value lives in Redis for %s; want at most 2 s", ttl)
	}
	src.write("k")
	get(b)
	eventually(t, "the new version shows", func() bool { return get(b) == 1 })
	if took := time.Since(began); took < 1900*time.Millisecond || src.count("k") != 2 {
		t.Errorf("it showed after %s and %d loads; want 2 s and 2 loads", took, src.count("k"))
	}
}

// A value that can't be stored is returned, logged and counted.
func TestValueThatDoesNotEncode(t *testing.T) {
	withAndWithout(t, func(t *testing.T, addr string) {
		cfg := tier.Config{RemoteTimeout: 2 * time.Second}
		if addr != "" {
			cfg.Redis = connect(t, addr)
		}
		c := openCache(t, cfg)
		s := newSpace(t, c, tier.SpaceConfig[func() int]{
			AllowLoss: []string{tier.AllowAnyLoss},
			Name:      "a:b", Strategy: tier.CDC("f"),
			Load: func(context.Context, string) (func() int, error) { return func() int { return 42 }, nil },
		})
		for range 2 {
			f, err := s.Get(t.Context(), "k")
			if err != nil || f() != 42 {
				t.Fatalf("got %v; want the value", err)
			}
		}
		if n := metric(t, c, "tandem_refused_fills_total", "encode"); n != 2 {
			t.Errorf("counted %v times; want 2", n)
		}
	})
}

func TestDependsOn(t *testing.T) {
	p := newPod(t, "", &source{})
	_, err := p.GetWith(t.Context(), "a", func(ctx context.Context, _ string) (int, error) {
		tier.DependsOn(ctx, "a b", "1")
		tier.DependsOn(ctx, "row", "")
		return 0, nil
	})
	wantError(t, err, `DependsOn("a b", "1")`, `DependsOn("row", "")`)
	tier.DependsOn(t.Context(), "row", "1") // outside a load: nothing
}

// Invalidating one object outdates exactly the entries that depend on it, in every space.
func TestInvalidateTagIsExact(t *testing.T) {
	withAndWithout(t, func(t *testing.T, addr string) {
		cfg := tier.Config{RemoteTimeout: 2 * time.Second}
		if addr != "" {
			cfg.Redis = connect(t, addr)
		}
		c := openCache(t, cfg)
		loads := make(map[string]int)
		space := func(name string) *tier.Space[int] {
			return newSpace(t, c, tier.SpaceConfig[int]{
				Name: name, Strategy: tier.CDC("feed"),
				Load: func(ctx context.Context, id string) (int, error) {
					loads[name+id]++
					for product := range strings.SplitSeq(id, "+") {
						tier.DependsOn(ctx, "product", product)
					}
					return loads[name+id], nil
				},
			})
		}
		a, b := space("catalog:page"), space("catalog:list")
		want := func(s *tier.Space[int], id string, n int) {
			t.Helper()
			if got, err := s.Get(t.Context(), id); got != n || err != nil {
				t.Errorf("%q: load %d, %v; want %d", id, got, err, n)
			}
		}
		for _, s := range []*tier.Space[int]{a, b} {
			want(s, "1+2", 1)
			want(s, "2+3", 1)
			want(s, "3", 1)
		}
		if err := c.InvalidateTag(t.Context(), "product", "2"); err != nil {
			t.Fatal(err)
		}
		for _, s := range []*tier.Space[int]{a, b} {
			want(s, "1+2", 2)
			want(s, "2+3", 2)
			want(s, "3", 1)
		}
		if err := c.Invalidate(t.Context(), tier.Entity("product")); err != nil {
			t.Fatal(err)
		}
		want(a, "3", 2)
		if err := a.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		want(a, "3", 3)
		want(b, "3", 2)
	})
}

func TestPeekNeitherLoadsNorStores(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	src := &source{}
	a, b := newPod(t, addr, src), newPod(t, addr, src)
	if v, ok := a.Peek(t.Context(), "k"); ok {
		t.Errorf("found %d where nothing was loaded", v)
	}
	if _, ok := a.Peek(t.Context(), ""); ok {
		t.Error("found an empty identifier")
	}
	src.write("k")
	a.want(t, "k", 1)
	eventually(t, "another pod sees it in L2", func() bool { v, ok := b.Peek(t.Context(), "k"); return ok && v == 1 })
	if n := src.count("k"); n != 1 {
		t.Errorf("%d loads; want 1", n)
	}
}
