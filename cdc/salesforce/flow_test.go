package salesforce_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/cdc/salesforce"
	"github.com/tandem-cache/tandem/cdc/salesforce/internal/eventbus"
)

func TestWindow(t *testing.T) {
	type step struct {
		wait                    time.Duration
		events, pending, refill int
	}
	tests := []struct {
		name  string
		size  int
		steps []step // the first one is of no response
	}{
		{"half is gone", 100, []step{{refill: 100}, {0, 49, 51, 0}, {0, 1, 50, 50}, {0, 10, 90, 0}}},
		{"keepalives", 100, []step{{refill: 100}, {time.Minute, 0, 100, 0}, {time.Minute, 0, 100, 0}}},
		{"all is gone at once", 100, []step{{refill: 100}, {0, 100, 0, 100}}},
		{
			"responses that were sent before the request came", 100,
			[]step{{refill: 100}, {0, 50, 50, 50}, {0, 1, 49, 0}, {0, 1, 48, 0}, {time.Second, 1, 97, 0}, {0, 47, 50, 50}},
		},
		{"a request that is never seen", 100, []step{{refill: 100}, {0, 50, 50, 50}, {9 * time.Second, 1, 49, 0}, {time.Second, 1, 48, 52}}},
		{"the service believes that more was asked for", 100, []step{{refill: 100}, {0, 50, 60, 0}, {0, 10, 50, 50}}},
		{"more than was asked for", 100, []step{{refill: 100}, {0, 150, -1, 100}}},
		{"one at a time", 1, []step{{refill: 1}, {0, 0, 1, 0}, {0, 1, 0, 1}}},
		{"odd", 3, []step{{refill: 3}, {0, 1, 2, 0}, {0, 1, 1, 2}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := salesforce.NewWindow(tt.size)
				for i, s := range tt.steps {
					time.Sleep(s.wait)
					if i > 0 {
						w.Received(s.events, s.pending)
					}
					if got := w.Refill(); got != s.refill {
						t.Fatalf("step %d: refill %d; want %d", i, got, s.refill)
					}
				}
			})
		})
	}
}

// broker sends the events that it is asked for, one by one, from the replay id on: event n has the replay id n.
type broker struct {
	t     testing.TB
	total int
	large string       // a description that each event has
	sent  atomic.Int64 // of all subscriptions
}

// serve sends while something is outstanding, and checks what is asked for.
func (b *broker) serve(sub *subscription) error {
	var mu sync.Mutex
	outstanding := int(sub.first.GetNumRequested())
	asked := make(chan struct{}, 1)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for {
			r, err := sub.Recv()
			if err != nil {
				return
			}
			mu.Lock()
			outstanding += int(r.GetNumRequested())
			if outstanding > 100 || r.GetNumRequested() <= 0 {
				b.t.Errorf("asked for %d more: %d outstanding; want 100 at most", r.GetNumRequested(), outstanding)
			}
			mu.Unlock()
			select {
			case asked <- struct{}{}:
			default:
			}
		}
	})
	after := 0
	if id := sub.first.GetReplayId(); id != nil {
		for _, c := range id {
			after = after<<8 | int(c)
		}
	}
	for n := after + 1; n <= b.total; n++ {
		mu.Lock()
		for outstanding == 0 {
			mu.Unlock()
			select {
			case <-asked:
			case <-sub.Context().Done():
				return sub.Context().Err()
			}
			mu.Lock()
		}
		outstanding--
		pending := outstanding
		mu.Unlock()
		resp := &eventbus.FetchResponse{PendingNumRequested: int32(pending), Events: []*eventbus.ConsumerEvent{b.event(n)}}
		if err := sub.Send(resp); err != nil {
			return err
		}
		b.sent.Add(1)
	}
	return sub.silence()
}

func (b *broker) event(n int) *eventbus.ConsumerEvent {
	return event(n, "contact", change(b.t, map[string]any{"recordIds": []string{fmt.Sprint(n)}}, map[string]any{"Description": b.large}))
}

// drain takes batches until all events of the broker came, each once and in order.
func drain(t *testing.T, stream cdc.Stream, total int) {
	t.Helper()
	for n := 0; n < total; {
		b := next(t, stream)
		if b.Lost {
			t.Fatalf("lost at %q", b.Position)
		}
		for _, id := range ids(b) {
			if n++; id != fmt.Sprint(n) {
				t.Fatalf("event %s; want %d", id, n)
			}
		}
	}
}

func TestFlow(t *testing.T) {
	b := &broker{t: t, total: 5000}
	s := newService(t, b.serve)
	drain(t, s.open(s.source(nil), positionOf(0)), b.total)
	if got := b.sent.Load(); got < int64(b.total) {
		t.Errorf("sent %d of %d", got, b.total)
	}
}

// Nothing is taken for a while: the stream asks for more as long as there is room, ends the subscription itself, and goes on later.
func TestParks(t *testing.T) {
	for name, tt := range map[string]struct {
		large string
		total int
		most  int // sent while nothing is taken: what there is room for, and what was under way
	}{
		"events": {"", 2500, 1100},
		"bytes":  {strings.Repeat("x", 200_000), 200, 84 + 101},
	} {
		t.Run(name, func(t *testing.T) {
			b := &broker{t: t, total: tt.total, large: tt.large}
			ended := make(chan struct{})
			s := newService(t, func(sub *subscription) error {
				err := b.serve(sub)
				if sub.n == 0 {
					close(ended)
				}
				return err
			})
			stream := s.open(s.source(nil), positionOf(0))
			<-ended
			if got := int(b.sent.Load()); got > tt.most || got < 80 {
				t.Errorf("sent %d events to a stream that nobody reads; want %d at most", got, tt.most)
			}
			time.Sleep(20 * time.Millisecond) // for one that would subscribe again at once
			if begun := s.begun(); len(begun) > 1 {
				t.Errorf("subscribed again while there is no room: %v", begun[1])
			}
			if lag, known := stream.Lag(); !known || lag < time.Hour {
				t.Errorf("lag %s, %v; want the age of the oldest event", lag, known)
			}
			drain(t, stream, b.total)
			begun := s.begun()
			if len(begun) < 2 || begun[1].GetReplayPreset() != eventbus.ReplayPreset_CUSTOM {
				t.Errorf("subscriptions %v; want a second one that goes on after the first", begun)
			}
			if len(begun) > 3 { // each filled the queue
				t.Errorf("%d subscriptions; want 3 at most", len(begun))
			}
		})
	}
}

// What was received comes before the loss of what follows, and isn't part of it.
func TestReplayIDIsLostLater(t *testing.T) {
	s := newService(t, func(sub *subscription) error {
		if sub.n == 0 {
			if err := sub.events(t, 98, 1, 2); err != nil {
				return err
			}
			return refusal(codes.InvalidArgument, sub.SetTrailer, "subscription.fetch.replayid.corrupted")
		}
		if err := sub.events(t, 99, 9000); err != nil {
			return err
		}
		return sub.silence()
	})
	source := s.source(nil)
	stream := s.open(source, positionOf(0))
	eventually(t, "an answer to the second subscription", func() bool { _, known := stream.Lag(); return known && len(s.begun()) == 2 })
	if b := next(t, stream); b.Lost || b.Position != positionOf(2) || !slices.Equal(ids(b), []string{"1", "2"}) {
		t.Errorf("first batch %+v; want 1 and 2, and no loss", b)
	}
	if b := next(t, stream); !b.Lost || b.Position != positionOf(9000) || !slices.Equal(ids(b), []string{"9000"}) {
		t.Errorf("second batch %+v; want a lost one at 9000", b)
	}
}

// gatedAuth logs in once the gate is open.
type gatedAuth struct {
	salesforce.Auth
	gate atomic.Pointer[gate]
}

type gate struct{ asked, open chan struct{} }

func (a *gatedAuth) Token(ctx context.Context) (salesforce.Token, error) {
	if g := a.gate.Load(); g != nil {
		close(g.asked)
		<-g.open
	}
	return a.Auth.Token(ctx)
}

// From the moment that changes are known to be lost the stream doesn't claim to be up to date, also while it logs in anew.
func TestLagAfterALoss(t *testing.T) {
	forget := make(chan struct{})
	s := newService(t, func(sub *subscription) error {
		if err := sub.empty(10); err != nil {
			return err
		}
		if sub.n == 0 {
			<-forget
			return refusal(codes.InvalidArgument, sub.SetTrailer, "subscription.fetch.replayid.corrupted")
		}
		return sub.silence()
	})
	var expired atomic.Bool
	s.topic = func(ctx context.Context, _ *eventbus.TopicInfo) error {
		if expired.Load() {
			return unaryRefusal(ctx, "service.auth.error")
		}
		return nil
	}
	auth := &gatedAuth{Auth: s}
	source := s.source(func(c *salesforce.Config) { c.Auth = auth })
	stream := s.open(source, positionOf(1))
	next(t, stream)
	if lag, known := stream.Lag(); lag != 0 || !known {
		t.Fatalf("lag %s, %v; want it caught up", lag, known)
	}
	expired.Store(true)
	if source.Check(t.Context()) == nil {
		t.Fatal("the token was not refused")
	}
	g := &gate{make(chan struct{}), make(chan struct{})}
	auth.gate.Store(g)
	close(forget)
	<-g.asked
	lag, known := stream.Lag()
	auth.gate.Store(nil)
	close(g.open)
	if known {
		t.Errorf("lag %s while the loss isn't handed over; want it unknown", lag)
	}
	if b := next(t, stream); !b.Lost {
		t.Errorf("batch %+v; want a loss", b)
	}
}

// There was no room before a response was decoded, and is afterwards: nothing is outstanding, and more must be asked for.
func TestRoomComesWhileAResponseIsDecoded(t *testing.T) {
	const size, responses = 10, 10 // so many fill the queue
	asked := make(chan struct{})
	s := newService(t, func(sub *subscription) error {
		for n := range responses {
			if n > 0 {
				if _, err := sub.Recv(); err != nil {
					return err
				}
			}
			resp := new(eventbus.FetchResponse)
			for i := range size {
				schema := "contact"
				if n == responses-1 {
					schema = "slow"
				}
				resp.Events = append(resp.Events, event(n*size+i+1, schema, change(t, map[string]any{"recordIds": []string{fmt.Sprint(n*size + i + 1)}}, nil)))
			}
			if err := sub.Send(resp); err != nil {
				return err
			}
		}
		if _, err := sub.Recv(); err != nil {
			return err
		}
		close(asked)
		return sub.silence()
	})
	slow, release := make(chan struct{}), make(chan struct{})
	s.schema = func(_ context.Context, id string) (string, error) {
		if id == "slow" {
			close(slow)
			<-release
		}
		return contact, nil
	}
	stream := s.open(s.source(func(c *salesforce.Config) { c.Window = size }), positionOf(0))
	<-slow
	for got := 0; got < size*(responses-1); {
		got += len(next(t, stream).Events)
	}
	close(release)
	select {
	case <-asked:
	case <-time.After(patience):
		t.Error("no more events are asked for")
	}
}

func TestOverflowHalvesTheWindow(t *testing.T) {
	s := newService(t, func(sub *subscription) error {
		return refusal(codes.FailedPrecondition, sub.SetTrailer, "subscription.fetch.overflow")
	})
	source := s.source(func(c *salesforce.Config) { c.Window = 10 })
	for range 5 {
		err := nextError(t, s.open(source, positionOf(1)))
		if refused, ok := errors.AsType[*salesforce.Error](err); !ok || refused.Code != "subscription.fetch.overflow" {
			t.Fatalf("error %v; want the service's", err)
		}
	}
	var got []int32
	for _, first := range s.begun() {
		got = append(got, first.GetNumRequested())
	}
	if diff := cmp.Diff([]int32{10, 5, 2, 1, 1}, got); diff != "" {
		t.Errorf("windows (-want +got):\n%s", diff)
	}
}
