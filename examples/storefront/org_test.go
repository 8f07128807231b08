package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/cdc/salesforce/salesforcetest"
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

// A changed order outdates its list and itself, and neither the account's other orders nor everything.
func TestSalesforceOutdatesLittle(t *testing.T) {
	s := startShop(t, config{pods: 1, salesforce: true})
	p := s.pods[0]
	const other = "/orders/acc_007/ord_04"
	for _, path := range []string{"/orders/acc_007", other} {
		s.get(p, path)
	}
	s.do(p, http.MethodPut, "/orders/acc_007/ord_03", `{"status": "returned"}`, http.StatusNoContent)
	s.await("/orders/acc_007", `"id":"ord_03","status":"returned"`)
	if _, cache := s.get(p, other); cache != "hit" {
		t.Errorf("%s was loaded again: another order was changed", other)
	}
}

// A new order outdates the list that doesn't know it, by the account; one that goes is known by its id.
func TestSalesforceOrderComesAndGoes(t *testing.T) {
	s := startShop(t, config{pods: 1, salesforce: true})
	o := s.store.(*org)
	const list, other = "/orders/acc_007", "/orders/acc_008"
	s.get(s.pods[0], list)
	s.get(s.pods[0], other)
	change := func(orders func(map[string]*Order), c salesforcetest.Change) {
		t.Helper()
		o.memory.mu.Lock()
		orders(o.orders["acc_007"])
		o.memory.mu.Unlock()
		c.Entity, c.IDs = orderEntity, []string{o.orderRecord("acc_007", "ord_99")}
		if _, err := o.server.Change(c); err != nil {
			t.Fatal(err)
		}
	}
	change(func(orders map[string]*Order) {
		orders["ord_99"] = &Order{Account: "acc_007", ID: "ord_99", Status: "placed"}
	},
		salesforcetest.Change{Type: "CREATE", Fields: map[string]any{"Account__c": "acc_007", "Status": "placed"}})
	s.await(list, `"ord_99"`)
	change(func(orders map[string]*Order) { delete(orders, "ord_99") }, salesforcetest.Change{Type: "DELETE"})
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		body, _ := s.get(s.pods[0], list)
		if !strings.Contains(body, `"ord_99"`) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%s still has the order: %s", list, body)
		}
	}
	if _, cache := s.get(s.pods[0], other); cache != "hit" {
		t.Errorf("%s was loaded again: it is another account's", other)
	}
}

// While the org is down, what is cached is served; when it is up again, what changed meanwhile arrives, without a flush.
func TestSalesforceIsDown(t *testing.T) {
	s := startShop(t, config{pods: 1, salesforce: true})
	server := s.store.(*org).server
	p := s.pods[0]
	const path = "/catalog/internet/acc_001/jp"
	s.await(path, `"priceCents":500`)
	server.Stop()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		status, feeds := s.events(p)
		if status == "degraded" && !feeds[catalogFeed].Connected && strings.Contains(feeds[catalogFeed].Problem, "salesforce: ") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the org is down: %s %+v", status, feeds)
		}
	}
	s.do(p, http.MethodPut, "/products/prd_0001", `{"priceCents": 4242}`, http.StatusNoContent)
	s.get(p, path)
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	s.await(path, `"priceCents":4242`)
	if n := p.followers[catalogFeed].Stats().Flushes; n != 1 {
		t.Errorf("flushed %d times; want once, at the start", n)
	}
}

// The feeds' health is there whatever they come from.
func TestFeedsHealthOfTheEmbeddedStore(t *testing.T) {
	s := startShop(t, config{pods: 1})
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		status, feeds := s.events(s.pods[0])
		if status == "ok" && len(feeds) == 2 && feeds[ordersFeed].Connected && feeds[catalogFeed].Connected {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s %+v", status, feeds)
		}
	}
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

// An event that nobody can read outdates its whole entity, is counted in every pod's health, and the feed goes on.
func TestSalesforcePoison(t *testing.T) {
	s := startShop(t, config{pods: 2, salesforce: true})
	server := s.store.(*org).server
	const path, other = "/catalog/internet/acc_001/jp", "/catalog/internet/acc_002/jp"
	s.await(path, `"priceCents":500`)
	s.await(other, `"products"`)
	before := s.misses()
	if _, err := server.Raw("/data/Catalog__chn", server.SchemaID("/data/"+productEntity+"ChangeEvent"), []byte("\xff no Avro")); err != nil {
		t.Fatal(err)
	}
	for _, p := range s.pods {
		for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
			status, feeds := s.events(p)
			if counts := feeds[catalogFeed].Follower; status == "ok" && counts["poisonous"] == 1 && counts["poisonous:"+productEntity] == 1 {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%s: %s, %+v; want one poisonous event of %s", p.name, status, feeds[catalogFeed], productEntity)
			}
		}
	}
	for _, p := range []string{path, other} {
		s.get(s.pods[0], p)
	}
	if n := s.misses() - before; n != 2 {
		t.Errorf("%d lists were loaded again; want both: each has products", n)
	}
	s.do(s.pods[1], http.MethodPut, "/products/prd_0001", `{"priceCents": 888}`, http.StatusNoContent)
	s.await(path, `"priceCents":888`)
}
