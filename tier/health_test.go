package tier_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/tier"
)

func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	body, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got := w.Header().Get("Content-Type"); got != "application/json" && w.Code != http.StatusMethodNotAllowed {
		t.Errorf("%s: Content-Type %q", path, got)
	}
	return w.Code, strings.TrimSpace(string(body))
}

func TestDomainHealth(t *testing.T) {
	c := openCache(t, tier.Config{})
	src := &source{}
	open := func(cfg tier.SpaceConfig[int]) *tier.Space[int] {
		cfg.Load = src.load
		return newSpace(t, c, cfg)
	}
	catalog := open(tier.SpaceConfig[int]{Name: "catalog:internet", Bucket: "catalog", Strategy: tier.CDC("catalog-feed")})
	static := open(tier.SpaceConfig[int]{Name: "catalog:static", Strategy: tier.CDC("catalog-feed")})
	open(tier.SpaceConfig[int]{Name: "catalog:volatile", Strategy: tier.Hybrid("catalog-feed", time.Minute)})
	open(tier.SpaceConfig[int]{Name: "invoices:account", Strategy: tier.TTL(90 * time.Second)})
	for _, id := range []string{"a", "b", "a", "a"} {
		if _, err := catalog.Get(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := static.Get(t.Context(), "s"); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		catalog.Invalidate(t.Context(), "a", "b"),
		static.Flush(t.Context()),
		c.InvalidateTag(t.Context(), "row", "a"),       // two spaces of the domain: counts once
		c.InvalidateTag(t.Context(), "unrelated", "a"), // nobody depends on it
		c.Invalidate(t.Context(), tier.Key("invoices:account", "x")),
		c.Invalidate(t.Context(), // four of them concern the domain
			tier.Key("catalog:internet", "a:b"), tier.Key("catalog:internet", "c"), tier.Key("catalog:internets", "d"),
			tier.Tag("row", "x"), tier.Tag("rows", "y"), tier.Entity("row"), tier.Entity("rows")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	code, body := get(t, c.HealthHandler(), "/health/catalog/cache")
	body = regexp.MustCompile(`"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"`).ReplaceAllString(body, `"TIME"`)
	const want = `{"timestamp":"TIME",` +
		`"metrics":{"catalog":{"hits":2,"misses":2},"static":{"hits":0,"misses":1},"volatile":{"hits":0,"misses":0},"invalidations":8},` +
		`"ttl":{"catalogSeconds":null,"staticSeconds":null,"volatileSeconds":60}}`
	if code != http.StatusOK || body != want {
		t.Errorf("got %d %s\nwant %s", code, body, want)
	}
	if code, body := get(t, c.HealthHandler(), "/health/nothing/cache"); code != http.StatusNotFound || !strings.Contains(body, "error") {
		t.Errorf("an unknown domain: got %d %s", code, body)
	}
}

func TestHealth(t *testing.T) {
	server := servertest.StartRedis(t)
	a, b := newPod(t, server.Addr, &source{}), newPod(t, server.Addr, &source{})
	f, err := a.cache.Feed("feed")
	if err != nil {
		t.Fatal(err)
	}
	health := func(p pod) (h tier.Health) {
		t.Helper()
		code, body := get(t, p.cache.HealthHandler(), "/health")
		if err := json.Unmarshal([]byte(body), &h); err != nil || code != http.StatusOK {
			t.Fatalf("%d %s: %v", code, body, err)
		}
		return h
	}
	h := health(b)
	if diff := cmp.Diff([]tier.SpaceHealth{{Name: "test:row", Bucket: "row", Strategy: "cdc(feed)", Fallback: true}}, h.Spaces); diff != "" {
		t.Errorf("spaces (-want +got):\n%s", diff)
	}
	if h.Status != "degraded" || len(h.Problems) != 1 || !strings.Contains(h.Problems[0], "the feed feed is not fresh (silent): entries of test:row live for 1m0s") || !h.Redis.Connected || !h.L1.Trusted {
		t.Errorf("before the feed was heard: got %+v; want it degraded by the feed alone", h)
	}
	committed := time.Date(2025, 11, 18, 10, 30, 0, 0, time.UTC)
	if err := f.Report(t.Context(), "", []string{"no route for public.audit"}, "16/B374D848", committed, 1500*time.Millisecond, map[string]uint64{"rewinds": 2}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the report arrives at the other pod", func() bool { return health(b).Status == "ok" })
	for i, p := range []pod{a, b} {
		code, body := get(t, p.cache.HealthHandler(), "/health/cdc/feed")
		for _, part := range []string{
			`"feed":"feed"`, `"connected":true`, `"silent":false`, `"fallback":false`, `"freshForSeconds":28.`, `"position":"16/B374D848"`, `"lagSeconds":1.5`,
			`"lastCommit":"2025-11-18T10:30:00.000Z"`, `"spaces":["test:row"]`, `"warnings":["no route for public.audit"]`, `"follower":{"rewinds":2}`,
		} {
			if !strings.Contains(body, part) || code != http.StatusOK {
				t.Errorf("pod %d: got %d %s; want it to have %s", i, code, body, part)
			}
		}
		if w := health(p).Warnings; !slices.Contains(w, "the feed feed: no route for public.audit") {
			t.Errorf("pod %d: the warnings are %q; want the follower's among them", i, w)
		}
		if n := metric(t, p.cache, "tandem_feed_connected", "feed"); n != 1 {
			t.Errorf("pod %d: tandem_feed_connected is %v; want 1", i, n)
		}
	}
	if code, _ := get(t, b.cache.HealthHandler(), "/health/cdc/nobody"); code != http.StatusNotFound {
		t.Errorf("an unknown feed: got %d", code)
	}
	server.Stop()
	eventually(t, "health shows that Redis is down", func() bool {
		h := health(b)
		return h.Status == "degraded" && !h.Redis.Connected && h.Redis.Error != "" && !h.L1.Trusted
	})
	if err := b.cache.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if code, body := get(t, b.cache.HealthHandler(), "/health"); code != http.StatusServiceUnavailable || !strings.Contains(body, `"closed"`) {
		t.Errorf("closed: got %d %s", code, body)
	}
}

// The numbers of /metrics are those that happened.
func TestMetrics(t *testing.T) {
	server := servertest.StartRedis(t)
	src := &source{}
	a, b := newPod(t, server.Addr, src), newPod(t, server.Addr, src)
	heard(t, b, a)
	a.want(t, "k", 0)
	a.want(t, "k", 0)
	eventually(t, "L2 is filled", func() bool { _, ok := b.Peek(t.Context(), "k"); return ok })
	b.want(t, "k", 0)
	_ = a.Invalidate(t.Context(), "k")
	for _, p := range []pod{a, b} {
		eventually(t, "the invalidation arrives", func() bool { return metric(t, p.cache, "tandem_invalidations_total", "api") >= 2 })
		if got := metric(t, p.cache, "tandem_invalidations_total", "api"); got != 2 {
			t.Errorf("%v invalidations; want 2, each counted once also on the pod that made it", got)
		}
	}
	for name, test := range map[string]struct {
		pod    pod
		labels []string
		want   float64
	}{
		"tandem_hits_total":        {a, []string{"test:row", "l1"}, 1},
		"tandem_loads_total":       {a, []string{"test:row"}, 1},
		"tandem_load_seconds":      {a, []string{"test:row"}, 1},
		"tandem_read_seconds":      {a, []string{"test:row", "source"}, 1},
		"tandem_load_errors_total": {a, []string{"test:row"}, 0},
		"tandem_l1_trusted":        {a, nil, 1},
		"tandem_bus_resyncs_total": {a, nil, 1},
	} {
		if got := metric(t, test.pod.cache, name, test.labels...); got != test.want {
			t.Errorf("%s%v is %v; want %v", name, test.labels, got, test.want)
		}
	}
	if got := metric(t, b.cache, "tandem_hits_total", "l2"); got != 1 {
		t.Errorf("hits of L2 on the other pod: %v; want 1", got)
	}
	if got := metric(t, b.cache, "tandem_loads_total"); got != 0 {
		t.Errorf("loads of the other pod: %v; want 0", got)
	}
}
