package salesforce_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/cdc/salesforce"
	"github.com/tandem-cache/tandem/cdc/salesforce/internal/eventbus"
)

func TestStartsAtTheEnd(t *testing.T) {
	answer, more := make(chan struct{}), make(chan struct{})
	s := newService(t, func(sub *subscription) error {
		<-answer
		if err := sub.empty(10); err != nil {
			return err
		}
		<-more
		if err := sub.events(t, 98, 11, 12); err != nil {
			return err
		}
		return sub.silence()
	})
	stream := s.open(s.source(nil), "")
	eventually(t, "a subscription", func() bool { return len(s.begun()) == 1 })

	// Before the service has answered, a change may come that the subscription doesn't have.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if b, err := stream.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("before the first response: batch %+v, %v; want none", b, err)
	}
	if lag, known := stream.Lag(); known {
		t.Errorf("before the first response: lag %s; want none", lag)
	}
	close(answer)
	if b := next(t, stream); !b.Lost || b.Position != positionOf(10) || len(b.Events) > 0 {
		t.Errorf("first batch %+v; want a lost one at %q", b, positionOf(10))
	}
	if lag, known := stream.Lag(); lag != 0 || !known {
		t.Errorf("after it: lag %s, %v; want 0", lag, known)
	}
	close(more)
	eventually(t, "an event that waits", func() bool { lag, _ := stream.Lag(); return lag > 0 })
	b := next(t, stream)
	if b.Lost || b.Position != positionOf(12) || !slices.Equal(ids(b), []string{"11", "12"}) || b.Events[0].Transaction != "11" {
		t.Errorf("second batch %+v; want 11 and 12, and their position", b)
	}
	if age := time.Since(b.Oldest); age < 0 || age > time.Minute || b.Committed.Before(b.Oldest) {
		t.Errorf("oldest %v, committed %v; want just now", b.Oldest, b.Committed)
	}
	if lag, known := stream.Lag(); lag != 0 || !known {
		t.Errorf("when it was taken: lag %s, %v; want 0", lag, known)
	}
	if first := s.begun()[0]; first.GetTopicName() != topic || first.GetReplayPreset() != eventbus.ReplayPreset_LATEST ||
		len(first.GetReplayId()) > 0 || first.GetNumRequested() != 100 {
		t.Errorf("first request %v; want 100 events from the end of %s", first, topic)
	}
}

func TestFirstResponseHasEvents(t *testing.T) {
	s := newService(t, func(sub *subscription) error {
		if err := sub.events(t, 98, 5, 6); err != nil {
			return err
		}
		return sub.silence()
	})
	if b := next(t, s.open(s.source(nil), "")); !b.Lost || b.Position != positionOf(6) || !slices.Equal(ids(b), []string{"5", "6"}) {
		t.Errorf("first batch %+v; want a lost one with 5 and 6", b)
	}
}

// A response that names no place isn't one to start a checkpoint from.
func TestFirstResponseHasNoPlace(t *testing.T) {
	more := make(chan struct{})
	s := newService(t, func(sub *subscription) error {
		if err := sub.Send(&eventbus.FetchResponse{PendingNumRequested: 100}); err != nil {
			return err
		}
		<-more
		if err := sub.empty(3); err != nil {
			return err
		}
		return sub.silence()
	})
	stream := s.open(s.source(nil), "")
	eventually(t, "a subscription", func() bool { return len(s.begun()) == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if b, err := stream.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after a response without a place: batch %+v, %v; want none", b, err)
	}
	close(more)
	if b := next(t, stream); !b.Lost || b.Position != positionOf(3) {
		t.Errorf("first batch %+v; want a lost one at 3", b)
	}
}

func TestResumes(t *testing.T) {
	s := newService(t, func(sub *subscription) error {
		if err := sub.events(t, 99, 8); err != nil {
			return err
		}
		return sub.silence()
	})
	stream := s.open(s.source(nil), positionOf(7))
	if b := next(t, stream); b.Lost || b.Position != positionOf(8) || !slices.Equal(ids(b), []string{"8"}) {
		t.Errorf("first batch %+v; want 8 and no loss", b)
	}
	if first := s.begun()[0]; first.GetReplayPreset() != eventbus.ReplayPreset_CUSTOM || string(first.GetReplayId()) != string(replay(7)) {
		t.Errorf("first request %v; want what follows 7", first)
	}
	for _, position := range []string{positionOf(7), positionOf(8)} {
		if err := stream.Ack(t.Context(), position); err != nil {
			t.Errorf("acknowledge %q: %v", position, err)
		}
	}
	for _, position := range []string{"", "rubbish", salesforce.NewPosition("00D2", topic, replay(8)), salesforce.NewPosition(org, "/data/X", replay(8))} {
		if err := stream.Ack(t.Context(), position); err == nil {
			t.Errorf("acknowledge %q: no error", position)
		}
	}
}

func TestPositionOfSomethingElse(t *testing.T) {
	s := newService(t, func(sub *subscription) error {
		if err := sub.empty(20); err != nil {
			return err
		}
		return sub.silence()
	})
	source := s.source(nil)
	for i, from := range []string{
		"7312345678901234567/0/16B3748", salesforce.NewPosition("00D000000000002AAA", topic, replay(7)),
		salesforce.NewPosition(org, "/data/OrderChangeEvent", replay(7)),
	} {
		stream := s.open(source, from)
		if b := next(t, stream); !b.Lost || b.Position != positionOf(20) {
			t.Errorf("from %q: first batch %+v; want a lost one at 20", from, b)
		}
		if first := s.begun()[i]; first.GetReplayPreset() != eventbus.ReplayPreset_LATEST {
			t.Errorf("from %q: request %v; want the end of the topic", from, first)
		}
		if err := stream.Ack(t.Context(), from); err != nil { // the follower may, before it has seen the loss
			t.Errorf("acknowledge %q: %v", from, err)
		}
	}
}

func TestReplayIDIsLost(t *testing.T) {
	s := newService(t, func(sub *subscription) error {
		if sub.first.GetReplayPreset() == eventbus.ReplayPreset_CUSTOM {
			return refusal(codes.InvalidArgument, sub.SetTrailer, "subscription.fetch.replayid.corrupted")
		}
		if err := sub.events(t, 99, 30); err != nil {
			return err
		}
		return sub.silence()
	})
	stream := s.open(s.source(nil), positionOf(7))
	if b := next(t, stream); !b.Lost || b.Position != positionOf(30) || !slices.Equal(ids(b), []string{"30"}) {
		t.Errorf("first batch %+v; want a lost one at 30", b)
	}
	if got := s.begun(); len(got) != 2 || got[1].GetReplayPreset() != eventbus.ReplayPreset_LATEST {
		t.Errorf("requests %v; want what follows 7, and then the end", got)
	}
}

// The end of the topic can't be lost: who says so is asked again by the follower, with its pauses.
func TestReplayIDIsLostAtTheEnd(t *testing.T) {
	s := newService(t, func(sub *subscription) error {
		return refusal(codes.InvalidArgument, sub.SetTrailer, "subscription.fetch.replayid.corrupted")
	})
	err := nextError(t, s.open(s.source(nil), ""))
	if refused, ok := errors.AsType[*salesforce.Error](err); !ok || refused.Code != "subscription.fetch.replayid.corrupted" {
		t.Errorf("error %v; want the service's", err)
	}
	if got := len(s.begun()); got != 1 {
		t.Errorf("subscribed %d times; want once", got)
	}
}

// latest_replay_id may be ahead of events that are still to come, unless the response is empty.
func TestPositionsAreOfWhatCame(t *testing.T) {
	step := make(chan struct{})
	s := newService(t, func(sub *subscription) error {
		for _, send := range []func() error{
			func() error { return sub.events(t, 99, 8) },
			func() error { return errors.Join(sub.empty(9), sub.empty(10), sub.events(t, 98, 11)) },
			func() error { return errors.Join(sub.empty(12), sub.empty(13)) },
		} {
			<-step
			if err := send(); err != nil {
				return err
			}
		}
		return sub.silence()
	})
	stream := s.open(s.source(nil), positionOf(7))
	step <- struct{}{}
	if b := next(t, stream); b.Position != positionOf(8) {
		t.Errorf("position %q after event 8; want its own", b.Position)
	}
	step <- struct{}{}
	var got []string
	var last string
	for len(got) == 0 {
		b := next(t, stream)
		got, last = ids(b), b.Position
		if len(got) == 0 && last != positionOf(9) && last != positionOf(10) {
			t.Errorf("position %q of a batch without events; want that of 9 or 10", last)
		}
	}
	if !slices.Equal(got, []string{"11"}) || last != positionOf(11) {
		t.Errorf("events %q at %q; want 11 at its own", got, last)
	}
	step <- struct{}{}
	for last != positionOf(13) {
		b := next(t, stream)
		if last = b.Position; len(b.Events) > 0 {
			t.Errorf("batch %+v; want no events", b)
		}
	}
}

func TestMaxBatch(t *testing.T) {
	s := newService(t, func(sub *subscription) error {
		if err := sub.events(t, 95, 1, 2, 3, 4, 5); err != nil {
			return err
		}
		return sub.silence()
	})
	stream := s.open(s.source(func(c *salesforce.Config) { c.MaxBatch = 2 }), positionOf(0))
	for i, want := range [][]string{{"1", "2"}, {"3", "4"}, {"5"}} {
		b := next(t, stream)
		if !slices.Equal(ids(b), want) || b.Position != positionOf(min(2*i+2, 5)) {
			t.Errorf("batch of %q at %q; want %q and the last one's position", ids(b), b.Position, want)
		}
	}
}

// The error comes when the events are out, and then again and again.
func TestEventsBeforeTheError(t *testing.T) {
	s := newService(t, func(sub *subscription) error {
		if err := sub.events(t, 97, 1, 2, 3); err != nil {
			return err
		}
		return refusal(codes.Unavailable, sub.SetTrailer, "service.unavailable")
	})
	stream := s.open(s.source(func(c *salesforce.Config) { c.MaxBatch = 1 }), positionOf(0))
	eventually(t, "the end of the stream", func() bool { _, known := stream.Lag(); return len(s.begun()) > 0 && !known })
	for _, want := range []string{"1", "2", "3"} {
		if b := next(t, stream); !slices.Equal(ids(b), []string{want}) {
			t.Errorf("batch of %q; want %q", ids(b), want)
		}
	}
	for range 2 {
		if refused, ok := errors.AsType[*salesforce.Error](nextError(t, stream)); !ok || refused.Code != "service.unavailable" {
			t.Errorf("error %v; want the service's", refused)
		}
	}
}

func TestServiceEndsTheStream(t *testing.T) {
	s := newService(t, func(*subscription) error { return nil })
	if err := nextError(t, s.open(s.source(nil), positionOf(1))); err == nil || !strings.HasPrefix(err.Error(), "salesforce: ") {
		t.Errorf("error %v; want one of this package", err)
	}
}

func TestWatchdog(t *testing.T) {
	t.Parallel()                    // it waits
	const patient = 3 * time.Second // far longer than a busy machine takes to hand over a response
	s := newService(t, func(sub *subscription) error {
		for i := range 5 { // longer than the watchdog waits, in all
			time.Sleep(patient / 4)
			if err := sub.empty(i + 1); err != nil {
				return err
			}
		}
		return sub.silence()
	})
	stream := s.open(s.source(func(c *salesforce.Config) { c.Watchdog = patient }), positionOf(0))
	for last := ""; last != positionOf(5); {
		last = next(t, stream).Position
	}
	if err := nextError(t, stream); !strings.Contains(err.Error(), "said nothing for 3s") {
		t.Errorf("error %v; want the watchdog's", err)
	}
}

func TestCloseWhileNothingCame(t *testing.T) {
	gone := make(chan struct{})
	s := newService(t, func(sub *subscription) error {
		defer close(gone)
		return sub.silence()
	})
	stream := s.open(s.source(nil), positionOf(1))
	eventually(t, "a subscription", func() bool { return len(s.begun()) == 1 })
	closeStream(t, stream)
	closeStream(t, stream) // does nothing
	<-gone
	if _, err := stream.Next(t.Context()); err == nil {
		t.Error("a closed stream has a next batch")
	}
	if lag, known := stream.Lag(); known {
		t.Errorf("a closed stream has lag %s", lag)
	}
}

// An Auth that ignores its context keeps the reader; Close leaves it behind when its own context ends.
func TestCloseIsBounded(t *testing.T) {
	s := newService(t, func(sub *subscription) error {
		if err := sub.events(t, 99, 2); err != nil {
			return err
		}
		return sub.silence()
	})
	s.topic = func(_ context.Context, info *eventbus.TopicInfo) error {
		info.SchemaId = ""
		return nil
	}
	s.schema = func(ctx context.Context, _ string) (string, error) {
		return "", unaryRefusal(ctx, "service.auth.error")
	}
	auth := &stuckAuth{service: s, entered: make(chan struct{}), release: make(chan struct{})}
	source := s.source(func(c *salesforce.Config) { c.Auth = auth })
	stream, err := source.Open(t.Context(), positionOf(1))
	if err != nil {
		t.Fatal(err)
	}
	<-auth.entered
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := stream.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("close: %v; want the end of the context", err)
	}
	close(auth.release)
}

// stuckAuth logs in once, and then hangs.
type stuckAuth struct {
	*service
	entered, release chan struct{}
}

func (a *stuckAuth) Token(ctx context.Context) (salesforce.Token, error) {
	if a.loginCount() == 0 {
		return a.service.Token(ctx)
	}
	close(a.entered)
	<-a.release
	return salesforce.Token{}, errors.New("too late")
}

func TestEventsOfOtherKinds(t *testing.T) {
	s := newService(t, func(sub *subscription) error {
		resp := &eventbus.FetchResponse{PendingNumRequested: 95}
		for n, e := range []*eventbus.ConsumerEvent{
			event(1, "contact", []byte("rubbish")), event(2, "broken", nil), event(3, "", nil), event(4, "unknown", nil), {}, numbered(t, 6),
		} {
			e.ReplayId = replay(n + 1)
			resp.Events = append(resp.Events, e)
		}
		if err := sub.Send(resp); err != nil {
			return err
		}
		return sub.silence()
	})
	s.schema = func(_ context.Context, id string) (string, error) {
		switch id {
		case "broken":
			return `{"type": "record"`, nil
		case "unknown":
			return "", status.Error(codes.NotFound, "no such schema")
		}
		return contact, nil
	}
	b := next(t, s.open(s.source(nil), positionOf(0)))
	if len(b.Events) != 6 || b.Position != positionOf(6) {
		t.Fatalf("%d events at %q; want 6, bad ones too", len(b.Events), b.Position)
	}
	for i, e := range b.Events[:5] {
		if e.Kind != cdc.Whole || e.Entity != "Contact" || e.Err == nil || e.Rows != nil {
			t.Errorf("event %d: %+v; want a poisonous one about Contact", i+1, e)
		}
	}
	if e := b.Events[5]; e.Err != nil || e.Kind != cdc.Update {
		t.Errorf("the event after them: %+v; want a good one", e)
	}
	if slices.Contains(s.schemaCalls, "") {
		t.Error("asked for a schema without an id")
	}
	if text := fmt.Sprint(b.Events[0].Err); !strings.Contains(text, "replay id AAAAAAAAAAE") || !strings.Contains(text, `schema "contact"`) {
		t.Errorf("error %q doesn't say which event it is", text)
	}
}

// An event that doesn't say when it was committed doesn't end a backlog.
func TestLagBehindAPoisonousEvent(t *testing.T) {
	s := newService(t, func(sub *subscription) error {
		for n, payload := range [][]byte{change(t, nil, nil), []byte("rubbish")} {
			resp := &eventbus.FetchResponse{PendingNumRequested: 98, Events: []*eventbus.ConsumerEvent{event(n+1, "contact", payload)}}
			if err := sub.Send(resp); err != nil {
				return err
			}
		}
		return sub.silence()
	})
	stream := s.open(s.source(nil), positionOf(0))
	for last := ""; last != positionOf(2); {
		last = next(t, stream).Position
	}
	if lag, known := stream.Lag(); !known || lag < time.Since(committed)-time.Minute {
		t.Errorf("lag %s, %v; want the age of the first event", lag, known)
	}
}

// An event that has come waits from then on, also while its schema is being fetched, however long that takes.
func TestLagWhileAnEventIsDecoded(t *testing.T) {
	s := newService(t, func(sub *subscription) error {
		if err := errors.Join(sub.empty(1), sub.Send(&eventbus.FetchResponse{PendingNumRequested: 99, Events: []*eventbus.ConsumerEvent{
			event(2, "contact-2", change(t, nil, nil)),
		}})); err != nil {
			return err
		}
		return sub.silence()
	})
	asked, answer := make(chan struct{}), make(chan struct{})
	s.schema = func(_ context.Context, id string) (string, error) {
		if id == "contact-2" {
			close(asked)
			<-answer
		}
		return contact, nil
	}
	stream := s.open(s.source(nil), positionOf(0))
	next(t, stream) // the empty response
	<-asked
	lag, known := stream.Lag()
	close(answer)
	if !known || lag == 0 {
		t.Errorf("lag %s, %v; want more than 0", lag, known)
	}
	if b := next(t, stream); b.Position != positionOf(2) {
		t.Errorf("batch at %q; want the event", b.Position)
	}
}

func TestEventWithoutAPlace(t *testing.T) {
	s := newService(t, func(sub *subscription) error {
		e := numbered(t, 1)
		e.ReplayId = nil
		if err := sub.Send(&eventbus.FetchResponse{Events: []*eventbus.ConsumerEvent{e}, PendingNumRequested: 99}); err != nil {
			return err
		}
		return sub.silence()
	})
	if err := nextError(t, s.open(s.source(nil), positionOf(1))); !strings.Contains(err.Error(), "without a replay id") {
		t.Errorf("error %v; want one about the replay id", err)
	}
}
