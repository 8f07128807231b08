package cdc_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/tier"
)

// A follower whose batch Redis refuses says so, in Redis's words: in its own pod's health and, as far as it is heard, in others'.
func TestHeldBatchIsTold(t *testing.T) {
	server := servertest.StartRedis(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr})
	t.Cleanup(func() { _ = client.Close() })
	source := &table{versions: make(map[string]int)}
	cache, _ := openRows(t, client, source)
	other, _ := openRows(t, client, source)
	feed, err := cache.Feed("rows")
	if err != nil {
		t.Fatal(err)
	}
	follower, stop := run(t, cdc.FollowerConfig{
		Source: source, Feed: feed, Logger: slog.New(slog.DiscardHandler), Heartbeat: 100 * time.Millisecond, MinBackoff: 20 * time.Millisecond,
		MaxBackoff: 100 * time.Millisecond,
		Routes: cdc.Routes{"t": {
			Row: func(r cdc.Row) []string { return []string{tier.Key("shop:row", r.Must("name"))} },
			All: []string{tier.SpaceName("shop:row")},
		}},
	})
	defer stop()
	source.write("a")
	eventually(t, "the first change is applied", func() bool { return follower.Stats().Position == "1" })

	do(t, client, "CONFIG", "SET", "min-replicas-to-write", "1")
	source.write("a")
	told := func(c *tier.Cache) bool {
		text := strings.Join(c.Health(t.Context()).Problems, "\n")
		return strings.Contains(text, "not connected: holds changes since 20") && strings.Contains(text, ": NOREPLICAS Not enough")
	}
	eventually(t, "the follower's pod says that it holds changes", func() bool { return told(cache) })
	eventually(t, "another pod says so", func() bool { return told(other) })
	if st := follower.Stats(); !st.Connected || st.Held != 1 || !strings.Contains(st.Holding, "NOREPLICAS") {
		t.Errorf("got connected %t, held %d, holding %q; want a source that is connected, and a batch that is held", st.Connected, st.Held, st.Holding)
	}

	do(t, client, "CONFIG", "SET", "min-replicas-to-write", "0")
	eventually(t, "the change is applied", func() bool { return follower.Stats().Position == "2" })
	if st := follower.Stats(); st.Holding != "" {
		t.Errorf("still holding: %s", st.Holding)
	}
	for _, c := range []*tier.Cache{cache, other} {
		eventually(t, "the feed is connected", func() bool { return c.Health(t.Context()).Feeds["rows"].Connected })
	}
}
