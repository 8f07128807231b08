package bus_test

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/bus"
	"github.com/tandem-cache/tandem/internal/servertest"
)

// allow changes the rights of the default user.
func allow(t *testing.T, admin *redis.Client, rules ...any) {
	t.Helper()
	if err := admin.Do(t.Context(), append([]any{"acl", "setuser", "default"}, rules...)...).Err(); err != nil {
		t.Fatal(err)
	}
}

func headAndJournal(t *testing.T, client *redis.Client) (n string, length int64) {
	t.Helper()
	return client.HGet(t.Context(), "shop:{bus}:head", "n").Val(), client.XLen(t.Context(), "shop:{bus}:journal").Val()
}

// A message that its publisher may not publish gets no number: it would be one that nobody heard.
func TestUserWithoutTheRightToPublish(t *testing.T) {
	server := servertest.StartRedis(t)
	admin := connect(t, server.Addr)
	b, r := open(t, server.Addr)
	r.await(t, "resync")
	publish(t, b, 1)
	for _, rules := range [][2]string{{"-publish", "+publish"}, {"resetchannels", "allchannels"}} {
		n, length := headAndJournal(t, admin)
		allow(t, admin, rules[0])
		if err := b.Publish(t.Context(), bus.Message{Kind: bus.Invalidate, Tick: 2, Names: []string{"k"}}); err == nil {
			t.Errorf("%s: published", rules[0])
		}
		if gotN, gotLength := headAndJournal(t, admin); gotN != n || gotLength != length {
			t.Errorf("%s: the head is at %s, the journal has %d; want %s and %d, as before", rules[0], gotN, gotLength, n, length)
		}
		allow(t, admin, rules[1])
	}
	publish(t, b, 3)
	r.await(t, "[k] 1", "[k] 3")
	if got := b.Stats(); got.Resyncs != 1 {
		t.Errorf("got %+v; want no resync but the first", got)
	}
}

// A message whose number can't be stored is not heard: the next one would have the same number.
func TestNumberThatCannotBeStoredIsNotHeard(t *testing.T) {
	server := servertest.StartRedis(t)
	admin := connect(t, server.Addr)
	b, r := open(t, server.Addr)
	r.await(t, "resync")
	publish(t, b, 1)
	allow(t, admin, "-hset")
	if err := b.Publish(t.Context(), bus.Message{Kind: bus.Invalidate, Tick: 2, Names: []string{"k"}}); err == nil {
		t.Error("published")
	}
	allow(t, admin, "+hset")
	publish(t, b, 3)
	r.await(t, "resync", "[k] 1", "[k] 3")
}

// Redis is full: what is published is heard, also where head and journal have to be made first.
func TestPublishWhileRedisIsFull(t *testing.T) {
	server := servertest.StartRedis(t)
	admin := connect(t, server.Addr)
	if err := admin.ConfigSet(t.Context(), "maxmemory", "1000").Err(); err != nil {
		t.Fatal(err)
	}
	b, r := open(t, server.Addr)
	r.await(t, "resync")
	publish(t, b, 1)
	publish(t, b, 2)
	r.await(t, "resync", "[k] 1", "[k] 2")
	r.awaitFresh(t)
}
