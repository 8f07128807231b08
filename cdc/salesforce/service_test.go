package salesforce_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/cdc/salesforce"
	"github.com/tandem-cache/tandem/cdc/salesforce/internal/eventbus"
)

const (
	org   = "00D000000000001AAA"
	topic = "/data/ContactChangeEvent"
)

// subscription is what a script plays the service's part of. The stream ends when the script returns.
type subscription struct {
	eventbus.PubSub_SubscribeServer
	n     int // of this subscription, from 0
	first *eventbus.FetchRequest
}

// events sends one response with the events of these numbers.
func (s *subscription) events(t testing.TB, pending int, numbers ...int) error {
	resp := &eventbus.FetchResponse{PendingNumRequested: int32(pending), LatestReplayId: replay(1 << 40)}
	for _, n := range numbers {
		resp.Events = append(resp.Events, numbered(t, n))
	}
	return s.Send(resp)
}

// empty sends a response without events.
func (s *subscription) empty(latest int) error {
	return s.Send(&eventbus.FetchResponse{LatestReplayId: replay(latest), PendingNumRequested: s.first.GetNumRequested()})
}

// silence waits for the client's end.
func (s *subscription) silence() error {
	<-s.Context().Done()
	return s.Context().Err()
}

func replay(n int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

func positionOf(n int) string { return salesforce.NewPosition(org, topic, replay(n)) }

// numbered is an event whose record's id and transaction tell its number, committed just now.
func numbered(t testing.TB, n int) *eventbus.ConsumerEvent {
	return event(n, "contact", change(t, map[string]any{
		"recordIds": []string{fmt.Sprint(n)}, "transactionKey": fmt.Sprint(n), "commitTimestamp": time.Now().UnixMilli(),
	}, nil))
}

func event(n int, schema string, payload []byte) *eventbus.ConsumerEvent {
	return &eventbus.ConsumerEvent{ReplayId: replay(n), Event: &eventbus.ProducerEvent{SchemaId: schema, Payload: payload}}
}

// refusal is an error of the service.
func refusal(c codes.Code, set func(metadata.MD), code string) error {
	set(metadata.Pairs("error-code", prefix+code, "rpc-id", "rpc-1"))
	return status.Error(c, "the service's own words")
}

// unaryRefusal is an error of the service to a call that isn't a stream.
func unaryRefusal(ctx context.Context, code string) error {
	return refusal(codes.Unauthenticated, func(md metadata.MD) { _ = grpc.SetTrailer(ctx, md) }, code)
}

// service is a scripted server with its login.
type service struct {
	eventbus.UnimplementedPubSubServer
	t         testing.TB
	addr      string
	subscribe func(*subscription) error
	schema    func(ctx context.Context, id string) (string, error) // nil: contact
	topic     func(context.Context, *eventbus.TopicInfo) error     // nil: as it is

	mu            sync.Mutex // guards the fields below
	logins        int
	schemaCalls   []string
	firsts        []*eventbus.FetchRequest
	wrongMetadata []string
}

func newService(t testing.TB, subscribe func(*subscription) error) *service {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &service{t: t, addr: listener.Addr().String(), subscribe: subscribe}
	server := grpc.NewServer()
	eventbus.RegisterPubSubServer(server, s)
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() {
		server.Stop()
		wg.Wait()
		if s.wrongMetadata != nil {
			t.Errorf("calls without the right metadata: %q", s.wrongMetadata)
		}
	})
	return s
}

// Token implements salesforce.Auth. Each login yields another token.
func (s *service) Token(context.Context) (salesforce.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logins++
	return salesforce.Token{Access: fmt.Sprintf("token-%d", s.logins), Instance: "https://shop.my.salesforce.com", Tenant: org}, nil
}

// caller returns the token of a call, and notes a call that isn't signed.
func (s *service) caller(ctx context.Context, call string) (token string) {
	md, _ := metadata.FromIncomingContext(ctx)
	one := func(key string) string {
		if v := md.Get(key); len(v) == 1 {
			return v[0]
		}
		return ""
	}
	if one("accesstoken") == "" || one("instanceurl") != "https://shop.my.salesforce.com" || one("tenantid") != org {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.wrongMetadata = append(s.wrongMetadata, call)
	}
	return one("accesstoken")
}

func (s *service) GetTopic(ctx context.Context, r *eventbus.TopicRequest) (*eventbus.TopicInfo, error) {
	s.caller(ctx, "GetTopic")
	info := &eventbus.TopicInfo{TopicName: r.GetTopicName(), CanSubscribe: true, SchemaId: "contact"}
	if s.topic != nil {
		if err := s.topic(ctx, info); err != nil {
			return nil, err
		}
	}
	return info, nil
}

func (s *service) GetSchema(ctx context.Context, r *eventbus.SchemaRequest) (*eventbus.SchemaInfo, error) {
	s.caller(ctx, "GetSchema")
	s.mu.Lock()
	s.schemaCalls = append(s.schemaCalls, r.GetSchemaId())
	s.mu.Unlock()
	text := contact
	if s.schema != nil {
		var err error
		if text, err = s.schema(ctx, r.GetSchemaId()); err != nil {
			return nil, err
		}
	}
	return &eventbus.SchemaInfo{SchemaId: r.GetSchemaId(), SchemaJson: text}, nil
}

func (s *service) Subscribe(stream eventbus.PubSub_SubscribeServer) error {
	s.caller(stream.Context(), "Subscribe")
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	s.mu.Lock()
	sub := &subscription{PubSub_SubscribeServer: stream, n: len(s.firsts), first: first}
	s.firsts = append(s.firsts, first)
	s.mu.Unlock()
	return s.subscribe(sub)
}

// begun returns the first requests of all subscriptions.
func (s *service) begun() []*eventbus.FetchRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.firsts)
}

func (s *service) loginCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logins
}

func (s *service) source(change func(*salesforce.Config)) *salesforce.Source {
	s.t.Helper()
	cfg := salesforce.Config{
		Auth: s, Topic: topic, Endpoint: s.addr, Logger: slog.New(slog.DiscardHandler),
		DialOptions: []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())},
	}
	if change != nil {
		change(&cfg)
	}
	source, err := salesforce.NewSource(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	return source
}

// open opens a stream that is closed at the end of the test.
func (s *service) open(source *salesforce.Source, from string) cdc.Stream {
	s.t.Helper()
	stream, err := source.Open(s.t.Context(), from)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { closeStream(s.t, stream) })
	return stream
}

// patience is for what must happen, also beside other work.
const patience = time.Minute

func closeStream(t testing.TB, stream cdc.Stream) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := stream.Close(ctx); err != nil {
		t.Errorf("close the stream: %v", err)
	}
}

// next returns a batch, within a deadline.
func next(t testing.TB, stream cdc.Stream) cdc.Batch {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b, err := stream.Next(ctx)
	if err != nil {
		t.Fatalf("next batch: %v", err)
	}
	return b
}

// nextError returns the stream's error, after batches without a loss.
func nextError(t testing.TB, stream cdc.Stream) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		b, err := stream.Next(ctx)
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			t.Fatal("the stream has no error")
		case err != nil:
			return err
		case b.Lost:
			t.Fatalf("batch is lost at %q", b.Position)
		}
	}
}

// ids are the record ids of a batch, in their order.
func ids(b cdc.Batch) (all []string) {
	for _, e := range b.Events {
		for _, row := range e.Rows {
			all = append(all, row["Id"])
		}
	}
	return all
}

// eventually waits until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
	}
}
