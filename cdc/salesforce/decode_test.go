package salesforce_test

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/avro"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/cdc/salesforce"
)

const headerSchema = `{"name": "ChangeEventHeader", "type": {"type": "record", "name": "ChangeEventHeader", "fields": [
	{"name": "entityName", "type": "string"},
	{"name": "recordIds", "type": {"type": "array", "items": "string"}},
	{"name": "changeType", "type": {"type": "enum", "name": "ChangeType", "symbols": [
		"CREATE", "UPDATE", "DELETE", "UNDELETE", "GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE", "GAP_OVERFLOW", "SNAPSHOT"]}},
	{"name": "changeOrigin", "type": "string"},
	{"name": "transactionKey", "type": "string"},
	{"name": "sequenceNumber", "type": "int"},
	{"name": "commitTimestamp", "type": "long"},
	{"name": "commitNumber", "type": "long"},
	{"name": "commitUser", "type": "string"},
	{"name": "nulledFields", "type": {"type": "array", "items": "string"}},
	{"name": "diffFields", "type": {"type": "array", "items": "string"}},
	{"name": "changedFields", "type": {"type": "array", "items": "string"}}]}}`

// contact has a switchable person name, an address that is defined by its first use, and the scalar types.
const contact = `{"type": "record", "name": "ContactChangeEvent", "namespace": "com.sforce.eventbus", "fields": [` + headerSchema + `,
	{"name": "Name", "type": ["null", "string", {"type": "record", "name": "Switchable_PersonName", "fields": [
		{"name": "FirstName", "type": ["null", "string"]}, {"name": "LastName", "type": ["null", "string"]}]}]},
	{"name": "MailingAddress", "type": ["null", {"type": "record", "name": "Address", "fields": [
		{"name": "Street", "type": ["null", "string"]}, {"name": "City", "type": ["null", "string"]},
		{"name": "Latitude", "type": ["null", "double"]}]}]},
	{"name": "OtherAddress", "type": ["null", "Address"]},
	{"name": "Description", "type": ["null", "string"]},
	{"name": "Birthdate", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]},
	{"name": "Score__c", "type": ["null", "double"]},
	{"name": "Ratio__c", "type": ["null", "float"]},
	{"name": "Count__c", "type": ["null", "int"]},
	{"name": "Active__c", "type": ["null", "boolean"]},
	{"name": "Blob__c", "type": ["null", "bytes"]}]}`

var contactWriter = avro.MustParse(contact, avro.CustomType{LogicalType: "timestamp-millis"})

var committed = time.UnixMilli(1_700_000_000_123)

// change returns a payload of contact: its header has the given fields on top of the usual ones.
func change(t testing.TB, header, body map[string]any) []byte {
	t.Helper()
	h := map[string]any{
		"entityName": "Contact", "recordIds": []string{"003000000000001AAA"}, "changeType": "UPDATE", "changeOrigin": "",
		"transactionKey": "tx-1", "sequenceNumber": 1, "commitTimestamp": committed.UnixMilli(), "commitNumber": int64(1), "commitUser": "005",
		"nulledFields": []string{}, "diffFields": []string{}, "changedFields": []string{},
	}
	maps.Copy(h, header)
	all := map[string]any{"ChangeEventHeader": h}
	for name := range strings.FieldsSeq("Name MailingAddress OtherAddress Description Birthdate Score__c Ratio__c Count__c Active__c Blob__c") {
		all[name] = body[name]
	}
	payload, err := contactWriter.Encode(all)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

func decode(t testing.TB, header, body map[string]any) cdc.Event {
	t.Helper()
	e, at, err := salesforce.Decode(contact, change(t, header, body))
	if err != nil || !at.Equal(committed) {
		t.Fatalf("decode: committed %v, error %v; want %v, nil", at, err, committed)
	}
	return e
}

func TestDecodeKinds(t *testing.T) {
	description := map[string]any{"Description": "text"}
	id := cdc.Row{"Id": "003000000000001AAA"}
	full := cdc.Row{"Id": "003000000000001AAA", "Description": "text"}
	tests := []struct {
		change string
		kind   cdc.Kind
		rows   []cdc.Row
	}{
		{"CREATE", cdc.Insert, []cdc.Row{full}},
		{"UPDATE", cdc.Update, []cdc.Row{full}},
		{"DELETE", cdc.Delete, []cdc.Row{full}}, // its body is null in practice
		{"UNDELETE", cdc.Insert, []cdc.Row{full}},
		{"GAP_CREATE", cdc.Insert, []cdc.Row{id}},
		{"GAP_UPDATE", cdc.Update, []cdc.Row{id}},
		{"GAP_DELETE", cdc.Delete, []cdc.Row{id}},
		{"GAP_UNDELETE", cdc.Insert, []cdc.Row{id}},
		{"GAP_OVERFLOW", cdc.Whole, nil},
		{"SNAPSHOT", cdc.Whole, nil}, // not a known type
	}
	for _, tt := range tests {
		t.Run(tt.change, func(t *testing.T) {
			got := decode(t, map[string]any{"changeType": tt.change, "changedFields": []string{"0x10"}}, description)
			want := cdc.Event{Entity: "Contact", Kind: tt.kind, Rows: tt.rows, Transaction: "tx-1"}
			if tt.change == "UPDATE" {
				want.Changed = []string{"Description"}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("event (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeRecordIDs(t *testing.T) {
	if got := decode(t, map[string]any{"recordIds": []string{"003A", "003B"}}, map[string]any{"Count__c": 7}); !cmp.Equal(got.Rows, []cdc.Row{
		{"Id": "003A", "Count__c": "7"}, {"Id": "003B", "Count__c": "7"},
	}) {
		t.Errorf("rows of two ids = %v; want one for each, with the fields", got.Rows)
	}
	for name, ids := range map[string][]string{
		"none": {}, "wildcard": {"003*"}, "wildcard among others": {"003A", "003*"}, "an empty one": {"003A", ""},
		"too many": slices.Repeat([]string{"003A"}, 10_001),
	} {
		t.Run(name, func(t *testing.T) {
			if got := decode(t, map[string]any{"recordIds": ids}, nil); got.Kind != cdc.Whole || got.Rows != nil || got.Entity != "Contact" {
				t.Errorf("event of %s: %v %v with %d rows; want whole Contact without rows", name, got.Kind, got.Entity, len(got.Rows))
			}
		})
	}
}

func TestDecodeValues(t *testing.T) {
	got := decode(t, nil, map[string]any{
		"Name":           map[string]any{"FirstName": "Ada", "LastName": nil},
		"MailingAddress": map[string]any{"Street": nil, "City": "Paris", "Latitude": 48.5},
		"OtherAddress":   map[string]any{"Street": "Rue", "City": nil, "Latitude": nil},
		"Birthdate":      int64(-86_400_000), "Score__c": 1e21, "Ratio__c": float32(0.1), "Count__c": int32(-3), "Active__c": false,
		"Blob__c": []byte("x"),
	})
	want := []cdc.Row{{
		"Id": "003000000000001AAA", "Name.FirstName": "Ada", "MailingAddress.City": "Paris", "MailingAddress.Latitude": "48.5",
		"OtherAddress.Street": "Rue", "Birthdate": "-86400000", "Score__c": "1000000000000000000000", "Ratio__c": "0.1", "Count__c": "-3",
		"Active__c": "false",
	}}
	if diff := cmp.Diff(want, got.Rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if got := decode(t, nil, map[string]any{"Name": "Analytical Engines"}).Rows[0]["Name"]; got != "Analytical Engines" {
		t.Errorf("a name that isn't a person's = %q", got)
	}
}

func TestDecodeChanged(t *testing.T) {
	tests := []struct {
		name   string
		header map[string]any
		want   []string
	}{
		{
			"the union of the three lists",
			map[string]any{"changedFields": []string{"0x100", "2-0x2"}, "nulledFields": []string{"0x10"}, "diffFields": []string{"0x90"}},
			[]string{"Count__c", "Description", "MailingAddress.City", "Ratio__c"},
		},
		{"nothing changed is not to be believed", nil, nil},
		{"one list can't be decoded", map[string]any{"changedFields": []string{"0x80"}, "nulledFields": []string{"?"}}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := decode(t, tt.header, nil)
			if diff := cmp.Diff(tt.want, got.Changed); diff != "" || got.Kind != cdc.Update {
				t.Errorf("kind %v; changed (-want +got):\n%s", got.Kind, diff)
			}
		})
	}
}

// Rows in great number would each hold the same values.
func TestDecodeManyRows(t *testing.T) {
	body := map[string]any{"Description": "x", "Score__c": 1.5, "Ratio__c": float32(1), "Count__c": 1, "Active__c": true}
	for n, want := range map[int]int{8_000: 6, 9_000: 1} { // columns
		ids := slices.Repeat([]string{"003A"}, n)
		if got := decode(t, map[string]any{"recordIds": ids}, body); len(got.Rows) != n || len(got.Rows[n-1]) != want || got.Rows[n-1]["Id"] != "003A" {
			t.Errorf("%d ids: %d rows, the last %v; want %d columns", n, len(got.Rows), got.Rows[n-1], want)
		}
	}
}

// A field in diffFields holds a difference: as a value it would make the name of something else.
func TestDecodeLeavesDiffsOut(t *testing.T) {
	body := map[string]any{
		"Description": "@@ -1 +1 @@", "Count__c": 1,
		"MailingAddress": map[string]any{"Street": "--- 1", "City": "Paris"}, "OtherAddress": map[string]any{"City": "--- 2"},
	}
	got := decode(t, map[string]any{"diffFields": []string{"0x18", "2-0x1"}}, body).Rows[0]
	if want := (cdc.Row{"Id": "003000000000001AAA", "Count__c": "1", "MailingAddress.City": "Paris"}); !cmp.Equal(got, want) {
		t.Errorf("row = %v; want %v", got, want)
	}
	got = decode(t, map[string]any{"diffFields": []string{"?"}}, body).Rows[0]
	if want := (cdc.Row{"Id": "003000000000001AAA"}); !cmp.Equal(got, want) {
		t.Errorf("row with unknown differences = %v; want %v", got, want)
	}
}

func TestDecodePlatformEvent(t *testing.T) {
	const schema = `{"type": "record", "name": "Order_Shipped__e", "namespace": "com.sforce.eventbus", "fields": [
		{"name": "CreatedDate", "type": "long"}, {"name": "Order__c", "type": ["null", "string"]}, {"name": "Note__c", "type": ["null", "string"]}]}`
	payload, err := avro.MustParse(schema).Encode(map[string]any{"CreatedDate": committed.UnixMilli(), "Order__c": "801A", "Note__c": nil})
	if err != nil {
		t.Fatal(err)
	}
	got, at, err := salesforce.Decode(schema, payload)
	want := cdc.Event{Entity: "Order_Shipped__e", Kind: cdc.Insert, Rows: []cdc.Row{{"CreatedDate": "1700000000123", "Order__c": "801A"}}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil || !at.Equal(committed) {
		t.Errorf("committed %v, error %v; event (-want +got):\n%s", at, err, diff)
	}
}

func TestDecodePoison(t *testing.T) {
	good := change(t, nil, map[string]any{"Description": "the secret"})
	withHeader := func(header map[string]any) []byte {
		return change(t, header, map[string]any{"Description": "the secret"})
	}
	for name, payload := range map[string][]byte{
		"empty":           {},
		"cut":             good[:len(good)-1],
		"longer":          append(slices.Clip(good), 0),
		"a hostile count": {2, 'A', 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
		"no entity":       withHeader(map[string]any{"entityName": ""}),
		"a vast entity":   withHeader(map[string]any{"entityName": strings.Repeat("the secret", 26)}),
	} {
		t.Run(name, func(t *testing.T) {
			e, _, err := salesforce.Decode(contact, payload)
			if err == nil {
				t.Fatalf("decoded to %v; want an error", e)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error carries a value: %v", err)
			}
		})
	}
}

func TestParseSchema(t *testing.T) {
	record := func(name, fields string) string {
		return fmt.Sprintf(`{"type": "record", "name": %q, "fields": [%s]}`, name, fields)
	}
	var many strings.Builder
	for i := range 200 {
		fmt.Fprintf(&many, `{"name": "f%d", "type": "Wide"},`, i)
	}
	var wide strings.Builder
	for i := range 100 {
		fmt.Fprintf(&wide, `{"name": "n%d", "type": "null"},`, i)
	}
	refers := func(size, references int) string { // to a type with so long a text
		fields := `{"name": "b", "type": {"type": "record", "name": "B", "doc": "` + strings.Repeat("x", size) + `", "fields": []}}`
		for i := range references {
			fields += fmt.Sprintf(`, {"name": "b%d", "type": "B"}`, i)
		}
		return record("AChangeEvent", fields)
	}
	tests := []struct {
		name, schema, entity string
		wrong                bool
	}{
		{"a large schema", refers(500_000, 50), "A", false},
		{"a large schema that would be read for seconds", refers(1_000_000, 300), "A", true},
		{"a name with its namespace", record("com.sforce.eventbus.OrderChangeEvent", ""), "Order", false},
		{"standard", record("OrderChangeEvent", ""), "Order", false},
		{"custom", record("Thing__ChangeEvent", ""), "Thing__c", false},
		{"platform", record("Thing__e", ""), "Thing__e", false},
		{"list of scalars", record("A__e", `{"name": "a", "type": {"type": "array", "items": "long"}}`), "A__e", false},
		{"no JSON", "{", "", true},
		{"no record", `"string"`, "", true},
		{"a record that holds itself", record("AChangeEvent", `{"name": "a", "type": ["null", "AChangeEvent"]}`), "A", true},
		{"a list of records", record("AChangeEvent", `{"name": "a", "type": {"type": "array", "items": `+record("B", "")+`}}`), "A", true},
		{"a map of lists", record("AChangeEvent", `{"name": "a", "type": {"type": "map", "values": {"type": "array", "items": "null"}}}`), "A", true},
		{
			"too many fields", record("AChangeEvent", `{"name": "w", "type": `+record("Wide", strings.TrimSuffix(wide.String(), ","))+`},`+
				strings.TrimSuffix(many.String(), ",")), "A", true,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			entity, err := salesforce.ParseSchema(tt.schema)
			if entity != tt.entity || (err != nil) != tt.wrong {
				t.Errorf("entity %q, error %v; want %q, error %v", entity, err, tt.entity, tt.wrong)
			}
		})
	}
}

func TestEntityOfTopic(t *testing.T) {
	for topic, want := range map[string]string{
		"/data/OrderChangeEvent": "Order", "/data/Thing__ChangeEvent": "Thing__c", "/data/ChangeEvents": "", "/data/Sales__chn": "",
		"/event/Thing__e": "Thing__e", "/event/Sales__chn": "",
	} {
		if got := salesforce.EntityOfTopic(topic); got != want {
			t.Errorf("entity of %s = %q; want %q", topic, got, want)
		}
	}
}

func TestSchemasAreBounded(t *testing.T) {
	var s salesforce.Schemas
	for i := range 2000 {
		s.Put(fmt.Sprint(i))
	}
	if s.Len() > 1000 || !s.Has("1999") {
		t.Errorf("remembers %d schemas, the last: %v; want 1000 at most, with the last", s.Len(), s.Has("1999"))
	}
}

// A megabyte that names as many records as it can, or as many fields, must not become gigabytes.
func TestDecodeMemory(t *testing.T) {
	body := map[string]any{"Description": strings.Repeat("x", 1000)}
	for name, header := range map[string]map[string]any{
		"many ids":     {"recordIds": slices.Repeat([]string{"a"}, 500_000)},
		"ids and rows": {"recordIds": slices.Repeat([]string{"a"}, 10_000)},
		"many bitmaps": {"changedFields": slices.Repeat([]string{"2-0x3"}, 150_000)},
	} {
		t.Run(name, func(t *testing.T) {
			payload := change(t, header, body)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if _, _, err := salesforce.Decode(contact, payload); err != nil {
				t.Fatal(err)
			}
			runtime.ReadMemStats(&after)
			if got := (after.TotalAlloc - before.TotalAlloc) >> 20; got > 100 {
				t.Errorf("decoding %d bytes allocated %d MiB; want 100 at most", len(payload), got)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(contact, change(f, nil, map[string]any{"Description": "text"}))
	f.Add(contact, change(f, map[string]any{"changeType": "CREATE", "recordIds": []string{"003A", "003B"}}, map[string]any{"Name": "a"}))
	f.Add(contact, change(f, map[string]any{"changedFields": []string{"0x80", "2-0x2"}}, map[string]any{"MailingAddress": map[string]any{"City": "c"}}))
	f.Add(`{"type": "record", "name": "A__e", "fields": [{"name": "a", "type": {"type": "array", "items": "null"}}]}`, []byte{2, 0})
	f.Add(`{"type": "record", "name": "A__e", "fields": [{"name": "a", "type": ["null", "A__e"]}]}`, []byte{2, 2, 2, 0})
	f.Fuzz(func(t *testing.T, schema string, payload []byte) {
		if len(schema) > 1<<16 || len(payload) > 1<<16 {
			t.Skip()
		}
		e, _, err := salesforce.Decode(schema, payload)
		if err != nil {
			return
		}
		if e.Kind < cdc.Insert || e.Kind > cdc.Whole || (e.Kind == cdc.Whole) != (e.Rows == nil) {
			t.Fatalf("%v with %d rows", e.Kind, len(e.Rows))
		}
		for _, row := range e.Rows {
			if id, ok := row["Id"]; ok && id == "" && e.Changed != nil {
				t.Fatalf("a row of an update has no Id: %v", row)
			}
		}
	})
}

// FuzzDecodeContact keeps the schema, so that the fuzzer gets deep into payloads.
func FuzzDecodeContact(f *testing.F) {
	f.Add(change(f, nil, map[string]any{"Description": "text"}))
	f.Add(change(f, map[string]any{"changedFields": []string{"0x80", "2-0x2"}, "diffFields": []string{"0x10"}}, map[string]any{"Name": "a"}))
	f.Add(change(f, map[string]any{"changeType": "GAP_UPDATE", "recordIds": []string{"003A", "003B"}}, nil))
	f.Fuzz(func(t *testing.T, payload []byte) {
		e, _, err := salesforce.Decode(contact, payload)
		if err == nil && e.Entity == "" {
			t.Fatal("an event without an entity")
		}
	})
}
