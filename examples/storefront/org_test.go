package main

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/tier"
)

func TestSalesforce(t *testing.T) {
	s := startShop(t, config{pods: 3, salesforce: true})
	t.Run("changed by HTTP", func(t *testing.T) { testChangedProduct(t, s) })
	t.Run("order", func(t *testing.T) {
		for _, path := range []string{"/orders/acc_007", "/orders/acc_007/ord_03"} {
			s.await(path, `"ord_03"`)
		}
		s.do(s.pods[0], http.MethodPut, "/orders/acc_007/ord_03", `{"status": "returned"}`, http.StatusNoContent)
		s.await("/orders/acc_007", `"id":"ord_03","status":"returned"`)
		s.await("/orders/acc_007/ord_03", `"id":"ord_03","status":"returned"`)
	})
}

// events is what GET /health/sf-events answers.
func (s *shop) events(p *pod) (status string, feeds map[string]tier.FeedHealth) {
	s.t.Helper()
	body, _ := s.get(p, "/health/sf-events")
	var h struct {
		Status string
		Feeds  map[string]tier.FeedHealth
	}
	if err := json.Unmarshal([]byte(body), &h); err != nil {
		s.t.Fatalf("%v in %s", err, body)
	}
	return h.Status, h.Feeds
}

// Each pod answers for both feeds, with what keeps one from being connected, and how it is again.
func TestSalesforceHealth(t *testing.T) {
	s := startShop(t, config{pods: 2, salesforce: true})
	server := s.store.(*org).server
	until := func(what string, ok func(status string, feeds map[string]tier.FeedHealth) bool) {
		t.Helper()
		for _, p := range s.pods {
			for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
				status, feeds := s.events(p)
				if ok(status, feeds) {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("%s: not %s: %s %+v", p.name, what, status, feeds)
				}
			}
		}
	}
	fine := func(status string, feeds map[string]tier.FeedHealth) bool {
		return status == "ok" && len(feeds) == 2 && feeds[ordersFeed].Connected && feeds[catalogFeed].Connected &&
			feeds[ordersFeed].Position != "" && feeds[ordersFeed].Problem == ""
	}
	until("connected", fine)
	if err := server.Deny("/data/Catalog__chn", true); err != nil {
		t.Fatal(err)
	}
	server.Cut()
	until("degraded by the catalog alone, with its problem", func(status string, feeds map[string]tier.FeedHealth) bool {
		return status == "degraded" && feeds[ordersFeed].Connected && !feeds[catalogFeed].Connected && feeds[catalogFeed].Problem != ""
	})
	s.do(s.pods[0], http.MethodGet, "/health/sf-events/nothing", "", http.StatusNotFound)
}

// A pod that ends hands its feeds over where it was: nothing is lost, and nothing flushed.
func TestSalesforceHandOver(t *testing.T) {
	s := startShop(t, config{pods: 2, salesforce: true})
	const path = "/catalog/internet/acc_001/jp"
	s.await(path, `"priceCents":500`)
	leader := 0
	if s.pods[0].followers[catalogFeed].Stats().Standby {
		leader = 1
	}
	if !s.pods[1-leader].followers[catalogFeed].Stats().Standby {
		t.Fatal("both pods follow the catalog; want one")
	}
	if err := s.pods[leader].close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.pods = s.pods[1-leader : 2-leader]
	s.do(s.pods[0], http.MethodPut, "/products/prd_0001", `{"priceCents": 777}`, http.StatusNoContent)
	s.await(path, `"priceCents":777`)
	if n := s.pods[0].followers[catalogFeed].Stats().Flushes; n != 0 {
		t.Errorf("the other pod flushed %d times; want 0: nothing was lost", n)
	}
}

func TestSalesforceGuide(t *testing.T) { testGuide(t, config{salesforce: true}, nil) }

func TestSalesforceOrDatabase(t *testing.T) {
	if _, err := openStore(t.Context(), config{salesforce: true, databaseURL: "postgres://nowhere", log: quiet()}); err == nil {
		t.Error("both: no error")
	}
}
