package salesforcetest_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-cache/tandem/cdc/salesforce/internal/eventbus"
	"github.com/tandem-cache/tandem/cdc/salesforce/salesforcetest"
)

// read returns all events of a topic that has n.
func read(c *client, topic string, n int) []*eventbus.ConsumerEvent {
	c.t.Helper()
	return c.subscribe(earliest(topic, 100)).take(n)
}

func TestSchema(t *testing.T) {
	s := start(t, salesforcetest.Options{})
	c := connect(t, s)
	info, err := c.rpc.GetSchema(c.ctx, &eventbus.SchemaRequest{SchemaId: s.SchemaID(orders)})
	if err != nil {
		t.Fatal(err)
	}
	type field struct {
		Name string
		Type json.RawMessage
	}
	var record struct {
		Type, Name, Namespace string
		Fields                []field
	}
	if err := json.Unmarshal([]byte(info.GetSchemaJson()), &record); err != nil {
		t.Fatal(err)
	}
	if record.Type != "record" || record.Name != "OrderChangeEvent" || record.Namespace != "com.sforce.eventbus" {
		t.Errorf("schema of a %s %s.%s", record.Type, record.Namespace, record.Name)
	}
	want := []string{"ChangeEventHeader", "Name", "Status", "TotalAmount", "BillingAddress", "ShippingAddress", "LastModifiedDate"}
	var got []string
	types := map[string]string{}
	for _, f := range record.Fields {
		got = append(got, f.Name)
		types[f.Name] = string(f.Type)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	var header struct{ Fields []field }
	if err := json.Unmarshal([]byte(types["ChangeEventHeader"]), &header); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range header.Fields {
		names = append(names, f.Name)
	}
	if got, want := strings.Join(names, " "), "entityName recordIds changeType changeOrigin transactionKey sequenceNumber commitTimestamp "+
		"commitNumber commitUser nulledFields diffFields changedFields"; got != want {
		t.Errorf("header %s; want %s", got, want)
	}
	for name, want := range map[string]string{
		"Name": `["null","string"]`, "TotalAmount": `["null","double"]`, "LastModifiedDate": `["null","long"]`, "ShippingAddress": `["null","Address"]`,
	} {
		if types[name] != want {
			t.Errorf("%s is %s; want %s", name, types[name], want)
		}
	}
	if !strings.HasPrefix(types["BillingAddress"], `["null",{"type":"record","name":"Address","fields":[{"name":"Street"`) {
		t.Errorf("BillingAddress is %s; want a record", types["BillingAddress"])
	}
	if got := s.SchemaID("/data/Thing__ChangeEvent"); got == "" || got == s.SchemaID(orders) {
		t.Errorf("schema ids %q and %q; want different ones", got, s.SchemaID(orders))
	}
}

func TestChange(t *testing.T) {
	s := start(t, salesforcetest.Options{})
	c := connect(t, s)
	at := time.UnixMilli(1_700_000_000_123)
	if _, err := s.Change(salesforcetest.Change{
		Entity: "Order", Type: "UPDATE", IDs: []string{"801A", "801B"},
		Fields: map[string]any{
			"Status": "Shipped", "TotalAmount": 3, "BillingAddress.City": "Paris", "BillingAddress.Latitude": 48.5, "LastModifiedDate": at,
			"Name": nil, "ShippingAddress.Street": "-1+1", // named below: they aren't among Changed
		},
		Nulled: []string{"Name"}, Diff: []string{"ShippingAddress.Street"},
		Transaction: "tx", Sequence: 7, Committed: at, User: "005X", Origin: "com/salesforce/api/soap/61.0;client=x",
	}); err != nil {
		t.Fatal(err)
	}
	body, header := c.decode(read(c, orders, 1)[0])
	delete(body, "ChangeEventHeader")
	if diff := cmp.Diff(map[string]any{
		"Name": nil, "Status": "Shipped", "TotalAmount": 3.0, "LastModifiedDate": at.UnixMilli(),
		"ShippingAddress": map[string]any{
			"Street": "-1+1", "City": nil, "State": nil, "PostalCode": nil, "Country": nil, "Latitude": nil, "Longitude": nil, "GeocodeAccuracy": nil,
		},
		"BillingAddress": map[string]any{
			"Street": nil, "City": "Paris", "State": nil, "PostalCode": nil, "Country": nil, "Latitude": 48.5, "Longitude": nil, "GeocodeAccuracy": nil,
		},
	}, body); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	if header["commitNumber"].(int64) <= 0 {
		t.Errorf("commit number %v", header["commitNumber"])
	}
	delete(header, "commitNumber")
	if diff := cmp.Diff(map[string]any{
		"entityName": "Order", "recordIds": []any{"801A", "801B"}, "changeType": "UPDATE", "changeOrigin": "com/salesforce/api/soap/61.0;client=x",
		"transactionKey": "tx", "sequenceNumber": int32(7), "commitTimestamp": at.UnixMilli(), "commitUser": "005X",
		// Status is 2, TotalAmount 3, LastModifiedDate 6; BillingAddress is 4, with City 1 and Latitude 5.
		"changedFields": []any{"0x4C", "4-0x22"}, "nulledFields": []any{"0x02"}, "diffFields": []any{"5-0x01"},
	}, header); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
}

// The documented update of an Account, field for field.
func TestBitmapAsDocumented(t *testing.T) {
	s := start(t, salesforcetest.Options{})
	c := connect(t, s)
	account := salesforcetest.Entity{Name: "Account"}
	for name := range strings.FieldsSeq(`Name Type ParentId BillingAddress ShippingAddress Phone Fax AccountNumber Website Sic Industry
		AnnualRevenue NumberOfEmployees Ownership TickerSymbol Description Rating Site OwnerId CreatedDate CreatedById LastModifiedDate`) {
		account.Fields = append(account.Fields, salesforcetest.Field{Name: name})
	}
	if err := s.AddEntity(account); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Change(salesforcetest.Change{
		Entity: "Account", Type: "UPDATE", IDs: []string{"001A"}, Changed: []string{"LastModifiedDate", "Industry"},
	}); err != nil {
		t.Fatal(err)
	}
	_, header := c.decode(read(c, account.Topic(), 1)[0])
	if diff := cmp.Diff([]any{"0x400800"}, header["changedFields"]); diff != "" {
		t.Errorf("changed fields (-want +got):\n%s", diff)
	}
}

func TestChangeTypes(t *testing.T) {
	s := start(t, salesforcetest.Options{})
	c := connect(t, s)
	types := strings.Fields("CREATE UPDATE DELETE UNDELETE GAP_CREATE GAP_UPDATE GAP_DELETE GAP_UNDELETE GAP_OVERFLOW")
	for _, name := range types {
		if _, err := s.Change(salesforcetest.Change{Entity: "Thing__c", Type: name, IDs: []string{"a00*"}}); err != nil {
			t.Fatal(err)
		}
	}
	keys := map[any]bool{}
	for i, e := range read(c, "/data/Thing__ChangeEvent", len(types)) {
		body, header := c.decode(e)
		keys[header["transactionKey"]] = true
		if header["changeType"] != types[i] || header["sequenceNumber"] != int32(1) || body["Name"] != nil ||
			time.Since(time.UnixMilli(header["commitTimestamp"].(int64))) > time.Minute || header["commitUser"] != salesforcetest.DefaultUser {
			t.Errorf("%s: body %v", types[i], body)
		}
	}
	if len(keys) != len(types) {
		t.Errorf("%d keys of %d transactions", len(keys), len(types))
	}
}

func TestValues(t *testing.T) {
	s := start(t, salesforcetest.Options{})
	c := connect(t, s)
	for _, fields := range []map[string]any{
		{"Name": "Engines", "Active__c": true, "Count__c": 7},
		{"Name.FirstName": "Ada", "Owner__c.LastName": "Lovelace", "Active__c": nil},
	} {
		if _, err := s.Change(salesforcetest.Change{Entity: "Thing__c", Type: "CREATE", IDs: []string{"a00A"}, Fields: fields}); err != nil {
			t.Fatal(err)
		}
	}
	events := read(c, "/data/Thing__ChangeEvent", 2)
	if body, _ := c.decode(events[0]); body["Name"] != "Engines" || body["Active__c"] != true || body["Count__c"] != int32(7) || body["Owner__c"] != nil {
		t.Errorf("first body %v", body)
	}
	body, header := c.decode(events[1])
	name, _ := body["Name"].(map[string]any)
	owner, _ := body["Owner__c"].(map[string]any)
	if name["FirstName"] != "Ada" || owner["LastName"] != "Lovelace" || body["Active__c"] != nil {
		t.Errorf("second body %v", body)
	}
	if list := header["changedFields"].([]any); len(list) != 0 {
		t.Errorf("changed fields of a CREATE: %v; want none", list)
	}
}

func TestChangeNamesWhatIsWrong(t *testing.T) {
	s := start(t, salesforcetest.Options{})
	for want, change := range map[string]salesforcetest.Change{
		"Entity":               {Entity: "Case", Type: "CREATE"},
		"Type":                 {Entity: "Order", Type: "create"},
		"Sequence":             {Entity: "Order", Type: "CREATE", Sequence: -1},
		"have no Fields":       {Entity: "Order", Type: "DELETE", Fields: map[string]any{"Name": "x"}},
		"only an UPDATE":       {Entity: "Order", Type: "CREATE", Changed: []string{"Name"}},
		`no field "X"`:         {Entity: "Order", Type: "CREATE", Fields: map[string]any{"X": 1}},
		`no field "Y"`:         {Entity: "Order", Type: "UPDATE", Nulled: []string{"Y"}},
		`no field "Name.City"`: {Entity: "Order", Type: "UPDATE", Changed: []string{"Name.City"}},
		`"Status": a float64`:  {Entity: "Order", Type: "CREATE", Fields: map[string]any{"Status": 1.5}},
		"the number":           {Entity: "Thing__c", Type: "CREATE", Fields: map[string]any{"Count__c": 1 << 40}},
		"isn't compound":       {Entity: "Order", Type: "CREATE", Fields: map[string]any{"Status.City": "x"}},
		"no such part":         {Entity: "Order", Type: "CREATE", Fields: map[string]any{"BillingAddress.Moon": "x"}},
		"in parts":             {Entity: "Thing__c", Type: "CREATE", Fields: map[string]any{"Name": "x", "Name.LastName": "y"}},
	} {
		if _, err := s.Change(change); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "salesforcetest: ") {
			t.Errorf("%+v: error %v; want one with %q", change, err, want)
		}
	}
	if got := s.Kept(changes); got != 0 {
		t.Errorf("%d events of changes that were refused", got)
	}
}

func TestTransaction(t *testing.T) {
	s := start(t, salesforcetest.Options{Overflow: 5})
	c := connect(t, s)
	order := func(n int) salesforcetest.Change {
		return salesforcetest.Change{Entity: "Order", Type: "CREATE", IDs: []string{fmt.Sprint("801", n)}}
	}
	thing := salesforcetest.Change{Entity: "Thing__c", Type: "UPDATE", IDs: []string{"a00A"}, Fields: map[string]any{"Name": "x", "Active__c": true}}
	bad := salesforcetest.Change{Entity: "Order", Type: "nonsense"}
	if _, err := s.Transaction(order(1), bad); err == nil || s.Kept(changes) != 0 {
		t.Errorf("a transaction with a wrong change: error %v, %d events; want an error and none", err, s.Kept(changes))
	}
	ids, err := s.Transaction(order(1), thing, order(2), thing, order(3), order(4))
	if err != nil || len(ids) != 5 {
		t.Fatalf("transaction: %d replay ids, error %v; want 5", len(ids), err)
	}
	var got []string
	keys := map[any]bool{}
	for i, e := range read(c, changes, 5) {
		_, header := c.decode(e)
		keys[header["transactionKey"]] = true
		got = append(got, fmt.Sprint(header["entityName"], " ", header["changeType"], " ", len(header["recordIds"].([]any))))
		if header["sequenceNumber"] != int32(i+1) {
			t.Errorf("event %d has number %v", i, header["sequenceNumber"])
		}
	}
	// The second change of a Thing would be the fifth and the sixth: an update counts for each field.
	want := []string{"Order CREATE 1", "Thing__c UPDATE 1", "Order CREATE 1", "Thing__c GAP_OVERFLOW 0", "Order GAP_OVERFLOW 0"}
	if diff := cmp.Diff(want, got); diff != "" || len(keys) != 1 {
		t.Errorf("%d keys; events (-want +got):\n%s", len(keys), diff)
	}
}

func TestHugeEventIsAGap(t *testing.T) {
	s := start(t, salesforcetest.Options{})
	c := connect(t, s)
	if _, err := s.Change(salesforcetest.Change{
		Entity: "Order", Type: "UPDATE", IDs: []string{"801A"}, Fields: map[string]any{"Status": strings.Repeat("x", 1<<20)},
	}); err != nil {
		t.Fatal(err)
	}
	body, header := c.decode(read(c, orders, 1)[0])
	if header["changeType"] != "GAP_UPDATE" || body["Status"] != nil || len(header["changedFields"].([]any)) != 0 {
		t.Errorf("header %v; want GAP_UPDATE of nothing", header)
	}
}

func TestPlatformEvent(t *testing.T) {
	s := start(t, salesforcetest.Options{})
	c := connect(t, s)
	if _, err := s.Publish("Shipped__e", map[string]any{"Order__c": "801A"}); err != nil {
		t.Fatal(err)
	}
	e := read(c, shipped, 1)[0]
	body, header := c.decode(e)
	if e.GetEvent().GetId() == "" || header != nil || body["Order__c"] != "801A" || body["CreatedById"] != salesforcetest.DefaultUser ||
		time.Since(time.UnixMilli(body["CreatedDate"].(int64))) > time.Minute {
		t.Errorf("event %q: %v", e.GetEvent().GetId(), body)
	}
	if _, err := s.Publish("Unknown__e", nil); err == nil {
		t.Error("an unknown event was published")
	}
	if s.Kept(changes) != 0 {
		t.Error("a platform event is among the changes")
	}
}

func TestRaw(t *testing.T) {
	s := start(t, salesforcetest.Options{})
	c := connect(t, s)
	id := s.AddSchema("no schema")
	if _, err := s.Raw(orders, id, []byte("junk")); err != nil {
		t.Fatal(err)
	}
	e := read(c, orders, 1)[0].GetEvent()
	info, err := c.rpc.GetSchema(c.ctx, &eventbus.SchemaRequest{SchemaId: e.GetSchemaId()})
	if err != nil || info.GetSchemaJson() != "no schema" || string(e.GetPayload()) != "junk" {
		t.Errorf("payload %q of schema %q, error %v", e.GetPayload(), info.GetSchemaJson(), err)
	}
	if _, err := s.Raw("/data/X", id, nil); err == nil {
		t.Error("an event on an unknown topic was published")
	}
}

func TestChangeSchema(t *testing.T) {
	s := start(t, salesforcetest.Options{})
	c := connect(t, s)
	publish(t, s, 1)
	old := s.SchemaID(orders)
	if err := s.ChangeSchema("Order", []salesforcetest.Field{{Name: "New__c"}, {Name: "Status"}}); err != nil {
		t.Fatal(err)
	}
	publish(t, s, 1)
	events := read(c, orders, 2)
	if got := events[0].GetEvent().GetSchemaId(); got != old {
		t.Errorf("the first event has schema %q; want %q", got, old)
	}
	body, header := c.decode(events[1])
	if _, there := body["New__c"]; !there || events[1].GetEvent().GetSchemaId() == old || header["changedFields"].([]any)[0] != "0x04" {
		t.Errorf("second event of schema %q: %v", events[1].GetEvent().GetSchemaId(), body)
	}
	c.decode(events[0]) // an old schema stays
	if err := s.ChangeSchema("Order", order.Fields); err != nil || s.SchemaID(orders) != old {
		t.Errorf("the same definition has id %q, error %v; want %q", s.SchemaID(orders), err, old)
	}
}

func TestNamesAreChecked(t *testing.T) {
	s := start(t, salesforcetest.Options{})
	for name, err := range map[string]error{
		"entity twice":      s.AddEntity(order),
		"entity's name":     s.AddEntity(salesforcetest.Entity{Name: "a b"}),
		"field's name":      s.AddEntity(salesforcetest.Entity{Name: "Case", Fields: []salesforcetest.Field{{Name: "a b"}}}),
		"field twice":       s.AddEntity(salesforcetest.Entity{Name: "Case", Fields: []salesforcetest.Field{{Name: "A"}, {Name: "A"}}}),
		"field's type":      s.AddEntity(salesforcetest.Entity{Name: "Case", Fields: []salesforcetest.Field{{Name: "A", Type: 99}}}),
		"the header":        s.AddEntity(salesforcetest.Entity{Name: "Case", Fields: []salesforcetest.Field{{Name: "ChangeEventHeader"}}}),
		"event twice":       s.AddEvent(salesforcetest.Event{Name: "Shipped__e"}),
		"event's name":      s.AddEvent(salesforcetest.Event{Name: "Shipped"}),
		"channel's name":    s.AddChannel("Sales"),
		"channel's entity":  s.AddChannel("Sales__chn", "Case"),
		"schema's entity":   s.ChangeSchema("Case", nil),
		"a topic to deny":   s.Deny("/data/X", true),
		"a topic to forget": s.Forget("/data/X", 0),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), "salesforcetest: ") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, err := salesforcetest.Start(salesforcetest.Options{Org: "x", Keepalive: -1, MaxEvents: -1}); err == nil ||
		!strings.Contains(err.Error(), "Org") || !strings.Contains(err.Error(), "Keepalive") || !strings.Contains(err.Error(), "MaxEvents") {
		t.Errorf("wrong options: error %v", err)
	}
}
