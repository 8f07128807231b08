package main

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestEmbedded(t *testing.T) {
	s := startShop(t, config{pods: 3})
	testChangedProduct(t, s)
}

// testChangedProduct changes a product by one pod. Every pod must show it, and no list without the product may be loaded again.
func testChangedProduct(t *testing.T, s *shop) {
	t.Helper()
	const with, without = "/catalog/internet/acc_001/jp", "/catalog/internet/acc_001/de"
	for _, path := range []string{with, without} {
		for i, p := range s.pods {
			body, cache := s.get(p, path)
			if got, want := strings.Contains(body, `"prd_0001"`), path == with; got != want {
				t.Fatalf("%s has prd_0001: %t; want %t: %s", path, got, want, body)
			}
			if want := []string{"miss", "hit", "hit"}[i]; cache != want {
				t.Errorf("%s on %s was a %s; want a %s: one load for all pods", path, p.name, cache, want)
			}
		}
	}

	s.do(s.pods[2], http.MethodPut, "/products/prd_0001", `{"priceCents": 4242}`, http.StatusNoContent)
	s.await(with, `"id":"prd_0001","name":"red lamp","priceCents":4242`)

	before := s.misses()
	if before < 3 {
		t.Errorf("%d loads; want one of each list and at least one after the change", before)
	}
	for _, p := range s.pods {
		if _, cache := s.get(p, without); cache != "hit" {
			t.Errorf("%s on %s was loaded again: the changed product isn't in it", without, p.name)
		}
	}
	if after := s.misses(); after != before {
		t.Errorf("%d loads of lists; want %d", after, before)
	}
}

func TestChangedOrder(t *testing.T) {
	s := startShop(t, config{pods: 2})
	for _, path := range []string{"/orders/acc_007", "/orders/acc_007/ord_03"} {
		s.await(path, `"ord_03"`)
	}
	s.do(s.pods[0], http.MethodPut, "/orders/acc_007/ord_03", `{"status": "returned"}`, http.StatusNoContent)
	s.await("/orders/acc_007", `"id":"ord_03","status":"returned"`)
	s.await("/orders/acc_007/ord_03", `"id":"ord_03","status":"returned"`)
}

// TestHandOver stops the pod that follows the catalog's feed: another must take over where it was.
func TestHandOver(t *testing.T) {
	s := startShop(t, config{pods: 3})
	const path = "/catalog/internet/acc_001/jp"
	s.await(path, `"priceCents":500`)

	var left []*pod
	for _, p := range s.pods {
		if !p.followers[catalogFeed].Stats().Connected {
			left = append(left, p)
			continue
		}
		if err := p.close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(left) != 2 {
		t.Fatalf("%d pods don't follow; want 2", len(left))
	}
	s.pods = left
	s.do(s.pods[0], http.MethodPut, "/products/prd_0001", `{"priceCents": 777}`, http.StatusNoContent)
	s.await(path, `"priceCents":777`)
	for _, p := range s.pods {
		if n := p.followers[catalogFeed].Stats().Flushes; n != 0 {
			t.Errorf("%s flushed %d times; want 0: nothing was lost", p.name, n)
		}
	}
}

func TestCatalogHealth(t *testing.T) {
	s := startShop(t, config{pods: 1})
	p := s.pods[0]
	for _, path := range []string{
		"/catalog/internet/acc_001/jp", "/catalog/internet/acc_001/jp", "/catalog/internet/acc_001/jp",
		"/catalog/static/jp", "/catalog/static/de",
		"/catalog/volatile/prd_0001", "/catalog/volatile/prd_0001",
	} {
		s.get(p, path)
	}
	got, _ := s.get(p, "/health/catalog/cache")
	want := `{"timestamp":"TIME","metrics":{"catalog":{"hits":2,"misses":1},"static":{"hits":0,"misses":2},` +
		`"volatile":{"hits":1,"misses":1},"invalidations":N},` +
		`"ttl":{"catalogSeconds":null,"staticSeconds":null,"volatileSeconds":60}}`
	got = regexp.MustCompile(`"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"`).ReplaceAllString(got, `"TIME"`)
	got = regexp.MustCompile(`"invalidations":\d+`).ReplaceAllString(got, `"invalidations":N`) // the flush that a feed begins with
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	s.get(p, "/health")
	s.get(p, "/health/cdc/"+ordersFeed)
}

func TestMetrics(t *testing.T) {
	s := startShop(t, config{pods: 1})
	s.get(s.pods[0], "/catalog/static/jp")
	body, _ := s.get(s.pods[0], "/metrics")
	const want = `tandem_loads_total{cache="storefront",space="catalog:static"} 1`
	if !strings.Contains(body, want) {
		t.Errorf("no line %s in\n%s", want, body)
	}
}

// TestOddIdentifiers reads what no key may be confused by.
func TestOddIdentifiers(t *testing.T) {
	s := startShop(t, config{pods: 1})
	p := s.pods[0]
	if body, _ := s.get(p, "/users/idp%7Cuser_0003"); body != `{"externalId":"idp|user_0003","account":"acc_002"}` {
		t.Errorf("got user %s", body)
	}
	if body, _ := s.get(p, "/orders/acc%3A%25%7B1%7D"); body != `{"account":"acc:%{1}","orders":[]}` {
		t.Errorf("got orders %s", body)
	}
	for path, want := range map[string]int{
		"/orders/acc_001%3Aord_01":       http.StatusOK, // an account of that name, which has no orders
		"/orders/acc_001/ord_99":         http.StatusNotFound,
		"/catalog/internet/acc_001/nope": http.StatusNotFound,
		"/catalog/phone/acc_001/jp":      http.StatusNotFound,
		"/users/nobody":                  http.StatusNotFound,
	} {
		s.do(p, http.MethodGet, path, "", want)
	}
	s.do(p, http.MethodPut, "/products/prd_0001", `{"priceCents": -1}`, http.StatusBadRequest)
	s.do(p, http.MethodPut, "/products/prd_0001", `{"price": 1}`, http.StatusBadRequest)
	s.do(p, http.MethodPut, "/products/prd_9999", `{"priceCents": 1}`, http.StatusNotFound)
}

// TestAbsentIsRemembered asks twice for what is not there.
func TestAbsentIsRemembered(t *testing.T) {
	s := startShop(t, config{pods: 1})
	for _, want := range []string{"miss", "hit"} {
		if _, cache := s.do(s.pods[0], http.MethodGet, "/catalog/internet/acc_001/nope", "", http.StatusNotFound); cache != want {
			t.Errorf("got a %s; want a %s", cache, want)
		}
	}
}

func TestInvoices(t *testing.T) {
	s := startShop(t, config{pods: 2})
	first, cache := s.get(s.pods[0], "/invoices/acc_001")
	if cache != "miss" || !strings.Contains(first, `"account":"acc_001"`) {
		t.Errorf("got a %s, %s", cache, first)
	}
	if again, cache := s.get(s.pods[1], "/invoices/acc_001"); cache != "hit" || again != first {
		t.Errorf("got a %s on another pod, %s; want a hit, %s", cache, again, first)
	}
}

// TestEmbeddedRedisExpires: without the ticker a lease of a dead holder would stand for ever.
func TestEmbeddedRedisExpires(t *testing.T) {
	r, err := embedRedis()
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	client := r.connect()
	defer func() { _ = client.Close() }()
	if err := client.Set(t.Context(), "key", "value", 100*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); client.Exists(t.Context(), "key").Val() != 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the key is still there")
		}
	}
}
