package salesforcetest

import (
	"fmt"
	"regexp"
	"strings"
)

const allChanges = "/data/ChangeEvents"

// Entity is an object whose changes are captured.
type Entity struct {
	Name   string  // "Order", or "Thing__c" of a custom one
	Fields []Field // of its change events, in the schema's order; system fields such as LastModifiedDate only if they are named
}

// Event is a platform event.
type Event struct {
	Name   string // "Shipped__e"
	Fields []Field
}

// entity is what the server knows of an Entity.
type entity struct {
	name   string
	schema *definition
	topics []*topic // its own one first
}

var (
	entityName  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,79}$`)
	eventName   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,76}__e$`)
	channelName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,74}__chn$`)
)

// recordOf is the name of an entity's change event: "OrderChangeEvent", "Thing__ChangeEvent".
func recordOf(entity string) string {
	if custom, ok := strings.CutSuffix(entity, "__c"); ok {
		return custom + "__ChangeEvent"
	}
	return entity + "ChangeEvent"
}

// Topic is where the changes of an entity alone are: "/data/OrderChangeEvent".
func (e Entity) Topic() string { return "/data/" + recordOf(e.Name) }

// Topic is where the events are: "/event/Shipped__e".
func (e Event) Topic() string { return "/event/" + e.Name }

// AddEntity captures the changes of an object: they go to its own topic and to /data/ChangeEvents.
func (s *Server) AddEntity(e Entity) error {
	if !entityName.MatchString(e.Name) {
		return fmt.Errorf("salesforcetest: Entity.Name %q is malformed", e.Name)
	}
	def, err := define(recordOf(e.Name), []property{headerProperty()}, append([]Field(nil), e.Fields...))
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entities[e.Name] != nil {
		return fmt.Errorf("salesforcetest: entity %s is there already", e.Name)
	}
	own := s.addTopicLocked(e.Topic(), def)
	s.entities[e.Name] = &entity{name: e.Name, schema: def, topics: []*topic{own, s.topics[allChanges]}}
	s.schemas[def.id] = def.json
	return nil
}

// ChangeSchema gives an entity other fields, as when an administrator adds or removes some. Its next changes have a new schema id; events
// that are stored keep theirs.
func (s *Server) ChangeSchema(entity string, fields []Field) error {
	def, err := define(recordOf(entity), []property{headerProperty()}, append([]Field(nil), fields...))
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entities[entity]
	if e == nil {
		return fmt.Errorf("salesforcetest: there is no entity %q", entity)
	}
	e.schema, e.topics[0].schema = def, def
	s.schemas[def.id] = def.json
	return nil
}

// AddEvent makes a platform event, with the fields CreatedDate and CreatedById before its own.
func (s *Server) AddEvent(e Event) error {
	if !eventName.MatchString(e.Name) {
		return fmt.Errorf("salesforcetest: Event.Name %q: want a name that ends with __e", e.Name)
	}
	fixed := []property{{Name: "CreatedDate", Type: "long"}, {Name: "CreatedById", Type: "string"}}
	def, err := define(e.Name, fixed, append([]Field(nil), e.Fields...))
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.topics[e.Topic()] != nil {
		return fmt.Errorf("salesforcetest: event %s is there already", e.Name)
	}
	s.addTopicLocked(e.Topic(), def).publish = true
	s.schemas[def.id] = def.json
	return nil
}

// AddChannel makes the topic /data/<name> of a custom channel, such as "Sales__chn", for the changes of some entities from now on.
func (s *Server) AddChannel(name string, entities ...string) error {
	if !channelName.MatchString(name) {
		return fmt.Errorf("salesforcetest: channel %q: want a name that ends with __chn", name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.topics["/data/"+name] != nil {
		return fmt.Errorf("salesforcetest: channel %s is there already", name)
	}
	for _, e := range entities {
		if s.entities[e] == nil {
			return fmt.Errorf("salesforcetest: channel %s: there is no entity %q", name, e)
		}
	}
	t := s.addTopicLocked("/data/"+name, nil)
	for _, e := range entities {
		s.entities[e].topics = append(s.entities[e].topics, t)
	}
	return nil
}

// AddSchema makes a text known as a schema and returns its id, for Raw. It needn't be a schema at all.
func (s *Server) AddSchema(text string) (id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id = schemaID(text)
	s.schemas[id] = text
	return id
}

func (s *Server) addTopicLocked(name string, def *definition) *topic {
	t := &topic{name: name, schema: def, era: newEra(0), subs: map[*subscription]struct{}{}}
	s.topics[name] = t
	return t
}
