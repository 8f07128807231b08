package salesforcetest_test

import (
	"cmp"
	"context"
	"crypto/rsa"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/cdc/salesforce"
	"github.com/tandem-cache/tandem/cdc/salesforce/salesforcetest"
)

// open opens a stream of the client that users have, and tries again as a follower would: a kept connection to a server that was restarted
// is dead.
func open(t *testing.T, cfg salesforce.Config, from string) cdc.Stream {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	source, err := salesforce.NewSource(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	var st cdc.Stream
	eventually(t, "stream", func() bool {
		st, err = source.Open(ctx, from)
		return err == nil
	})
	t.Cleanup(func() {
		if err := st.Close(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	})
	return st
}

// drain returns the events of a stream, until there are n, and its last position.
func drain(t *testing.T, st cdc.Stream, n int) (events []cdc.Event, position string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for len(events) < n || position == "" {
		b, err := st.Next(ctx)
		if err != nil {
			t.Fatalf("%d events, then %v", len(events), err)
		}
		events, position = append(events, b.Events...), b.Position
		if err := st.Ack(ctx, position); err != nil {
			t.Fatal(err)
		}
	}
	return events, position
}

// What a change says here is what the source's events say.
func TestSourceReadsChanges(t *testing.T) {
	s := start(t, salesforcetest.Options{Keepalive: 20 * time.Millisecond})
	st := open(t, s.Config(orders), "")
	drain(t, st, 0) // the first batch is Lost, and says that the subscription has begun
	if _, err := s.Change(salesforcetest.Change{
		Entity: "Order", Type: "UPDATE", IDs: []string{"801A"}, Transaction: "tx",
		Fields: map[string]any{"Status": "Shipped", "TotalAmount": 3, "BillingAddress.City": "Paris"}, Nulled: []string{"Name", "ShippingAddress"},
	}); err != nil {
		t.Fatal(err)
	}
	events, _ := drain(t, st, 1)
	slices.Sort(events[0].Changed)
	if diff := gocmp.Diff([]cdc.Event{{
		Entity: "Order", Kind: cdc.Update, Transaction: "tx",
		Rows:    []cdc.Row{{"Id": "801A", "Status": "Shipped", "TotalAmount": "3", "BillingAddress.City": "Paris"}},
		Changed: []string{"BillingAddress.City", "Name", "ShippingAddress", "Status", "TotalAmount"},
	}}, events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// Whatever happens to a stream, opened again at the last position the source goes on where it was, and without a flush.
func TestSourceGetsOverFaults(t *testing.T) {
	for name, fault := range map[string]func(*salesforcetest.Server) error{
		"cut":              func(s *salesforcetest.Server) error { s.Cut(); return nil },
		"expired token":    func(s *salesforcetest.Server) error { s.ExpireTokens(); s.Cut(); return nil },
		"failed stream":    func(s *salesforcetest.Server) error { s.FailStreams(orders, "service.unavailable"); return nil },
		"overflow":         func(s *salesforcetest.Server) error { s.FailStreams(orders, "subscription.fetch.overflow"); return nil },
		"reset by network": func(s *salesforcetest.Server) error { s.FailStreams(orders, ""); return nil },
		"restart":          func(s *salesforcetest.Server) error { s.Stop(); return s.Restart() },
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, salesforcetest.Options{Keepalive: 20 * time.Millisecond, MaxResponse: 200}) // a few events in each response
			st := open(t, s.Config(orders), "")
			_, position := drain(t, st, 0)
			before := number(t, s, 0, 10)
			if err := fault(s); err != nil {
				t.Fatal(err)
			}
			want := append(before, number(t, s, 10, 10)...)

			var got []string
			for err := error(nil); err == nil; {
				var b cdc.Batch
				b, err = st.Next(t.Context())
				got, position = append(got, idsIn(b)...), cmp.Or(b.Position, position)
			}
			events, _ := drain(t, open(t, s.Config(orders), position), len(want)-len(got))
			got = append(got, idsIn(cdc.Batch{Events: events})...)
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
		})
	}
}

// number makes n changes, each of a record of its own, and returns their ids.
func number(t *testing.T, s *salesforcetest.Server, from, n int) (ids []string) {
	t.Helper()
	for i := range n {
		id := fmt.Sprintf("801%03d", from+i)
		if _, err := s.Change(salesforcetest.Change{Entity: "Order", Type: "DELETE", IDs: []string{id}}); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

func idsIn(b cdc.Batch) (ids []string) {
	for _, e := range b.Events {
		for _, r := range e.Rows {
			ids = append(ids, r["Id"])
		}
	}
	return ids
}

func TestSourceLosesItsPosition(t *testing.T) {
	for name, fault := range map[string]func(*salesforcetest.Server) error{
		"too old":   func(s *salesforcetest.Server) error { return s.Forget(orders, 0) },
		"migration": func(s *salesforcetest.Server) error { return s.ResetReplayIDs(orders) },
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, salesforcetest.Options{Keepalive: 20 * time.Millisecond})
			_, position := drain(t, open(t, s.Config(orders), ""), 0)
			if err := fault(s); err != nil {
				t.Fatal(err)
			}
			b, err := open(t, s.Config(orders), position).Next(t.Context())
			if err != nil || !b.Lost || b.Position == "" {
				t.Errorf("first batch %+v, error %v; want one that is Lost", b, err)
			}
		})
	}
}

// The server would say so, and close the stream, if the source let it starve.
func TestSourceDoesNotStarve(t *testing.T) {
	t.Parallel()                   // it waits
	const starve = 2 * time.Second // a busy machine has as long to ask
	s := start(t, salesforcetest.Options{Keepalive: 20 * time.Millisecond, Starve: starve})
	cfg := s.Config(orders)
	cfg.Window = 1
	st := open(t, cfg, "")
	drain(t, st, 0)
	number(t, s, 0, 20)
	drain(t, st, 20)
	began := time.Now()
	for time.Since(began) < 3*starve/2 { // longer than a starved stream would live
		if _, err := st.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if s.Starved() != 0 {
		t.Errorf("%d streams were closed for asking for nothing", s.Starved())
	}
}

func TestSourceLogsInByJWT(t *testing.T) {
	key := newKey(t)
	s := start(t, salesforcetest.Options{JWTKey: &key.PublicKey, Keepalive: 20 * time.Millisecond})
	cfg := s.Config(orders)
	cfg.Auth = jwt(s, key)
	drain(t, open(t, cfg, ""), 0)
	if s.Logins() != 1 {
		t.Errorf("%d logins; want 1", s.Logins())
	}
}

func jwt(s *salesforcetest.Server, key *rsa.PrivateKey) salesforce.JWTBearer {
	return salesforce.JWTBearer{Login: s.LoginURL(), ClientID: salesforcetest.ClientID, Username: salesforcetest.DefaultUsername, Key: key}
}
