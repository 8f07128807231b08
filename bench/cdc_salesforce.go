package main

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/cdc/salesforce"
	"github.com/tandem-cache/tandem/cdc/salesforce/salesforcetest"
)

// salesforceOrg is a fake org as the pod that follows reaches it.
type salesforceOrg struct {
	Endpoint string `json:"endpoint"`
	Login    string `json:"login"`
	Topic    string `json:"topic"`
}

func (o *salesforceOrg) open() (cdc.Source, error) {
	return salesforce.NewSource(salesforce.Config{
		Auth:  salesforce.ClientCredentials{Domain: o.Login, ClientID: salesforcetest.ClientID, ClientSecret: salesforcetest.ClientSecret},
		Topic: o.Topic, Endpoint: o.Endpoint, Logger: quiet(),
		DialOptions: []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())},
	})
}

// cdcSalesforceSource is a fake org, in this process. What it sends is encoded when it is published.
type cdcSalesforceSource struct {
	server *salesforcetest.Server
	entity salesforcetest.Entity
}

func openCDCSalesforce(o cdcOptions) (*cdcSalesforceSource, error) {
	server, err := salesforcetest.Start(salesforcetest.Options{
		Keepalive: 100 * time.Millisecond, // or a stream that begins would not know for minutes that it does
		MaxEvents: o.changes + o.calm + 1,
	})
	if err != nil {
		return nil, err
	}
	s := &cdcSalesforceSource{server: server, entity: salesforcetest.Entity{
		Name:   "Order",
		Fields: []salesforcetest.Field{{Name: "Status"}, {Name: "TotalAmount", Type: salesforcetest.Double}, {Name: "LastModifiedDate", Type: salesforcetest.Time}},
	}}
	if err := server.AddEntity(s.entity); err != nil {
		server.Close()
		return nil, err
	}
	return s, nil
}

func (s *cdcSalesforceSource) config() *cdcSourceConfig {
	org := &salesforceOrg{Endpoint: s.server.Endpoint(), Login: s.server.LoginURL(), Topic: s.entity.Topic()}
	return &cdcSourceConfig{Name: cdcSalesforce, Entity: s.entity.Name, Column: "Id", Salesforce: org}
}

func (*cdcSalesforceSource) ids() string      { return "801%012dAAA" }
func (*cdcSalesforceSource) shapes() []string { return []string{shapeEvents} }

func (s *cdcSalesforceSource) change(ctx context.Context, _ string, n int) error {
	for i := 1; i <= n; i++ {
		if err := s.touch(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (s *cdcSalesforceSource) touch(ctx context.Context, row int) error {
	now := time.Now()
	_, err := s.server.Change(salesforcetest.Change{
		Entity: s.entity.Name, Type: "UPDATE", IDs: []string{fmt.Sprintf(s.ids(), row)}, Committed: now,
		Fields: map[string]any{"Status": "Shipped", "LastModifiedDate": now},
	})
	if err != nil {
		return err
	}
	return ctx.Err()
}

func (s *cdcSalesforceSource) close() error {
	s.server.Close()
	return nil
}
