package salesforce

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/twmb/avro"
)

// headerField is the first field of every change event; a platform event has none.
const headerField = "ChangeEventHeader"

// Bounds of what a schema may hold, named types counted again wherever they are used. A real one has some hundred fields on two levels.
const (
	maxFields = 10_000
	maxNested = 8
	// maxResolved bounds the bytes of schema that are read again for named types: each reference to one reads the schema's text, roughly. A real
	// one has some hundred kilobytes at most, and a dozen references.
	maxResolved = 64 << 20
)

// maxSchemas bounds the schemas that a source remembers.
const maxSchemas = 1000

// schema is what events of one definition were written with.
type schema struct {
	avro   *avro.Schema
	entity string  // by the name of its record
	fields []field // in the order of the bitmaps
	change bool    // the first field is the header of a change event
	err    error   // it is of no use: its events are poisonous
}

// raw makes dates and times the numbers that they are on the wire.
var raw = []avro.SchemaOpt{
	avro.CustomType{LogicalType: "date"},
	avro.CustomType{LogicalType: "decimal"},
	avro.CustomType{LogicalType: "time-millis"},
	avro.CustomType{LogicalType: "time-micros"},
	avro.CustomType{LogicalType: "timestamp-millis"},
	avro.CustomType{LogicalType: "timestamp-micros"},
	avro.CustomType{LogicalType: "timestamp-nanos"},
	avro.CustomType{LogicalType: "local-timestamp-millis"},
	avro.CustomType{LogicalType: "local-timestamp-micros"},
	avro.CustomType{LogicalType: "local-timestamp-nanos"},
}

// parseSchema never fails: a schema that it can't use says why.
func parseSchema(json string) (s *schema) {
	defer func() { // hostile text must not end the process
		if r := recover(); r != nil {
			s = &schema{err: fmt.Errorf("salesforce: parse a schema: %v", r)}
		}
	}()
	parsed, err := avro.Parse(json, raw...)
	if err != nil {
		return &schema{err: fmt.Errorf("salesforce: parse a schema: %w", err)}
	}
	root := parsed.Root()
	s = &schema{avro: parsed}
	if root.Type != "record" {
		s.err = fmt.Errorf("salesforce: a schema is a %s; want a record", root.Type)
		return s
	}
	s.entity = entityOfRecord(root.Name)
	limits := bounds{fields: maxFields, references: maxResolved / max(1, len(json))}
	if s.err = limits.check(root, maxNested); s.err != nil {
		return s
	}
	for i := range root.Fields {
		f := field{name: root.Fields[i].Name}
		if record := recordOf(&root.Fields[i].Type); record != nil {
			if f.name == headerField {
				s.change = true
			} else {
				for _, part := range record.Fields {
					f.parts = append(f.parts, part.Name)
				}
			}
		}
		s.fields = append(s.fields, f)
	}
	return s
}

// bounds is what is left to a schema.
type bounds struct{ fields, references int }

// check refuses schemas that let a small payload decode into much: fields of type null take no byte, and neither does the
// end of a record that holds itself. It takes what it counts from what is left.
func (b *bounds) check(n *avro.SchemaNode, depth int) error {
	if depth == 0 {
		return fmt.Errorf("salesforce: a schema nests its types deeper than %d", maxNested)
	}
	if named(n) {
		if b.references--; b.references < 0 {
			return errors.New("salesforce: a schema is too large for the named types that it refers to")
		}
	}
	n, err := resolve(n)
	if err != nil {
		return err
	}
	b.fields -= 1 + len(n.Fields) + len(n.Branches)
	if b.fields < 0 {
		return fmt.Errorf("salesforce: a schema has more than %d fields", maxFields)
	}
	for i := range n.Fields {
		if err := b.check(&n.Fields[i].Type, depth-1); err != nil {
			return err
		}
	}
	for i := range n.Branches {
		if err := b.check(&n.Branches[i], depth-1); err != nil {
			return err
		}
	}
	for _, item := range []*avro.SchemaNode{n.Items, n.Values} {
		if item != nil && !scalars[item.Type] {
			return fmt.Errorf("salesforce: a schema has a list of %ss; want lists of scalars", item.Type)
		}
	}
	return nil
}

var scalars = map[string]bool{
	"boolean": true, "int": true, "long": true, "float": true, "double": true, "string": true, "bytes": true, "enum": true,
}

var plain = map[string]bool{"null": true, "union": true, "record": true, "fixed": true, "array": true, "map": true}

// named says that n only names a definition.
func named(n *avro.SchemaNode) bool { return !scalars[n.Type] && !plain[n.Type] }

// resolve returns the definition where n only names one.
func resolve(n *avro.SchemaNode) (*avro.SchemaNode, error) {
	if !named(n) {
		return n, nil
	}
	s, err := n.Schema()
	if err != nil {
		return nil, fmt.Errorf("salesforce: a schema names %q, which it doesn't define: %w", n.Type, err)
	}
	return s.Root(), nil
}

// recordOf returns the record that n is, or that is one branch of it; nil: there is none.
func recordOf(n *avro.SchemaNode) *avro.SchemaNode {
	n, err := resolve(n)
	if err != nil {
		return nil
	}
	if n.Type == "record" {
		return n
	}
	for i := range n.Branches {
		if b, err := resolve(&n.Branches[i]); err == nil && b.Type == "record" {
			return b
		}
	}
	return nil
}

// entityOfRecord turns the name of a record into that of what it is about: "OrderChangeEvent" is of Order, "Thing__ChangeEvent" of
// Thing__c; a platform event is about itself.
func entityOfRecord(name string) string {
	name = name[strings.LastIndexByte(name, '.')+1:] // a schema may write the namespace here
	if custom, ok := strings.CutSuffix(name, "__ChangeEvent"); ok && custom != "" {
		return custom + "__c"
	}
	if standard, ok := strings.CutSuffix(name, "ChangeEvent"); ok && standard != "" {
		return standard
	}
	return name
}

// entityOfTopic is what a topic is about; "": several entities, or a channel that doesn't say.
func entityOfTopic(topic string) string {
	name := topic[strings.LastIndexByte(topic, '/')+1:]
	if name == "ChangeEvents" || strings.HasSuffix(name, "__chn") {
		return ""
	}
	return entityOfRecord(name)
}

// schemas remembers definitions by their id, which never changes its meaning.
type schemas struct {
	mu   sync.Mutex // guards byID
	byID map[string]*schema
}

func (c *schemas) get(id string) *schema {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byID[id]
}

// put adds s, and drops another one if there are too many.
func (c *schemas) put(id string, s *schema) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID == nil {
		c.byID = make(map[string]*schema)
	}
	for other := range c.byID {
		if len(c.byID) < maxSchemas {
			break
		}
		delete(c.byID, other)
	}
	c.byID[id] = s
}
