package bus_test

import (
	"context"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/bus"
	"github.com/tandem-cache/tandem/internal/servertest"
)

// What is published while there is no subscription is heard when the next one begins.
func TestSubscriptionBeginsWithAReplay(t *testing.T) {
	server := servertest.StartRedis(t)
	r := newRecorder()
	cfg := config(connect(t, server.Addr), r)
	cfg.MaxStaleness = time.Hour // no other probe
	b := bus.Open(cfg)
	defer func() { _ = b.Close(context.Background()) }()
	r.await(t, "resync")
	eventually(t, "subscribed", func() bool { return b.Stats().Subscriptions == 1 })
	client := connect(t, server.Addr)
	if err := client.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err(); err != nil {
		t.Fatal(err)
	}
	loseMessage(t, client, 1)
	r.await(t, "resync", "[k] 1")
}

// A pod whose subscriptions fail, by a rule of access perhaps, hears by the journal alone.
func TestJournalServesWithoutASubscription(t *testing.T) {
	server := servertest.StartRedis(t)
	admin := connect(t, server.Addr)
	if err := admin.Do(t.Context(), "acl", "setuser", "default", "-subscribe").Err(); err != nil {
		t.Fatal(err)
	}
	b, r := open(t, server.Addr)
	r.await(t, "resync")
	publish(t, b, 1)
	r.await(t, "resync", "[k] 1")
	r.awaitFresh(t)
}

// A server that took over, or came back, with the head of the journal may have lost numbers given out after it.
func TestAnotherServerBeginsALineage(t *testing.T) {
	server := servertest.StartRedis(t)
	b, r := open(t, server.Addr)
	r.await(t, "resync")
	publish(t, b, 1)
	client := connect(t, server.Addr)
	kept := client.HGetAll(t.Context(), "shop:{bus}:head").Val()
	server.Stop()
	server.Start()                                                                  // another run_id, no data
	if err := client.HSet(t.Context(), "shop:{bus}:head", kept).Err(); err != nil { // a replica that had the head
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; {
		err := b.Publish(t.Context(), bus.Message{Kind: bus.Invalidate, Tick: 2, Names: []string{"k"}})
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	head := client.HGetAll(t.Context(), "shop:{bus}:head").Val()
	if head["lineage"] == kept["lineage"] || head["lineage"] == "" {
		t.Errorf("the head is %v, it was %v; want another lineage", head, kept)
	}
}

// A master that was demoted and promoted again has the run id that it had, and perhaps fewer messages.
func TestPromotedServerBeginsALineage(t *testing.T) {
	server := servertest.StartRedis(t)
	b, r := open(t, server.Addr)
	r.await(t, "resync")
	publish(t, b, 1)
	client := connect(t, server.Addr)
	lineage := func() string { return client.HGet(t.Context(), "shop:{bus}:head", "lineage").Val() }
	before := lineage()
	for _, master := range [][2]string{{"127.0.0.1", "1"}, {"no", "one"}} {
		if err := client.Do(t.Context(), "replicaof", master[0], master[1]).Err(); err != nil {
			t.Fatal(err)
		}
	}
	publish(t, b, 2)
	if lineage() == before {
		t.Error("the lineage is the one from before the promotion")
	}
}
