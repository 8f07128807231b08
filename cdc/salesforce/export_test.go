package salesforce

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/tandem-cache/tandem/cdc"
)

// Decode decodes a payload with a schema, as the stream does.
func Decode(schema string, payload []byte) (cdc.Event, time.Time, error) {
	return parseSchema(schema).decode(payload)
}

// ParseSchema returns what a schema is about, and why it is of no use.
func ParseSchema(schema string) (entity string, err error) {
	s := parseSchema(schema)
	return s.entity, s.err
}

// Field is a field of a record; with Parts it is compound.
type Field struct {
	Name  string
	Parts []string
}

// ChangedFields decodes bitmaps.
func ChangedFields(fields []Field, masks []string) ([]string, error) {
	var inner []field
	for _, f := range fields {
		inner = append(inner, field{name: f.Name, parts: f.Parts})
	}
	return changedFields(inner, masks)
}

// FormatPosition parses a position and writes it again.
func FormatPosition(s string) (string, error) {
	p, err := parsePosition(s)
	return p.String(), err
}

// NewPosition writes a position.
func NewPosition(org, topic string, replay []byte) string {
	return position{org: org, topic: topic, replay: replay}.String()
}

// CallError is what a call becomes that failed with a status and, unless code is empty, that trailer.
func CallError(c codes.Code, code string) *Error {
	trailer := metadata.MD{}
	if code != "" {
		trailer = metadata.Pairs(trailerCode, code, trailerRPC, "rpc-1")
	}
	return callError("Subscribe", status.Error(c, "the service's own words"), trailer)
}

// Class names what is done about an error.
func (e *Error) Class() string {
	return [...]string{"transient", "renew", "lost", "overflow", "slow", "quota", "configuration", "bug"}[e.class]
}

// Codes are the codes that have a row in the table of errors.
func Codes() []string {
	var known []string
	for code := range codesKnown {
		known = append(known, code)
	}
	return known
}

// EntityOfTopic is what a topic is about.
func EntityOfTopic(topic string) string { return entityOfTopic(topic) }

// Schemas opens the schema cache to tests.
type Schemas struct{ c schemas }

func (s *Schemas) Put(id string)      { s.c.put(id, &schema{}) }
func (s *Schemas) Has(id string) bool { return s.c.get(id) != nil }
func (s *Schemas) Len() int           { return len(s.c.byID) }

// Window opens window to tests.
type Window struct{ w window }

// NewWindow returns one of size events.
func NewWindow(size int) *Window { return &Window{w: window{size: size}} }

func (w *Window) Refill() int                  { return w.w.refill(time.Now()) }
func (w *Window) Received(events, pending int) { w.w.received(time.Now(), events, pending) }

// FreshToken returns the token for a new stream.
func (s *Source) FreshToken(ctx context.Context) (Token, error) { return s.freshToken(ctx) }

// Window is the window of the next subscription.
func (s *Source) Window() int { return s.window() }

// Shrink is what an overflow does.
func (s *Source) Shrink() { s.shrink() }

// Progress opens progress to tests.
type Progress struct {
	Waits time.Time // since when the oldest event waits for Next
	p     progress
}

func (p *Progress) Subscribed(atEnd bool)        { p.p.subscribed(time.Now(), atEnd) }
func (p *Progress) Response(committed time.Time) { p.p.response(time.Now(), committed) }
func (p *Progress) Received()                    { p.p.received(time.Now()) }
func (p *Progress) Parked(since time.Time)       { p.p.parked(since) }
func (p *Progress) End()                         { p.p.end() }
func (p *Progress) Lag() (time.Duration, bool)   { return p.p.lag(time.Now(), p.Waits) }
