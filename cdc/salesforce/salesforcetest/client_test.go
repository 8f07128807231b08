package salesforcetest_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/twmb/avro"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/tandem-cache/tandem/cdc/salesforce/internal/eventbus"
	"github.com/tandem-cache/tandem/cdc/salesforce/salesforcetest"
)

const (
	orders  = "/data/OrderChangeEvent"
	changes = "/data/ChangeEvents"
	shipped = "/event/Shipped__e"
)

var (
	order = salesforcetest.Entity{Name: "Order", Fields: []salesforcetest.Field{
		{Name: "Name"},
		{Name: "Status"},
		{Name: "TotalAmount", Type: salesforcetest.Double},
		{Name: "BillingAddress", Type: salesforcetest.Address},
		{Name: "ShippingAddress", Type: salesforcetest.Address},
		{Name: "LastModifiedDate", Type: salesforcetest.Time},
	}}
	thing = salesforcetest.Entity{Name: "Thing__c", Fields: []salesforcetest.Field{
		{Name: "Name", Type: salesforcetest.SwitchName},
		{Name: "Owner__c", Type: salesforcetest.PersonName},
		{Name: "Active__c", Type: salesforcetest.Boolean},
		{Name: "Count__c", Type: salesforcetest.Int},
	}}
)

func start(t testing.TB, opts salesforcetest.Options) *salesforcetest.Server {
	t.Helper()
	s, err := salesforcetest.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	for _, e := range []salesforcetest.Entity{order, thing} {
		if err := s.AddEntity(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.AddEvent(salesforcetest.Event{Name: "Shipped__e", Fields: []salesforcetest.Field{{Name: "Order__c"}}}); err != nil {
		t.Fatal(err)
	}
	return s
}

// client speaks the generated protocol, with nothing between.
type client struct {
	t   testing.TB
	s   *salesforcetest.Server
	rpc eventbus.PubSubClient
	ctx context.Context //nolint:containedctx // of the test, with the headers of a login
}

func connect(t testing.TB, s *salesforcetest.Server) *client {
	t.Helper()
	conn, err := grpc.NewClient(s.Endpoint(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c := &client{t: t, s: s, rpc: eventbus.NewPubSubClient(conn)}
	c.ctx = c.headers(login(t, s), s.LoginURL(), salesforcetest.DefaultOrg)
	return c
}

func (c *client) headers(token, instance, tenant string) context.Context {
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	c.t.Cleanup(cancel)
	return metadata.AppendToOutgoingContext(ctx, "accesstoken", token, "instanceurl", instance, "tenantid", tenant)
}

func credentials() url.Values {
	return url.Values{
		"grant_type": {"client_credentials"}, "client_id": {salesforcetest.ClientID}, "client_secret": {salesforcetest.ClientSecret},
	}
}

func login(t testing.TB, s *salesforcetest.Server) string {
	t.Helper()
	code, answer := post(t, s, credentials())
	if code != http.StatusOK {
		t.Fatalf("login = %d %v; want 200", code, answer)
	}
	return answer["access_token"]
}

func post(t testing.TB, s *salesforcetest.Server, form url.Values) (int, map[string]string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.LoginURL()+"/services/oauth2/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return do(t, req)
}

func do(t testing.TB, req *http.Request) (int, map[string]string) {
	t.Helper()
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var answer map[string]string
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer
}

// stream is a subscription under way.
type stream struct {
	t testing.TB
	grpc.BidiStreamingClient[eventbus.FetchRequest, eventbus.FetchResponse]
}

func (c *client) subscribe(req *eventbus.FetchRequest) *stream {
	c.t.Helper()
	bidi, err := c.rpc.Subscribe(c.ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	st := &stream{c.t, bidi}
	st.request(req)
	return st
}

// follow subscribes, and waits until the server has it.
func (c *client) follow(req *eventbus.FetchRequest) *stream {
	c.t.Helper()
	before := len(c.s.History(req.GetTopicName()))
	st := c.subscribe(req)
	eventually(c.t, "a subscription", func() bool { return len(c.s.History(req.GetTopicName())) > before })
	return st
}

func (st *stream) request(req *eventbus.FetchRequest) {
	st.t.Helper()
	if err := st.Send(req); err != nil && !errors.Is(err, io.EOF) { // EOF: Recv says why
		st.t.Fatal(err)
	}
}

func (st *stream) next() *eventbus.FetchResponse {
	st.t.Helper()
	resp, err := st.Recv()
	if err != nil {
		st.t.Fatalf("receive: %v", err)
	}
	if resp.GetRpcId() == "" || len(resp.GetLatestReplayId()) != 10 {
		st.t.Fatalf("response without rpc id or latest replay id: %v", resp)
	}
	return resp
}

// take receives n events.
func (st *stream) take(n int) []*eventbus.ConsumerEvent {
	st.t.Helper()
	var events []*eventbus.ConsumerEvent
	for len(events) < n {
		events = append(events, st.next().GetEvents()...)
	}
	if len(events) != n {
		st.t.Fatalf("received %d events; want %d", len(events), n)
	}
	return events
}

// wantEnd wants the stream to end with a code; "": with that of the network; "EOF": without an error.
func (st *stream) wantEnd(code string) {
	st.t.Helper()
	for {
		_, err := st.Recv()
		if err == nil {
			continue
		}
		if code == "EOF" {
			if !errors.Is(err, io.EOF) {
				st.t.Errorf("the stream ended with %v; want EOF", err)
			}
			return
		}
		wantCode(st.t, err, st.Trailer(), code)
		return
	}
}

func wantCode(t testing.TB, err error, trailer metadata.MD, code string) {
	t.Helper()
	if code == "" {
		if status.Code(err) != codes.Unavailable || len(trailer.Get("error-code")) != 0 {
			t.Errorf("error %v, trailer %v; want Unavailable and no code", err, trailer)
		}
		return
	}
	got, rpc := trailer.Get("error-code"), trailer.Get("rpc-id")
	if len(got) != 1 || got[0] != "sfdc.platform.eventbus.grpc."+code {
		t.Errorf("error %v has code %q; want %q", err, got, code)
		return
	}
	if len(rpc) != 1 || rpc[0] == "" || !strings.HasSuffix(status.Convert(err).Message(), "rpcId: "+rpc[0]) {
		t.Errorf("error %v doesn't end with the rpc id %q", err, rpc)
	}
}

// publish makes n changes, and returns their replay ids.
func publish(t testing.TB, s *salesforcetest.Server, n int) [][]byte {
	t.Helper()
	var ids [][]byte
	for range n {
		id, err := s.Change(salesforcetest.Change{
			Entity: "Order", Type: "UPDATE", IDs: []string{"801000000000001AAA"}, Fields: map[string]any{"Status": "Shipped"},
		})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

// decode reads an event with its schema, as the service gives it.
func (c *client) decode(e *eventbus.ConsumerEvent) (body, header map[string]any) {
	c.t.Helper()
	info, err := c.rpc.GetSchema(c.ctx, &eventbus.SchemaRequest{SchemaId: e.GetEvent().GetSchemaId()})
	if err != nil {
		c.t.Fatal(err)
	}
	schema, err := avro.Parse(info.GetSchemaJson())
	if err != nil {
		c.t.Fatal(err)
	}
	rest, err := schema.Decode(e.GetEvent().GetPayload(), &body)
	if err != nil || len(rest) > 0 {
		c.t.Fatalf("decode: %v, %d bytes left", err, len(rest))
	}
	header, _ = body["ChangeEventHeader"].(map[string]any)
	return body, header
}

// patience is for what must happen, also beside other work.
const patience = time.Minute

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s within %s", what, patience)
		}
	}
}

func latest(topic string, n int32) *eventbus.FetchRequest {
	return &eventbus.FetchRequest{TopicName: topic, NumRequested: n}
}

func earliest(topic string, n int32) *eventbus.FetchRequest {
	return &eventbus.FetchRequest{TopicName: topic, NumRequested: n, ReplayPreset: eventbus.ReplayPreset_EARLIEST}
}

func after(id []byte, n int32) *eventbus.FetchRequest {
	return &eventbus.FetchRequest{TopicName: orders, NumRequested: n, ReplayPreset: eventbus.ReplayPreset_CUSTOM, ReplayId: id}
}

func more(n int32) *eventbus.FetchRequest { return &eventbus.FetchRequest{NumRequested: n} }
