package salesforce

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/avro"

	"github.com/tandem-cache/tandem/cdc"
)

// Bounds of what one event becomes.
const (
	maxRecords = 10_000 // more: the event is about the whole entity
	maxCells   = 50_000 // more: the rows hold their Id alone
	maxName    = 255    // bytes of an entity's name
)

// header is what a change event says about itself.
type header struct {
	entity, change, transaction string
	ids                         []string
	committed                   int64 // ms
	changed, nulled, diff       []string
}

// decode reads the payload of an event. An error has no values of fields in it. committed is zero if the event doesn't say.
func (s *schema) decode(payload []byte) (e cdc.Event, committed time.Time, err error) {
	defer func() { // a hostile payload must not end the process
		if r := recover(); r != nil {
			e, committed, err = cdc.Event{}, time.Time{}, errors.New("salesforce: an event's payload can't be decoded")
		}
	}()
	if s.err != nil {
		return cdc.Event{}, time.Time{}, s.err
	}
	body, err := s.body(payload)
	if err != nil {
		return cdc.Event{}, time.Time{}, err
	}
	if !s.change {
		e, committed = s.platformEvent(body)
		return e, committed, nil
	}
	h, err := readHeader(body)
	if err != nil {
		return cdc.Event{}, time.Time{}, err
	}
	if h.committed != 0 {
		committed = time.UnixMilli(h.committed)
	}
	return s.changeEvent(h, body), committed, nil
}

func (s *schema) body(payload []byte) (map[string]any, error) {
	var v any
	rest, err := s.avro.Decode(payload, &v)
	if err != nil {
		return nil, reason(err)
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("salesforce: an event's payload is %d bytes longer than its schema says", len(rest))
	}
	body, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("salesforce: an event's payload is no record")
	}
	return body, nil
}

// reason says what is wrong with a payload without the decoder's own words, which may quote it.
func reason(err error) error {
	if _, ok := errors.AsType[*avro.ShortBufferError](err); ok {
		return errors.New("salesforce: an event's payload is shorter than its schema says")
	}
	if semantic, ok := errors.AsType[*avro.SemanticError](err); ok && semantic.Field != "" {
		return fmt.Errorf("salesforce: an event's payload doesn't fit its schema at field %.100q", semantic.Field)
	}
	return errors.New("salesforce: an event's payload doesn't fit its schema")
}

func readHeader(body map[string]any) (header, error) {
	m, ok := body[headerField].(map[string]any)
	if !ok {
		return header{}, errors.New("salesforce: an event has no " + headerField)
	}
	var h header
	for name, to := range map[string]*string{"entityName": &h.entity, "changeType": &h.change} {
		if *to, ok = m[name].(string); !ok || *to == "" || len(*to) > maxName {
			return header{}, fmt.Errorf("salesforce: an event's header has no %s of 1 to %d bytes", name, maxName)
		}
	}
	h.transaction, _ = m["transactionKey"].(string)
	h.committed, _ = m["commitTimestamp"].(int64)
	for name, to := range map[string]*[]string{
		"recordIds": &h.ids, "changedFields": &h.changed, "nulledFields": &h.nulled, "diffFields": &h.diff,
	} {
		if *to, ok = texts(m[name]); !ok {
			return header{}, fmt.Errorf("salesforce: an event's header has %s that are no list of strings", name)
		}
	}
	return h, nil
}

// texts returns a list of strings; nil stands for an empty one.
func texts(v any) (list []string, ok bool) {
	items, ok := v.([]any)
	if !ok {
		return nil, v == nil
	}
	for _, item := range items {
		text, ok := item.(string)
		if !ok {
			return nil, false
		}
		list = append(list, text)
	}
	return list, true
}

func (s *schema) changeEvent(h header, body map[string]any) cdc.Event {
	e := cdc.Event{Entity: h.entity, Transaction: h.transaction, Kind: kindOf(h)}
	if e.Kind == cdc.Whole {
		return e
	}
	columns := cdc.Row{}
	if !strings.HasPrefix(h.change, "GAP_") {
		columns = s.columns(h, body)
		if h.change == "UPDATE" {
			e.Changed = s.changed(h)
		}
	}
	if len(h.ids)*(len(columns)+1) > maxCells {
		columns = cdc.Row{}
	}
	e.Rows = make([]cdc.Row, 0, len(h.ids))
	for _, id := range h.ids {
		row := make(cdc.Row, len(columns)+1)
		maps.Copy(row, columns)
		row["Id"] = id
		e.Rows = append(e.Rows, row)
	}
	return e
}

// kindOf is Whole unless the change is of a known type and of records that are named.
func kindOf(h header) cdc.Kind {
	unnamed := func(id string) bool { return id == "" || strings.HasSuffix(id, "*") }
	if len(h.ids) == 0 || len(h.ids) > maxRecords || slices.ContainsFunc(h.ids, unnamed) {
		return cdc.Whole
	}
	switch strings.TrimPrefix(h.change, "GAP_") {
	case "CREATE", "UNDELETE":
		return cdc.Insert
	case "UPDATE":
		return cdc.Update
	case "DELETE":
		return cdc.Delete
	default: // GAP_OVERFLOW, and what is unknown
		return cdc.Whole
	}
}

// changed returns the names of the fields that an update changed; nil: unknown. That no field changed is not to be believed.
func (s *schema) changed(h header) []string {
	var names []string
	for _, masks := range [][]string{h.changed, h.nulled, h.diff} {
		more, err := changedFields(s.fields, masks)
		if err != nil {
			return nil
		}
		names = append(names, more...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// columns returns the values that the event carries, as text. A field that holds a difference instead of its value is left out.
func (s *schema) columns(h header, body map[string]any) cdc.Row {
	diff, err := changedFields(s.fields, h.diff)
	if err != nil {
		return cdc.Row{} // any may be one
	}
	row := s.row(body)
	if len(diff) == 0 {
		return row
	}
	skip := make(map[string]bool, len(diff))
	for _, name := range diff {
		skip[name] = true
	}
	maps.DeleteFunc(row, func(column, _ string) bool {
		parent, _, _ := strings.Cut(column, ".")
		return skip[column] || skip[parent]
	})
	return row
}

// row returns the values of all fields but the header.
func (s *schema) row(body map[string]any) cdc.Row {
	row := make(cdc.Row)
	for _, f := range s.fields {
		if f.name == headerField && s.change {
			continue
		}
		if parts, ok := body[f.name].(map[string]any); ok {
			for _, part := range f.parts {
				setText(row, f.name+"."+part, parts[part])
			}
			continue
		}
		setText(row, f.name, body[f.name])
	}
	return row
}

// setText sets a column unless the value is null, or has no plain text: bytes, lists and deeper records are left out, and who asks for one
// with Row.Must invalidates the entity.
func setText(row cdc.Row, column string, value any) {
	switch v := value.(type) {
	case string:
		row[column] = v
	case bool:
		row[column] = strconv.FormatBool(v)
	case int32:
		row[column] = strconv.FormatInt(int64(v), 10)
	case int64:
		row[column] = strconv.FormatInt(v, 10)
	case float32:
		row[column] = strconv.FormatFloat(float64(v), 'f', -1, 32)
	case float64:
		row[column] = strconv.FormatFloat(v, 'f', -1, 64)
	}
}

// platformEvent makes an Insert of its fields.
func (s *schema) platformEvent(body map[string]any) (cdc.Event, time.Time) {
	var committed time.Time
	if ms, ok := body["CreatedDate"].(int64); ok {
		committed = time.UnixMilli(ms)
	}
	return cdc.Event{Entity: s.entity, Kind: cdc.Insert, Rows: []cdc.Row{s.row(body)}}, committed
}
