package salesforcetest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/twmb/avro"
)

const (
	namespace   = "com.sforce.eventbus"
	headerField = "ChangeEventHeader"
	maxFields   = 1000
)

// definition is one version of what an event looks like.
type definition struct {
	id, json string
	fields   []Field // of the body; the header is not among them
	avro     *avro.Schema
}

// node and property are a schema as JSON, in the order in which the service writes it.
type node struct {
	Type      string     `json:"type"`
	Name      string     `json:"name,omitempty"`
	Namespace string     `json:"namespace,omitempty"`
	Fields    []property `json:"fields,omitempty"`
	Items     string     `json:"items,omitempty"`
	Symbols   []string   `json:"symbols,omitempty"`
}

type property struct {
	Name    string           `json:"name"`
	Type    any              `json:"type"`
	Doc     string           `json:"doc,omitempty"`
	Default *json.RawMessage `json:"default,omitempty"`
}

// changeTypes are all that a header may say.
var changeTypes = []string{
	"CREATE", "UPDATE", "DELETE", "UNDELETE", "GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE", "GAP_OVERFLOW",
}

func headerProperty() property {
	list := node{Type: "array", Items: "string"}
	return property{Name: headerField, Type: node{Type: "record", Name: headerField, Fields: []property{
		{Name: "entityName", Type: "string"},
		{Name: "recordIds", Type: list},
		{Name: "changeType", Type: node{Type: "enum", Name: "ChangeType", Symbols: changeTypes}},
		{Name: "changeOrigin", Type: "string"},
		{Name: "transactionKey", Type: "string"},
		{Name: "sequenceNumber", Type: "int"},
		{Name: "commitTimestamp", Type: "long"},
		{Name: "commitNumber", Type: "long"},
		{Name: "commitUser", Type: "string"},
		{Name: "nulledFields", Type: list},
		{Name: "diffFields", Type: list},
		{Name: "changedFields", Type: list},
	}}}
}

// define makes the schema of a record: its fixed properties, and a property that may be null for each field.
func define(record string, fixed []property, fields []Field) (*definition, error) {
	seen := map[string]bool{}
	for _, p := range fixed {
		seen[p.Name] = true
	}
	properties := fixed
	records := map[string]bool{} // that are defined
	for _, f := range fields {
		if !fieldName.MatchString(f.Name) || seen[f.Name] || !f.Type.valid() {
			return nil, fmt.Errorf("salesforcetest: field %q of %s is malformed, or there twice", f.Name, record)
		}
		seen[f.Name] = true
		properties = append(properties, nullable(f, records))
	}
	if len(properties) > maxFields {
		return nil, fmt.Errorf("salesforcetest: %s has more than %d fields", record, maxFields)
	}
	text, err := json.Marshal(node{Type: "record", Name: record, Namespace: namespace, Fields: properties})
	if err != nil {
		return nil, fmt.Errorf("salesforcetest: schema of %s: %w", record, err)
	}
	parsed, err := avro.Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("salesforcetest: schema of %s: %w", record, err)
	}
	return &definition{id: schemaID(string(text)), json: string(text), fields: fields, avro: parsed}, nil
}

var fieldName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,99}$`)

var null = json.RawMessage("null")

func nullable(f Field, records map[string]bool) property {
	p := property{Name: f.Name, Doc: "Data:" + f.Type.doc(), Default: &null}
	switch c := f.Type.compound(); {
	case c == nil:
		p.Type = []any{"null", f.Type.avro()}
	case f.Type == SwitchName:
		p.Type = []any{"null", "string", c.node(records)}
	default:
		p.Type = []any{"null", c.node(records)}
	}
	return p
}

// node defines the record where it is first used, and names it from then on.
func (c *compound) node(records map[string]bool) any {
	if records[c.record] {
		return c.record
	}
	records[c.record] = true
	n := node{Type: "record", Name: c.record}
	for _, part := range c.parts {
		n.Fields = append(n.Fields, nullable(part, nil))
	}
	return n
}

func (t Type) avro() string {
	return map[Type]string{Text: "string", Double: "double", Int: "int", Boolean: "boolean", Time: "long"}[t]
}

func (t Type) doc() string {
	return map[Type]string{
		Text: "Text", Double: "Double", Int: "Integer", Boolean: "Boolean", Time: "DateTime",
		Address: "Address", PersonName: "PersonName", SwitchName: "SwitchablePersonName",
	}[t]
}

// schemaID depends on the text alone: the same definition keeps its id, another one has another.
func schemaID(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// bitmaps writes names of fields as the header does: first the bitmap of whole fields, then one for each compound field of which parts
// are named.
func (d *definition) bitmaps(names []string) ([]string, error) {
	whole := make([]byte, (len(d.fields)+8)/8) // the header is field 0
	parts := make(map[int]uint64)
	for _, name := range names {
		parent, part, isPart := strings.Cut(name, ".")
		i := index(d.fields, parent)
		if i < 0 {
			return nil, fmt.Errorf("there is no field %q", parent)
		}
		if !isPart {
			setBit(whole, i+1)
			continue
		}
		bit := -1
		if c := d.fields[i].Type.compound(); c != nil {
			bit = index(c.parts, part)
		}
		if bit < 0 {
			return nil, fmt.Errorf("there is no field %q", name)
		}
		parts[i+1] |= 1 << bit
	}
	return writeBitmaps(whole, parts, len(d.fields)), nil
}

func writeBitmaps(whole []byte, parts map[int]uint64, fields int) []string {
	var list []string
	for len(whole) > 0 && whole[0] == 0 {
		whole = whole[1:]
	}
	if len(whole) > 0 {
		list = append(list, fmt.Sprintf("0x%X", whole))
	}
	for i := range fields + 1 {
		if bits := parts[i]; bits != 0 {
			list = append(list, fmt.Sprintf("%d-0x%02X", i, bits))
		}
	}
	return list
}

// setBit counts from the lowest bit of the last byte.
func setBit(bits []byte, i int) { bits[len(bits)-1-i/8] |= 1 << (i % 8) }

func index(fields []Field, name string) int {
	for i, f := range fields {
		if f.Name == name {
			return i
		}
	}
	return -1
}

// body makes the record of the fields' values, by their names; parts of compound fields are named "Parent.Part".
func (d *definition) body(values map[string]any) (map[string]any, error) {
	body := make(map[string]any, len(d.fields)+3)
	for name, v := range values {
		parent, part, isPart := strings.Cut(name, ".")
		i := index(d.fields, parent)
		if i < 0 {
			return nil, fmt.Errorf("there is no field %q", parent)
		}
		f := d.fields[i]
		if !isPart {
			value, err := f.Type.value(v)
			if _, twice := body[name]; err != nil || twice {
				return nil, fmt.Errorf("field %q: %w", name, errors.Join(err, twiceError(twice)))
			}
			body[name] = value
			continue
		}
		if err := setPart(body, f, part, v); err != nil {
			return nil, fmt.Errorf("field %q: %w", name, err)
		}
	}
	return body, nil
}

func twiceError(twice bool) error {
	if twice {
		return errors.New("is there as a whole and in parts")
	}
	return nil
}

func setPart(body map[string]any, f Field, part string, v any) error {
	c := f.Type.compound()
	if c == nil {
		return errors.New("isn't compound")
	}
	i := index(c.parts, part)
	if i < 0 {
		return errors.New("there is no such part")
	}
	value, err := c.parts[i].Type.value(v)
	if err != nil {
		return err
	}
	record, ok := body[f.Name].(map[string]any)
	if !ok {
		if _, there := body[f.Name]; there {
			return twiceError(true)
		}
		record = map[string]any{}
		body[f.Name] = record
	}
	record[part] = value
	return nil
}
