package salesforce_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/tandem-cache/tandem/cdc/salesforce"
	"github.com/tandem-cache/tandem/cdc/salesforce/internal/eventbus"
)

func quietly(sub *subscription) error { return sub.silence() }

func TestNotExclusive(t *testing.T) {
	if newService(t, quietly).source(nil).Exclusive() {
		t.Error("exclusive; want one that anybody can open")
	}
}

// Streams in a row share a login, unless the service refused it.
func TestLogins(t *testing.T) {
	var refuse atomic.Bool
	s := newService(t, func(sub *subscription) error {
		if refuse.Load() {
			return refusal(codes.Unauthenticated, sub.SetTrailer, "service.auth.error")
		}
		return sub.silence()
	})
	source := s.source(nil)
	s.open(source, positionOf(1))
	s.open(source, positionOf(1))
	if got := s.loginCount(); got != 1 {
		t.Errorf("%d logins for two streams in a row; want 1", got)
	}
	refuse.Store(true)
	err := nextError(t, s.open(source, positionOf(1)))
	if refused, ok := errors.AsType[*salesforce.Error](err); !ok || refused.Code != "service.auth.error" || refused.RetryAfter() != 0 {
		t.Errorf("error %v; want the service's, to be tried again soon", err)
	}
	refuse.Store(false)
	s.open(source, positionOf(1))
	if got := s.loginCount(); got != 2 {
		t.Errorf("%d logins after one was refused; want 2", got)
	}
}

// fixedAuth counts its logins.
type fixedAuth struct {
	logins int
	token  salesforce.Token
	err    error
}

func (a *fixedAuth) Token(context.Context) (salesforce.Token, error) {
	a.logins++
	return a.token, a.err
}

func TestLoginAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &fixedAuth{token: salesforce.Token{Access: "a", Instance: "https://shop.my.salesforce.com", Tenant: org}}
		source, err := salesforce.NewSource(salesforce.Config{Auth: auth, Topic: topic})
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			wait   time.Duration
			logins int
		}{{0, 1}, {59 * time.Second, 1}, {time.Second, 2}, {59 * time.Second, 2}} {
			time.Sleep(step.wait)
			if _, err := source.FreshToken(t.Context()); err != nil || auth.logins != step.logins {
				t.Errorf("%s later: %d logins, %v; want %d", step.wait, auth.logins, err, step.logins)
			}
		}
	})
}

func TestLoginFails(t *testing.T) {
	s := newService(t, quietly)
	cause := errors.New("the vault is sealed")
	for name, auth := range map[string]*fixedAuth{
		"an error":      {err: cause},
		"half a token":  {token: salesforce.Token{Access: "a", Tenant: org}},
		"an org's name": {token: salesforce.Token{Access: "a", Instance: "https://shop.my.salesforce.com", Tenant: "my org"}},
	} {
		source := s.source(func(c *salesforce.Config) { c.Auth = auth })
		_, err := source.Open(t.Context(), "")
		if err == nil || !strings.HasPrefix(err.Error(), "salesforce: log in: ") || auth.err != nil && !errors.Is(err, cause) {
			t.Errorf("%s: open: %v; want the login's error", name, err)
		}
	}
}

func TestWindowGrowsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, err := salesforce.NewSource(salesforce.Config{Auth: &fixedAuth{}, Topic: topic, Window: 15})
		if err != nil {
			t.Fatal(err)
		}
		source.Shrink()
		source.Shrink()
		for _, step := range []struct {
			wait time.Duration
			want int
		}{{9 * time.Minute, 3}, {time.Minute, 6}, {9 * time.Minute, 6}, {time.Minute, 12}, {time.Hour, 15}, {time.Hour, 15}} {
			time.Sleep(step.wait)
			if got := source.Window(); got != step.want {
				t.Errorf("%s later: window %d; want %d", step.wait, got, step.want)
			}
		}
	})
}

// TestRefused has what Open and Check have in common.
func TestRefused(t *testing.T) {
	tests := []struct {
		name  string
		set   func(*service)
		code  string
		text  string
		pause time.Duration
	}{
		{
			"no such topic",
			func(s *service) {
				s.topic = func(ctx context.Context, _ *eventbus.TopicInfo) error { return unaryRefusal(ctx, "topic.not.found") }
			},
			"topic.not.found", "Config.Topic", 5 * time.Minute,
		},
		{
			"no right to subscribe",
			func(s *service) {
				s.topic = func(_ context.Context, info *eventbus.TopicInfo) error {
					info.CanSubscribe = false
					return nil
				}
			},
			"", "can't subscribe", 5 * time.Minute,
		},
		{
			"no right to the schema",
			func(s *service) {
				s.schema = func(ctx context.Context, _ string) (string, error) {
					return "", unaryRefusal(ctx, "schema.meta.permission")
				}
			},
			"schema.meta.permission", "integration user", 5 * time.Minute,
		},
		{
			"the service is down",
			func(s *service) {
				s.topic = func(ctx context.Context, _ *eventbus.TopicInfo) error {
					return unaryRefusal(ctx, "topic.api.unavailable")
				}
			},
			"topic.api.unavailable", "", 0,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newService(t, quietly)
			tt.set(s)
			source := s.source(nil)
			_, opened := source.Open(t.Context(), "")
			for call, err := range map[string]error{"open": opened, "check": source.Check(t.Context())} {
				refused, ok := errors.AsType[*salesforce.Error](err)
				if !ok || refused.Code != tt.code || refused.RetryAfter() != tt.pause || !strings.Contains(err.Error(), tt.text) {
					t.Errorf("%s: %v; want code %q, pause %s, text %q", call, err, tt.code, tt.pause, tt.text)
				}
			}
		})
	}
}

func TestCheck(t *testing.T) {
	s := newService(t, quietly)
	if err := s.source(nil).Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
	s.schema = func(context.Context, string) (string, error) { return "{", nil }
	source := s.source(nil)
	if err := source.Check(t.Context()); err == nil {
		t.Error("check of a topic whose schema can't be parsed: no error")
	}
	s.open(source, positionOf(1)) // its events are poisonous, and the rest goes on
	s.topic = func(_ context.Context, info *eventbus.TopicInfo) error {
		info.SchemaId = ""
		return nil
	}
	if err := s.source(nil).Check(t.Context()); err != nil {
		t.Errorf("check of a channel, which has no schema of its own: %v", err)
	}
	if got := s.begun(); len(got) > 1 {
		t.Errorf("check subscribed: %v", got)
	}
}

func TestNobodyListens(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	s := newService(t, quietly)
	source := s.source(func(c *salesforce.Config) { c.Endpoint = listener.Addr().String() })
	_, err = source.Open(t.Context(), "")
	if refused, ok := errors.AsType[*salesforce.Error](err); !ok || refused.RetryAfter() != 0 {
		t.Errorf("open: %v; want an error to be tried again soon", err)
	}
}

func TestOpenEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := newService(t, quietly)
	s.topic = func(ctx context.Context, _ *eventbus.TopicInfo) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	}
	if _, err := s.source(nil).Open(ctx, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("open: %v; want the end of the context", err)
	}
}

// A schema is asked for once, by the source; the one of the topic, beforehand.
func TestSchemasAreRemembered(t *testing.T) {
	s := newService(t, func(sub *subscription) error {
		resp := &eventbus.FetchResponse{PendingNumRequested: 90}
		for n, id := range []string{"contact", "contact-2", "contact", "contact-2"} {
			resp.Events = append(resp.Events, event(n+1, id, change(t, nil, nil)))
		}
		if err := sub.Send(resp); err != nil {
			return err
		}
		return sub.silence()
	})
	source := s.source(nil)
	for range 2 {
		for _, e := range next(t, s.open(source, positionOf(0))).Events {
			if e.Err != nil {
				t.Errorf("event: %v", e.Err)
			}
		}
	}
	if want := []string{"contact", "contact-2"}; !slices.Equal(s.schemaCalls, want) {
		t.Errorf("schemas asked for: %q; want %q", s.schemaCalls, want)
	}
}

// The session of a stream's token ends while the stream lives, and the next new schema is the first to notice.
func TestSchemaNeedsANewLogin(t *testing.T) {
	for name, tt := range map[string]struct {
		accepts string // the token that the service takes; "": none
		logins  int
	}{
		"the second login is good": {"token-2", 2},
		"no login is":              {"", 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, func(sub *subscription) error {
				if err := sub.Send(&eventbus.FetchResponse{PendingNumRequested: 99, Events: []*eventbus.ConsumerEvent{
					event(1, "contact-2", change(t, nil, nil)),
				}}); err != nil {
					return err
				}
				return sub.silence()
			})
			s.schema = func(ctx context.Context, id string) (string, error) {
				if token := s.caller(ctx, "GetSchema"); id != "contact" && token != tt.accepts {
					return "", unaryRefusal(ctx, "service.auth.error")
				}
				return contact, nil
			}
			stream := s.open(s.source(nil), positionOf(0))
			if tt.accepts == "" {
				if refused, ok := errors.AsType[*salesforce.Error](nextError(t, stream)); !ok || refused.Code != "service.auth.error" {
					t.Errorf("error %v; want the service's", refused)
				}
			} else if b := next(t, stream); len(b.Events) != 1 || b.Events[0].Err != nil {
				t.Errorf("batch %+v; want a good event", b)
			}
			if got := s.loginCount(); got != tt.logins {
				t.Errorf("%d logins; want %d", got, tt.logins)
			}
		})
	}
}

// An event whose schema can't be had now is not to be skipped.
func TestSchemaIsNotToBeHad(t *testing.T) {
	for _, code := range []string{"schema.api.unavailable", "schema.meta.permission"} {
		t.Run(code, func(t *testing.T) {
			s := newService(t, func(sub *subscription) error {
				if err := sub.Send(&eventbus.FetchResponse{PendingNumRequested: 98, Events: []*eventbus.ConsumerEvent{
					numbered(t, 1), event(2, "contact-2", change(t, nil, nil)),
				}}); err != nil {
					return err
				}
				return sub.silence()
			})
			s.schema = func(ctx context.Context, id string) (string, error) {
				if id != "contact" {
					return "", unaryRefusal(ctx, code)
				}
				return contact, nil
			}
			stream := s.open(s.source(nil), positionOf(0))
			if b := next(t, stream); !slices.Equal(ids(b), []string{"1"}) || b.Position != positionOf(1) {
				t.Errorf("batch %+v; want event 1 alone", b)
			}
			if refused, ok := errors.AsType[*salesforce.Error](nextError(t, stream)); !ok || refused.Code != code {
				t.Errorf("error %v; want %s", refused, code)
			}
		})
	}
}
