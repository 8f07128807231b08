package salesforcetest

import (
	"context"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/tandem-cache/tandem/cdc/salesforce/internal/eventbus"
)

// pubsub is the gRPC service.
type pubsub struct {
	eventbus.UnimplementedPubSubServer
	s       *Server
	readers *sync.WaitGroup // the goroutines that read streams
}

// GetTopic implements eventbus.PubSubServer.
func (p *pubsub) GetTopic(ctx context.Context, req *eventbus.TopicRequest) (*eventbus.TopicInfo, error) {
	info, err := p.s.getTopic(ctx, req.GetTopicName())
	return info, answer(ctx, err)
}

func (s *Server) getTopic(ctx context.Context, name string) (*eventbus.TopicInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.admitLocked(ctx, "GetTopic"); err != nil {
		return nil, err
	}
	t, err := s.topicLocked(name)
	if err != nil {
		return nil, err
	}
	info := &eventbus.TopicInfo{
		TopicName: name, TenantGuid: s.opts.Org, CanPublish: t.publish, CanSubscribe: !t.denied, RpcId: newRPC(),
	}
	if t.schema != nil {
		info.SchemaId = t.schema.id
	}
	return info, nil
}

// GetSchema implements eventbus.PubSubServer.
func (p *pubsub) GetSchema(ctx context.Context, req *eventbus.SchemaRequest) (*eventbus.SchemaInfo, error) {
	info, err := p.s.getSchema(ctx, req.GetSchemaId())
	return info, answer(ctx, err)
}

func (s *Server) getSchema(ctx context.Context, id string) (*eventbus.SchemaInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.admitLocked(ctx, "GetSchema"); err != nil {
		return nil, err
	}
	text, ok := s.schemas[id]
	if !ok {
		return nil, refusal(schemaInvalid)
	}
	return &eventbus.SchemaInfo{SchemaJson: text, SchemaId: id, RpcId: newRPC()}, nil
}

// topicLocked finds a topic, and takes a call off what Fail asked for it.
func (s *Server) topicLocked(name string) (*topic, error) {
	if name == "" {
		return nil, refusal(topicEmpty)
	}
	if err := s.faultLocked(name); err != nil {
		return nil, err
	}
	t := s.topics[name]
	if t == nil {
		return nil, refusal(topicNotFound)
	}
	return t, nil
}

// admitLocked counts a call and looks at who calls.
func (s *Server) admitLocked(ctx context.Context, method string) error {
	s.calls[method]++
	if err := s.faultLocked(method); err != nil {
		return err
	}
	md, _ := metadata.FromIncomingContext(ctx)
	for _, key := range []string{"accesstoken", "instanceurl", "tenantid"} {
		if values := md.Get(key); len(values) != 1 || strings.TrimSpace(values[0]) == "" {
			return refusal(authHeaders)
		}
	}
	if md.Get("instanceurl")[0] != s.LoginURL() || md.Get("tenantid")[0] != s.opts.Org {
		return refusal(authError)
	}
	if ends, ok := s.tokens[md.Get("accesstoken")[0]]; !ok || !time.Now().Before(ends) {
		return refusal(authError)
	}
	return nil
}
