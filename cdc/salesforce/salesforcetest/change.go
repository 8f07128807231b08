package salesforcetest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tandem-cache/tandem/cdc/salesforce/internal/eventbus"
)

// maxPayload is how long an event may be; a change that needs more is sent as a GAP event.
const maxPayload = 1 << 20

// DefaultUser is who makes changes that name nobody.
const DefaultUser = "005000000000001AAA"

// Change is what happened to one or several records.
type Change struct {
	Entity string // required, added before
	// Type is CREATE, UPDATE, DELETE, UNDELETE, GAP_CREATE, GAP_UPDATE, GAP_DELETE, GAP_UNDELETE or GAP_OVERFLOW. Required.
	Type string
	// IDs are the records, which all got the same values: 18 characters each, or a wildcard such as "801*", or none.
	IDs []string
	// Fields are values by name, of CREATE, UPDATE and UNDELETE only. A part of a compound field is named as "BillingAddress.City".
	Fields map[string]any
	// Changed, Nulled and Diff are names of an UPDATE's fields, and become bitmaps. Nil Changed: those in Fields that are neither in Nulled
	// nor in Diff.
	Changed, Nulled, Diff []string
	// Transaction is the transaction's key. Empty: a new one.
	Transaction string
	// Sequence is the place in the transaction. Zero: 1.
	Sequence int
	// Committed is when. Zero: now. The event's age, by which it is retained, counts from when it is published.
	Committed time.Time
	// User is the id of who did it. Empty means DefaultUser.
	User string
	// Origin is the API client that did it, as "com/salesforce/api/soap/61.0;client=x". Empty: none.
	Origin string
}

// Change publishes a change, to the topic of its entity, to /data/ChangeEvents and to the channels with the entity, and returns its replay
// id on the first. An event that would be longer than 1 MiB is replaced by a GAP event.
func (s *Server) Change(c Change) (replayID []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commits++
	e, event, err := s.encodeLocked(c)
	if err != nil {
		return nil, err
	}
	return s.publishLocked(e.topics, event), nil
}

// Transaction publishes changes that were committed together: they get one key, and are numbered from 1. What lies behind Options.Overflow
// is replaced by a GAP_OVERFLOW for each entity. All is published or, with an error, nothing. The replay ids are those on the
// entities' own topics.
func (s *Server) Transaction(changes ...Change) (replayIDs [][]byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commits++
	key := newKey()
	var events []*eventbus.ProducerEvent
	var topics [][]*topic
	for i, c := range s.overflow(changes) {
		c.Transaction, c.Sequence = key, i+1
		e, event, err := s.encodeLocked(c)
		if err != nil {
			return nil, err
		}
		events, topics = append(events, event), append(topics, e.topics)
	}
	for i, event := range events {
		replayIDs = append(replayIDs, s.publishLocked(topics[i], event))
	}
	return replayIDs, nil
}

// overflow cuts what is too much of a transaction.
func (s *Server) overflow(changes []Change) []Change {
	total := 0
	var kept, gaps []Change
	for _, c := range changes {
		total += c.weight()
		if total <= s.opts.Overflow {
			kept = append(kept, c)
			continue
		}
		if !slices.ContainsFunc(gaps, func(gap Change) bool { return gap.Entity == c.Entity }) {
			gaps = append(gaps, Change{Entity: c.Entity, Type: "GAP_OVERFLOW", Committed: c.Committed, User: c.User, Origin: c.Origin})
		}
	}
	return append(kept, gaps...)
}

// weight is how often a change counts: an update counts for each field.
func (c Change) weight() int {
	if c.Type == "UPDATE" {
		return max(1, len(c.changed())+len(c.Nulled)+len(c.Diff)) * max(1, len(c.IDs))
	}
	return max(1, len(c.IDs))
}

func (c Change) changed() []string {
	if c.Changed != nil {
		return c.Changed
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(c.Fields)), func(name string) bool {
		return slices.Contains(c.Nulled, name) || slices.Contains(c.Diff, name)
	})
}

// encodeLocked makes the event of a change.
func (s *Server) encodeLocked(c Change) (*entity, *eventbus.ProducerEvent, error) {
	e := s.entities[c.Entity]
	if e == nil {
		return nil, nil, fmt.Errorf("salesforcetest: Change.Entity: there is no entity %q", c.Entity)
	}
	payload, err := s.payload(e, c)
	if err != nil {
		return nil, nil, fmt.Errorf("salesforcetest: %s of %s: %w", c.Type, c.Entity, err)
	}
	if len(payload) > maxPayload && !strings.HasPrefix(c.Type, "GAP_") {
		c.Type, c.Fields, c.Changed, c.Nulled, c.Diff = "GAP_"+c.Type, nil, nil, nil, nil
		return s.encodeLocked(c)
	}
	return e, &eventbus.ProducerEvent{SchemaId: e.schema.id, Payload: payload}, nil
}

func (s *Server) payload(e *entity, c Change) ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	body, err := e.schema.body(c.Fields)
	if err != nil {
		return nil, err
	}
	header := map[string]any{
		"entityName":      c.Entity,
		"recordIds":       append([]string{}, c.IDs...),
		"changeType":      c.Type,
		"changeOrigin":    c.Origin,
		"transactionKey":  cmp.Or(c.Transaction, newKey()),
		"sequenceNumber":  int32(max(1, c.Sequence)),
		"commitTimestamp": cmp.Or(c.Committed, time.Now()).UnixMilli(),
		"commitNumber":    s.commits,
		"commitUser":      cmp.Or(c.User, DefaultUser),
	}
	var changed []string
	if c.Type == "UPDATE" {
		changed = c.changed()
	}
	for name, fields := range map[string][]string{"changedFields": changed, "nulledFields": c.Nulled, "diffFields": c.Diff} {
		bitmaps, err := e.schema.bitmaps(fields)
		if err != nil {
			return nil, err
		}
		header[name] = append([]string{}, bitmaps...)
	}
	body[headerField] = header
	return e.schema.avro.Encode(body)
}

func (c Change) check() error {
	if !slices.Contains(changeTypes, c.Type) {
		return fmt.Errorf("the Type is none of %s", strings.Join(changeTypes, ", "))
	}
	if c.Sequence < 0 {
		return errors.New("the Sequence is negative")
	}
	if len(c.Fields) > 0 && c.Type != "CREATE" && c.Type != "UPDATE" && c.Type != "UNDELETE" {
		return errors.New("its events have no Fields")
	}
	if len(c.Changed)+len(c.Nulled)+len(c.Diff) > 0 && c.Type != "UPDATE" {
		return errors.New("only an UPDATE has Changed, Nulled and Diff")
	}
	return nil
}

// Publish publishes a platform event, and returns its replay id. Fields are its own ones.
func (s *Server) Publish(event string, fields map[string]any) (replayID []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[Event{Name: event}.Topic()]
	if t == nil {
		return nil, fmt.Errorf("salesforcetest: there is no event %q", event)
	}
	body, err := t.schema.body(fields)
	if err != nil {
		return nil, fmt.Errorf("salesforcetest: %s: %w", event, err)
	}
	body["CreatedDate"], body["CreatedById"] = time.Now().UnixMilli(), DefaultUser
	payload, err := t.schema.avro.Encode(body)
	if err != nil {
		return nil, fmt.Errorf("salesforcetest: %s: %w", event, err)
	}
	return s.publishLocked([]*topic{t}, &eventbus.ProducerEvent{Id: newKey(), SchemaId: t.schema.id, Payload: payload}), nil
}

// Raw publishes a payload as it is, on one topic: an event that can't be read. schemaID may be of AddSchema, or of no schema.
func (s *Server) Raw(topicName, schemaID string, payload []byte) (replayID []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[topicName]
	if t == nil {
		return nil, fmt.Errorf("salesforcetest: there is no topic %q", topicName)
	}
	return s.publishLocked([]*topic{t}, &eventbus.ProducerEvent{SchemaId: schemaID, Payload: slices.Clone(payload)}), nil
}

// SchemaID is the id of the schema that the next events of a topic have; "": there is no such topic, or its events differ.
func (s *Server) SchemaID(topicName string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.topics[topicName]; t != nil && t.schema != nil {
		return t.schema.id
	}
	return ""
}

// publishLocked puts one event on topics. Its replay id is that on the first.
func (s *Server) publishLocked(topics []*topic, event *eventbus.ProducerEvent) []byte {
	now := time.Now()
	place := s.bus.next(now)
	for _, t := range topics {
		id := replayID(t.era, place)
		t.append(stored{place, now, &eventbus.ConsumerEvent{Event: event, ReplayId: id}}, s.opts.MaxEvents)
	}
	return replayID(topics[0].era, place)
}

// newKey is as unique as the keys of transactions, and the ids of events, are.
func newKey() string {
	h := randomHex(16)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
