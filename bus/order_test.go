package bus_test

import (
	"bytes"
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/bus"
	"github.com/tandem-cache/tandem/internal/servertest"
)

// slowSubscribe is a network that takes 100 ms to bring a SUBSCRIBE to Redis.
type slowSubscribe struct {
	net.Conn
	sent *atomic.Bool
}

func (c slowSubscribe) Write(b []byte) (int, error) {
	if !bytes.Contains(bytes.ToLower(b), []byte("subscribe")) {
		return c.Conn.Write(b)
	}
	late := bytes.Clone(b)
	time.AfterFunc(100*time.Millisecond, func() {
		c.sent.Store(true)
		_, _ = c.Conn.Write(late)
	})
	return len(b), nil
}

// orderly notes whether Resync came before the subscription.
type orderly struct {
	*recorder
	sent  *atomic.Bool
	early atomic.Bool
}

func (o *orderly) Resync(ctx context.Context) error {
	if !o.sent.Load() {
		o.early.Store(true)
	}
	return o.recorder.Resync(ctx)
}

// A receiver that took its bearings before its subscription would not know what was published in between.
func TestResyncFollowsTheSubscription(t *testing.T) {
	var sent atomic.Bool
	client := redis.NewClient(&redis.Options{
		Addr: servertest.StartRedis(t).Addr,
		Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			return slowSubscribe{conn, &sent}, err
		},
	})
	t.Cleanup(func() { _ = client.Close() })
	h := &orderly{recorder: newRecorder(), sent: &sent}
	b := openFor(t, client, h)
	h.await(t, "resync")
	publish(t, b, 1)
	h.await(t, "[k] 1")
	if h.early.Load() {
		t.Error("resync before Redis had been asked to subscribe")
	}
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
	for deadline := time.Now().Add(10 * time.Second); ; {
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
