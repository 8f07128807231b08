package tier_test

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/tier"
)

func TestOpenRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		cfg  tier.Config
		want []string
	}{
		"no name":       {tier.Config{}, []string{"Config.Name"}},
		"a colon":       {tier.Config{Name: "a:b"}, []string{"Config.Name", "':'"}},
		"a typed nil":   {tier.Config{Name: "a", Redis: (*redis.Client)(nil)}, []string{"Config.Redis", "nil", "L1 alone"}},
		"several":       {tier.Config{L1Bytes: -1, RemoteTimeout: -1, MaxLoads: -1}, []string{"Config.Name", "L1Bytes", "RemoteTimeout", "MaxLoads"}},
		"another type":  {tier.Config{Name: "a", Redis: struct{ redis.UniversalClient }{}}, []string{"Config.Redis", "not supported"}},
		"cluster as is": {tier.Config{Name: "a", Redis: redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}})}, []string{"ContextTimeoutEnabled"}},
	} {
		_, err := tier.Open(t.Context(), test.cfg)
		t.Run(name, func(t *testing.T) { wantError(t, err, test.want...) })
	}
}

func TestNewSpaceRefuses(t *testing.T) {
	c := openCache(t, tier.Config{})
	type config = tier.SpaceConfig[int]
	ttl := tier.TTL(time.Second)
	newSpace(t, c, config{Name: "a:b", Strategy: ttl})
	newSpace(t, c, config{Name: "a:c", Bucket: "cc", Strategy: ttl})
	for name, test := range map[string]struct {
		cfg  config
		want []string
	}{
		"the same name":         {config{Name: "a:b", Strategy: ttl}, []string{"a:b", "already"}},
		"the same bucket":       {config{Name: "a:d", Bucket: "cc", Strategy: ttl}, []string{"Bucket", "cc", "a:c"}},
		"health's own bucket":   {config{Name: "a:invalidations", Strategy: ttl}, []string{"Bucket", "invalidations"}},
		"health's own domain":   {config{Name: "cdc:b", Strategy: ttl}, []string{"cdc", "/health/cdc"}},
		"no colon":              {config{Name: "orders", Strategy: ttl}, []string{"orders", "domain:type"}},
		"two colons":            {config{Name: "a:b:c", Strategy: ttl}, []string{"a:b:c", "':'"}},
		"a brace":               {config{Name: "a:{b}", Strategy: ttl}, []string{"a:{b}", "'{'"}},
		"an empty name":         {config{Strategy: ttl}, []string{"domain:type"}},
		"neither feed nor TTL":  {config{Name: "a:e"}, []string{"Strategy", "tier.CDC", "tier.TTL", "tier.Hybrid"}},
		"a feed twice":          {config{Name: "a:e", Strategy: tier.CDC("x", "y", "x")}, []string{"Strategy", "twice"}},
		"no feed":               {config{Name: "a:e", Strategy: tier.CDC()}, []string{"Strategy", "feed's name is empty"}},
		"an empty second feed":  {config{Name: "a:e", Strategy: tier.Hybrid("x", time.Second, "")}, []string{"Strategy", "feed's name is empty"}},
		"too many feeds":        {config{Name: "a:e", Strategy: tier.CDC("1", "2", "3", "4", "5", "6", "7", "8", "9")}, []string{"Strategy", "at most 8"}},
		"an empty feed":         {config{Name: "a:e", Strategy: tier.Hybrid("", time.Second)}, []string{"Strategy", "feed's name is empty"}},
		"a negative TTL":        {config{Name: "a:e", Strategy: tier.TTL(-1)}, []string{"TTL", "positive"}},
		"a feed with a space":   {config{Name: "a:e", Strategy: tier.CDC("a b")}, []string{"feed", "a b"}},
		"a negative load time":  {config{Name: "a:e", Strategy: ttl, LoadTimeout: -1}, []string{"LoadTimeout"}},
		"a bucket with a slash": {config{Name: "a:e", Bucket: "x/y", Strategy: ttl}, []string{"Bucket", "x/y"}},
	} {
		_, err := tier.NewSpace(c, test.cfg)
		t.Run(name, func(t *testing.T) { wantError(t, err, test.want...) })
	}
	if _, err := tier.NewSpace(nil, config{Name: "a:b", Strategy: ttl}); err == nil {
		t.Error("a nil cache: no error")
	}
}

func TestReadsRefuseBadIdentifiers(t *testing.T) {
	p := newPod(t, "", &source{})
	for id, want := range map[string]string{"": "empty", "a{b}": "brace", strings.Repeat("x", 1025): "1025 bytes"} {
		_, err := p.Get(t.Context(), id)
		wantError(t, err, want, "test:row")
		wantError(t, p.Invalidate(t.Context(), id), want)
	}
	s := newSpace(t, p.cache, tier.SpaceConfig[int]{Name: "test:bare", Strategy: tier.CDC("feed")})
	_, err := s.Get(t.Context(), "a")
	wantError(t, err, "test:bare:a", "SpaceConfig.Load", "GetWith")
	_, err = s.GetWith(t.Context(), "a", nil)
	wantError(t, err, "test:bare:a", "GetWith")
}

func TestInvalidateRefusesBadNames(t *testing.T) {
	src := &source{}
	p := newPod(t, "", src)
	p.want(t, "a", 0)
	for _, name := range []string{"", "k", "k:", "test:row:a", "k:test:row", "k:test:row:", "t:row", "t::a", "s:test", "e:", "f:", "k:test:row:{a}", "t:row:", "e:row:a"} {
		err := p.cache.Invalidate(t.Context(), tier.Key("test:row", "a"), name)
		wantError(t, err, "tier: invalidate")
		var bad *tier.BadNameError
		if !asError(err, &bad) || !bad.Permanent() {
			t.Errorf("%q: got %T; want a BadNameError", name, err)
		}
	}
	err := p.cache.Invalidate(t.Context(), "t:r w:a", "t:r w:b", "t:row:c", "t:row:", "t:row:d")
	wantError(t, err, `"t:r w:a"`, `"t:r w:b"`, `"t:row:"`)
	if strings.Contains(err.Error(), "t:row:c") || strings.Contains(err.Error(), "t:row:d") {
		t.Errorf("got %v; want the malformed names alone", err)
	}
	p.want(t, "a", 0)
	if n := src.count("a"); n != 1 {
		t.Errorf("%d reads of the source; want 1: a refused call does nothing", n)
	}
}

func TestIDKeepsPartsApart(t *testing.T) {
	seen := make(map[string][]string)
	for _, parts := range [][]string{
		{"acc_001", "jp"}, {"acc_001:jp"}, {"acc_001", "", "jp"}, {"acc_001%3Ajp"}, {"{acc}"}, {"acc"}, {"a b"}, {"a\nb"}, {"a%20b"}, {"", ""}, {"日本", "x"},
	} {
		id := tier.ID(parts...)
		if other, ok := seen[id]; ok {
			t.Errorf("%q and %q both give %q", parts, other, id)
		}
		seen[id] = parts
		if diff := cmp.Diff(parts, tier.Parts(id)); diff != "" {
			t.Errorf("parts of %q (-want +got):\n%s", id, diff)
		}
		if strings.ContainsAny(id, "{} \n") {
			t.Errorf("%q gives %q", parts, id)
		}
	}
	if got := tier.ID("acc_001", "jp"); got != "acc_001:jp" {
		t.Errorf("got %q; want acc_001:jp", got)
	}
}

func TestEndlessTTL(t *testing.T) {
	withAndWithout(t, func(t *testing.T, addr string) {
		cfg := tier.Config{}
		if addr != "" {
			cfg.Redis = connect(t, addr)
		}
		n := 0
		s := newSpace(t, openCache(t, cfg), tier.SpaceConfig[int]{
			Name: "a:b", Strategy: tier.TTL(math.MaxInt64),
			Load: func(context.Context, string) (int, error) { n++; return 1, nil },
		})
		for range 3 {
			if _, err := s.Get(t.Context(), "k"); err != nil {
				t.Fatal(err)
			}
		}
		if n != 1 {
			t.Errorf("%d loads; want 1", n)
		}
	})
}

func TestSpacesDoNotMix(t *testing.T) {
	c := openCache(t, tier.Config{})
	load := func(v string) func(context.Context, string) (string, error) {
		return func(context.Context, string) (string, error) { return v, nil }
	}
	a := newSpace(t, c, tier.SpaceConfig[string]{Name: "a:b", Strategy: tier.TTL(time.Hour), Load: load("one")})
	b := newSpace(t, c, tier.SpaceConfig[string]{Name: "a:c", Strategy: tier.TTL(time.Hour), Load: load("two")})
	for range 2 {
		x, _ := a.Get(t.Context(), "id")
		y, _ := b.Get(t.Context(), "id")
		if x != "one" || y != "two" {
			t.Errorf("got %q and %q", x, y)
		}
	}
}
