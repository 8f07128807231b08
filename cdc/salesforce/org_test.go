package salesforce_test

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/cdc/salesforce"
	"github.com/tandem-cache/tandem/cdc/salesforce/salesforcetest"
)

const orders = "/data/OrderChangeEvent"

func orderID(n int) string { return fmt.Sprintf("801%012dAAA", n) }

// updates are changes of one field of orders.
func updates(ids ...string) (changes []salesforcetest.Change) {
	for _, id := range ids {
		changes = append(changes, salesforcetest.Change{
			Entity: "Order", Type: "UPDATE", IDs: []string{id}, Fields: map[string]any{"Status": "Shipped"},
		})
	}
	return changes
}

// startOrg starts an org with orders. Its keepalives come often: the first batch after a loss waits for one.
func startOrg(t *testing.T, opts salesforcetest.Options) *salesforcetest.Server {
	t.Helper()
	opts.Keepalive = 50 * time.Millisecond
	server, err := salesforcetest.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	if err := server.AddEntity(salesforcetest.Entity{Name: "Order", Fields: []salesforcetest.Field{{Name: "Status"}}}); err != nil {
		t.Fatal(err)
	}
	return server
}

// follow opens a stream at the end of a topic, and takes its loss.
func follow(t *testing.T, cfg salesforce.Config) cdc.Stream {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	source, err := salesforce.NewSource(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := source.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	stream, err := source.Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStream(t, stream) })
	if b := next(t, stream); !b.Lost || len(b.Events) > 0 {
		t.Fatalf("first batch %+v; want a loss alone", b)
	}
	return stream
}

// nextEvents takes batches until so many events came.
func nextEvents(t *testing.T, stream cdc.Stream, n int) (all []cdc.Event) {
	t.Helper()
	for end := time.Now().Add(patience); len(all) < n; {
		if time.Now().After(end) {
			t.Fatalf("%d events came; want %d", len(all), n)
		}
		all = append(all, next(t, stream).Events...)
	}
	return all
}

// The fake writes payloads and bitmaps by code of its own.
func TestEventsOfTheOrg(t *testing.T) {
	server := startOrg(t, salesforcetest.Options{})
	check := func(_ []byte, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	thing := salesforcetest.Entity{Name: "Thing__c", Fields: []salesforcetest.Field{
		{Name: "Name", Type: salesforcetest.SwitchName},
		{Name: "Active__c", Type: salesforcetest.Boolean},
		{Name: "Home__c", Type: salesforcetest.Address},
		{Name: "Count__c", Type: salesforcetest.Int},
		{Name: "Price__c", Type: salesforcetest.Double},
		{Name: "Seen__c", Type: salesforcetest.Time},
		{Name: "Note__c"},
	}}
	check(nil, server.AddEntity(thing))
	check(nil, server.AddChannel("Sales__chn", "Order", "Thing__c"))
	check(nil, server.AddEvent(salesforcetest.Event{Name: "Shipped__e", Fields: []salesforcetest.Field{{Name: "Order__c"}}}))

	streams := map[string]cdc.Stream{}
	for _, topic := range []string{thing.Topic(), "/data/ChangeEvents", "/data/Sales__chn", "/event/Shipped__e"} {
		streams[topic] = follow(t, server.Config(topic))
	}
	const id = "a01000000000001AAA"
	check(server.Change(salesforcetest.Change{Entity: "Thing__c", Type: "CREATE", IDs: []string{id}, Transaction: "t1", Fields: map[string]any{
		"Name": "Lamp", "Active__c": true, "Home__c.City": "Paris", "Count__c": 3, "Price__c": 9.5, "Seen__c": time.UnixMilli(1000),
	}}))
	check(server.Change(salesforcetest.Change{
		Entity: "Thing__c", Type: "UPDATE", IDs: []string{id}, Transaction: "t2",
		Fields: map[string]any{"Name.LastName": "Lovelace", "Home__c.City": "Lyon", "Note__c": "@@"},
		Nulled: []string{"Price__c"}, Diff: []string{"Note__c"},
	}))
	check(server.Change(salesforcetest.Change{Entity: "Thing__c", Type: "DELETE", IDs: []string{"a01*"}, Transaction: "t3"}))
	check(server.Change(salesforcetest.Change{Entity: "Order", Type: "GAP_UPDATE", IDs: []string{orderID(1)}, Transaction: "t4"}))
	things := []cdc.Event{
		{Entity: "Thing__c", Kind: cdc.Insert, Transaction: "t1", Rows: []cdc.Row{{
			"Id": id, "Name": "Lamp", "Active__c": "true", "Home__c.City": "Paris", "Count__c": "3", "Price__c": "9.5", "Seen__c": "1000",
		}}},
		{
			Entity: "Thing__c", Kind: cdc.Update, Transaction: "t2", Rows: []cdc.Row{{"Id": id, "Name.LastName": "Lovelace", "Home__c.City": "Lyon"}},
			Changed: []string{"Home__c.City", "Name.LastName", "Note__c", "Price__c"},
		},
		{Entity: "Thing__c", Kind: cdc.Whole, Transaction: "t3"},
	}
	both := append(slices.Clone(things), cdc.Event{
		Entity: "Order", Kind: cdc.Update, Transaction: "t4", Rows: []cdc.Row{{"Id": orderID(1)}},
	})
	for topic, want := range map[string][]cdc.Event{thing.Topic(): things, "/data/ChangeEvents": both, "/data/Sales__chn": both} {
		if diff := cmp.Diff(want, nextEvents(t, streams[topic], len(want))); diff != "" {
			t.Errorf("events of %s (-want +got):\n%s", topic, diff)
		}
	}

	check(server.Publish("Shipped__e", map[string]any{"Order__c": orderID(7)}))
	got := nextEvents(t, streams["/event/Shipped__e"], 1)[0]
	if got.Entity != "Shipped__e" || got.Kind != cdc.Insert || got.Rows[0]["Order__c"] != orderID(7) {
		t.Errorf("platform event %+v; want an insert of Shipped__e", got)
	}
}

// On a topic of several objects an event that can't be read at all may be of any.
func TestPoisonOnAChannel(t *testing.T) {
	server := startOrg(t, salesforcetest.Options{})
	stream := follow(t, server.Config("/data/ChangeEvents"))
	for _, schema := range []string{server.AddSchema("no schema"), server.SchemaID(orders)} {
		if _, err := server.Raw("/data/ChangeEvents", schema, []byte("rubbish")); err != nil {
			t.Fatal(err)
		}
	}
	got := nextEvents(t, stream, 2)
	for i, want := range []string{"", "Order"} {
		if e := got[i]; e.Entity != want || e.Err == nil || e.Kind != cdc.Whole {
			t.Errorf("event %d: %+v; want a poisonous one of %q", i, e, want)
		}
	}
}

// An administrator adds a field after the stream's session has ended: the numbers in bitmaps change, and the schema needs a new login.
func TestSchemaChangesAfterTheSession(t *testing.T) {
	server := startOrg(t, salesforcetest.Options{})
	stream := follow(t, server.Config(orders))
	server.ExpireTokens()
	if err := server.ChangeSchema("Order", []salesforcetest.Field{{Name: "New__c"}, {Name: "Status"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Transaction(updates(orderID(1))...); err != nil {
		t.Fatal(err)
	}
	if e := nextEvents(t, stream, 1)[0]; e.Err != nil || !slices.Equal(e.Changed, []string{"Status"}) {
		t.Errorf("event %+v; want a change of Status", e)
	}
}

// A server that closes streams with nothing outstanding must not find one: neither under a consumer that is slow nor on a quiet topic.
func TestNeverStarves(t *testing.T) {
	t.Parallel() // it waits
	server := startOrg(t, salesforcetest.Options{Starve: starve})
	stream := follow(t, server.Config(orders))
	const total = 3000
	for n := 0; n < total; n += 100 {
		var ids []string
		for i := range 100 {
			ids = append(ids, orderID(n+i+1))
		}
		if _, err := server.Transaction(updates(ids...)...); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(4 * starve / 3) // the consumer does nothing for longer than the server waits
	got := nextEvents(t, stream, total)
	for i, e := range got {
		if e.Rows[0]["Id"] != orderID(i+1) {
			t.Fatalf("event %d is of %s; want %s", i, e.Rows[0]["Id"], orderID(i+1))
		}
	}
	time.Sleep(4 * starve / 3) // and now there is nothing to do
	if server.Starved() > 0 {
		t.Errorf("%d streams were closed by the server", server.Starved())
	}
	if open := server.Subscriptions(orders); len(open) != 1 {
		t.Errorf("%d streams are open; want 1", len(open))
	}
}

func TestJWTLogin(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	server := startOrg(t, salesforcetest.Options{JWTKey: &key.PublicKey})
	cfg := server.Config(orders)
	cfg.Auth = salesforce.JWTBearer{
		Login: server.LoginURL(), ClientID: salesforcetest.ClientID, Username: salesforcetest.DefaultUsername, Key: key,
	}
	follow(t, cfg)
}
