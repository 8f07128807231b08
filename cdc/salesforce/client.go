package salesforce

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/tandem-cache/tandem/cdc/salesforce/internal/eventbus"
)

const (
	callTimeout = 30 * time.Second // of a call that isn't a stream: well below the 60 s for which nothing may be outstanding
	maxMessage  = 16 << 20         // bytes; the largest response is said to have 3 MB
)

// client is one connection and one login. It belongs to the goroutine that opens the stream, and then to the one that reads it.
type client struct {
	source *Source
	conn   *grpc.ClientConn
	api    eventbus.PubSubClient
	token  Token
}

// connect logs in. The connection is made by the first call. There are no pings: the service speaks by itself, and a server
// may take pings more frequent than every five minutes for an attack.
func (s *Source) connect(ctx context.Context) (*client, error) {
	token, err := s.freshToken(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient(s.cfg.Endpoint, append([]grpc.DialOption{
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12})),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
	}, s.cfg.DialOptions...)...)
	if err != nil {
		return nil, fmt.Errorf("salesforce: Config.Endpoint or DialOptions: %w", err)
	}
	return &client{source: s, conn: conn, api: eventbus.NewPubSubClient(conn), token: token}, nil
}

// signed adds what every call says about its caller.
func (c *client) signed(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx,
		"accesstoken", c.token.Access, "instanceurl", c.token.Instance, "tenantid", c.token.Tenant)
}

// failed judges the error of a call, and draws the source's conclusions.
func (c *client) failed(op string, err error, trailer metadata.MD) *Error {
	e := callError(op, err, trailer)
	switch e.class {
	case renew:
		c.source.refuse(c.token)
	case overflow:
		c.source.shrink()
	}
	return e
}

// prepare sees that the topic may be followed, and fetches its schema; nil: the topic has events of several.
func (c *client) prepare(ctx context.Context) (*schema, error) {
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var trailer metadata.MD
	topic := c.source.cfg.Topic
	info, err := c.api.GetTopic(c.signed(limited), &eventbus.TopicRequest{TopicName: topic}, grpc.Trailer(&trailer))
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("salesforce: GetTopic: %w", ctx.Err())
	case err != nil:
		return nil, c.failed("GetTopic", err, trailer)
	case !info.GetCanSubscribe():
		return nil, badTopic(topic)
	case info.GetSchemaId() == "":
		return nil, nil
	}
	return c.schema(ctx, info.GetSchemaId())
}

// schema returns a schema from the cache or from the service. A token that was refused since the stream began, as it
// is after two hours or so, is replaced once. The error is of the stream; a schema that can be of no use to anybody has its own.
func (c *client) schema(ctx context.Context, id string) (*schema, error) {
	if s := c.source.schemas.get(id); s != nil {
		return s, nil
	}
	if id == "" {
		return &schema{err: errors.New("salesforce: an event names no schema")}, nil
	}
	info, failed := c.getSchema(ctx, id)
	if failed != nil && failed.class == renew {
		token, err := c.source.freshToken(ctx)
		if err != nil {
			return nil, err
		}
		c.token = token
		info, failed = c.getSchema(ctx, id)
	}
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("salesforce: GetSchema: %w", ctx.Err())
	case failed != nil && unknownSchema(failed):
		return &schema{err: failed}, nil // not remembered: it may be known tomorrow
	case failed != nil:
		return nil, failed
	}
	s := parseSchema(info.GetSchemaJson())
	c.source.schemas.put(id, s)
	return s, nil
}

// unknownSchema is an error that another attempt would meet again: its event would keep the feed from going on for ever.
func unknownSchema(e *Error) bool {
	code := status.Code(e.err)
	return e.Code == "schema.validation.failed" || e.Code == "" && (code == codes.NotFound || code == codes.InvalidArgument)
}

func (c *client) getSchema(ctx context.Context, id string) (*eventbus.SchemaInfo, *Error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var trailer metadata.MD
	info, err := c.api.GetSchema(c.signed(ctx), &eventbus.SchemaRequest{SchemaId: id}, grpc.Trailer(&trailer))
	if err != nil {
		return nil, c.failed("GetSchema", err, trailer)
	}
	return info, nil
}
