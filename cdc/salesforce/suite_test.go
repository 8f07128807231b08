package salesforce_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/cdc/cdctest"
	"github.com/tandem-cache/tandem/cdc/salesforce"
	"github.com/tandem-cache/tandem/cdc/salesforce/salesforcetest"
)

var (
	kills = flag.Int("kills", cdctest.DefaultKills, "followers that TestKill kills")
	seed  = flag.Uint64("seed", 0, "of TestKill; 0: a new one")
)

// The contract of a source, on an org inside the process.
func TestSource(t *testing.T) { cdctest.Run(t, newRig) }

// Followers that are killed lose nothing.
func TestKill(t *testing.T) {
	cdctest.Kill(t, newRig, cdctest.Kills{Count: *kills, Seed: *seed})
}

// suiteConfig is what a source needs in a process of its own.
type suiteConfig struct{ Login, Endpoint, Topic string }

func (c suiteConfig) source() (cdc.Source, error) {
	return salesforce.NewSource(salesforce.Config{
		Auth:     salesforce.ClientCredentials{Domain: c.Login, ClientID: salesforcetest.ClientID, ClientSecret: salesforcetest.ClientSecret},
		Topic:    c.Topic,
		Endpoint: c.Endpoint, MaxBatch: 50, Logger: slog.New(slog.DiscardHandler),
		DialOptions: []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())},
	})
}

// starve is how long an org bears a stream that asks for nothing: a client on a busy
// machine has as long to ask.
const starve = 3 * time.Second

// newRig is an org that speaks often, gives a stream up that asks for nothing for
// long, and names places ahead of what it has sent.
func newRig(t *testing.T) cdctest.Rig {
	t.Helper()
	server, err := salesforcetest.Start(salesforcetest.Options{Keepalive: 50 * time.Millisecond, Starve: starve, LatestAhead: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	order := salesforcetest.Entity{Name: "Order", Fields: []salesforcetest.Field{{Name: "Status"}}}
	must(server.AddEntity(order))
	must(server.AddEntity(salesforcetest.Entity{Name: "Asset", Fields: order.Fields}))
	topic := order.Topic()
	update := func(entity, id string) salesforcetest.Change {
		return salesforcetest.Change{Entity: entity, Type: "UPDATE", IDs: []string{id}, Fields: map[string]any{"Status": "Shipped"}}
	}
	cfg := suiteConfig{Login: server.LoginURL(), Endpoint: server.Endpoint(), Topic: topic}
	source, err := cfg.source()
	must(err)
	text, err := json.Marshal(cfg)
	must(err)
	return cdctest.Rig{
		Source: source, MaxBatch: 50, Entity: "Order", Column: "Id", Config: string(text),
		ID:      func(n int) string { return fmt.Sprintf("801%012dAAA", n) },
		Secrets: []string{salesforcetest.ClientSecret}, Patience: patience, Pause: 3 * starve / 2,
		Change: func(ids ...string) {
			t.Helper()
			var changes []salesforcetest.Change
			for _, id := range ids {
				changes = append(changes, update("Order", id))
			}
			_, err := server.Transaction(changes...)
			must(err)
		},
		Whole: func() {
			_, err := server.Raw(topic, server.SchemaID(topic), []byte("no Avro"))
			must(err)
		},
		Unrelated: func() {
			_, err := server.Change(update("Asset", "02i000000000001AAA"))
			must(err)
		},
		Lose: func() { must(server.ResetReplayIDs(topic)) },
		Cut:  server.Cut,
		Down: server.Stop,
		Up:   func() { must(server.Restart()) },
		Revoke: func() {
			server.RefuseLogins(true)
			server.ExpireTokens()
		},
		Grant:  func() { server.RefuseLogins(false) },
		Freeze: func() { must(server.Silence(topic, true)) },
		Thaw:   func() { must(server.Silence(topic, false)) },
	}
}
