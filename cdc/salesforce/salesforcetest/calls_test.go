package salesforcetest_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/tandem-cache/tandem/cdc/salesforce/internal/eventbus"
	"github.com/tandem-cache/tandem/cdc/salesforce/salesforcetest"
)

func TestHeadersOfEveryCall(t *testing.T) {
	s := start(t, salesforcetest.Options{})
	c := connect(t, s)
	good, url, org := login(t, s), s.LoginURL(), salesforcetest.DefaultOrg
	calls := map[string]func(context.Context) (metadata.MD, error){
		"GetTopic": func(ctx context.Context) (metadata.MD, error) {
			var trailer metadata.MD
			_, err := c.rpc.GetTopic(ctx, &eventbus.TopicRequest{TopicName: orders}, grpc.Trailer(&trailer))
			return trailer, err
		},
		"GetSchema": func(ctx context.Context) (metadata.MD, error) {
			var trailer metadata.MD
			_, err := c.rpc.GetSchema(ctx, &eventbus.SchemaRequest{SchemaId: s.SchemaID(orders)}, grpc.Trailer(&trailer))
			return trailer, err
		},
		"Subscribe": func(ctx context.Context) (metadata.MD, error) {
			st, err := c.rpc.Subscribe(ctx)
			if err != nil {
				return nil, err
			}
			_, err = st.Recv() // with good headers it would wait for the first request
			return st.Trailer(), err
		},
	}
	for method, call := range calls {
		for name, tt := range map[string]struct {
			token, url, org string // no token at all: no headers
			code            string
		}{
			"none":           {"", "", "", "service.auth.headers.invalid"},
			"blank token":    {" ", url, org, "service.auth.headers.invalid"},
			"no instance":    {good, "", org, "service.auth.headers.invalid"},
			"no tenant":      {good, url, "", "service.auth.headers.invalid"},
			"token unknown":  {"x", url, org, "service.auth.error"},
			"other instance": {good, url + "/path", org, "service.auth.error"},
			"other tenant":   {good, url, "00D000000000002EAA", "service.auth.error"},
		} {
			t.Run(method+" "+name, func(t *testing.T) {
				ctx := t.Context()
				if tt.token != "" {
					ctx = c.headers(tt.token, tt.url, tt.org)
				}
				trailer, err := call(ctx)
				if err == nil {
					t.Fatal("the call was served")
				}
				wantCode(t, err, trailer, tt.code)
			})
		}
		if method != "Subscribe" {
			if _, err := call(c.headers(good, url, org)); err != nil {
				t.Errorf("%s with good headers: %v", method, err)
			}
		}
		if got := s.Calls(method); got < 7 {
			t.Errorf("%s was counted %d times; want 7 at least", method, got)
		}
	}
}

func TestTokensExpire(t *testing.T) {
	s := start(t, salesforcetest.Options{})
	c := connect(t, s)
	st := c.follow(latest(orders, 10))
	s.ExpireTokens()
	publish(t, s, 1)
	st.take(1) // a stream outlives its token
	c.subscribe(latest(orders, 10)).wantEnd("service.auth.error")
	var trailer metadata.MD
	_, err := c.rpc.GetSchema(c.ctx, &eventbus.SchemaRequest{SchemaId: s.SchemaID(orders)}, grpc.Trailer(&trailer))
	wantCode(t, err, trailer, "service.auth.error")

	c.ctx = c.headers(login(t, s), s.LoginURL(), salesforcetest.DefaultOrg)
	c.follow(latest(orders, 10))

	s = start(t, salesforcetest.Options{TokenLife: time.Millisecond})
	c = connect(t, s)
	eventually(t, "end of a token's life", func() bool {
		_, err := c.rpc.GetTopic(c.ctx, &eventbus.TopicRequest{TopicName: orders})
		return err != nil && strings.Contains(err.Error(), "service.auth.error")
	})
}

func TestGetTopic(t *testing.T) {
	s := start(t, salesforcetest.Options{})
	c := connect(t, s)
	get := func(name, code string) *eventbus.TopicInfo {
		t.Helper()
		var trailer metadata.MD
		info, err := c.rpc.GetTopic(c.ctx, &eventbus.TopicRequest{TopicName: name}, grpc.Trailer(&trailer))
		if code != "" || err != nil {
			wantCode(t, err, trailer, code)
		}
		return info
	}
	get("", "topic.validation.empty")
	get("/data/CaseChangeEvent", "topic.not.found")
	info := get(orders, "")
	if info.GetTopicName() != orders || info.GetTenantGuid() != salesforcetest.DefaultOrg || !info.GetCanSubscribe() || info.GetCanPublish() ||
		info.GetSchemaId() == "" || info.GetSchemaId() != s.SchemaID(orders) || info.GetRpcId() == "" {
		t.Errorf("%s: %v", orders, info)
	}
	if info := get(shipped, ""); !info.GetCanPublish() || !info.GetCanSubscribe() || info.GetSchemaId() == "" {
		t.Errorf("%s: %v", shipped, info)
	}
	if info := get(changes, ""); info.GetSchemaId() != "" {
		t.Errorf("%s: %v; want no schema, since its events differ", changes, info)
	}
}

func TestDeny(t *testing.T) {
	s := start(t, salesforcetest.Options{})
	c := connect(t, s)
	for _, deny := range []bool{true, false} {
		if err := s.Deny(orders, deny); err != nil {
			t.Fatal(err)
		}
		info, err := c.rpc.GetTopic(c.ctx, &eventbus.TopicRequest{TopicName: orders})
		if err != nil || info.GetCanSubscribe() == deny {
			t.Errorf("denied %v: can_subscribe %v, error %v", deny, info.GetCanSubscribe(), err)
		}
		if deny {
			c.subscribe(latest(orders, 1)).wantEnd("subscription.topic.cannot.subscribe")
		} else {
			c.follow(latest(orders, 1))
		}
	}
}

func TestUnknownSchema(t *testing.T) {
	s := start(t, salesforcetest.Options{})
	c := connect(t, s)
	for _, id := range []string{"", "unknown"} {
		var trailer metadata.MD
		_, err := c.rpc.GetSchema(c.ctx, &eventbus.SchemaRequest{SchemaId: id}, grpc.Trailer(&trailer))
		wantCode(t, err, trailer, "schema.validation.failed")
	}
}
