package cdc_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/tier"
)

// table is a database table of versions, and its log of changes.
type table struct {
	mu       sync.Mutex // guards the fields below
	versions map[string]int
	log      []string // ids, in commit order; a position is a length of it
	loads    int
}

func (t *table) write(ids ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range ids {
		t.versions[id]++
		t.log = append(t.log, id)
	}
}

func (t *table) load(_ context.Context, id string) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.loads++
	return t.versions[id], nil
}

func (t *table) loaded() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.loads
}

func (t *table) Identity() string { return "table" }

func (t *table) Exclusive() bool { return true }

func (t *table) Open(_ context.Context, from string) (cdc.Stream, error) {
	return &tableStream{table: t, at: index(from)}, nil
}

type tableStream struct {
	table *table
	at    int
}

func (s *tableStream) Next(ctx context.Context) (cdc.Batch, error) {
	for {
		s.table.mu.Lock()
		ids := s.table.log[s.at:]
		ids = ids[:min(len(ids), 100)]
		s.table.mu.Unlock()
		if len(ids) > 0 {
			s.at += len(ids)
			b := batch(ids...)
			b.Position = strconv.Itoa(s.at)
			return b, nil
		}
		select {
		case <-ctx.Done():
			return cdc.Batch{}, ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (s *tableStream) Ack(context.Context, string) error { return nil }
func (s *tableStream) Lag() (lag time.Duration, ok bool) { return 0, true }
func (s *tableStream) Close(context.Context) error       { return nil }

// followMaster dials whichever address is current.
func followMaster(t *testing.T, current *atomic.Pointer[string]) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{
		Addr: "127.0.0.1:1",
		Dialer: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, *current.Load())
		},
	})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func openRows(t *testing.T, client *redis.Client, source *table) (*tier.Cache, *tier.Space[int]) {
	t.Helper()
	cache, err := tier.Open(t.Context(), tier.Config{
		Name: "shop", Redis: client, RemoteTimeout: 2 * time.Second, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cache.Close(context.Background()) })
	rows, err := tier.NewSpace(cache, tier.SpaceConfig[int]{Name: "shop:row", Strategy: tier.CDC("rows"), Load: source.load})
	if err != nil {
		t.Fatal(err)
	}
	return cache, rows
}

func do(t *testing.T, client *redis.Client, command ...any) {
	t.Helper()
	if err := client.Do(t.Context(), command...).Err(); err != nil {
		t.Fatalf("%v: %v", command, err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// A replica that missed 600 deletes is promoted. It has their rows in L2, and the checkpoint from before: the follower starts
// again from there. What was not deleted stays in L2.
func TestPromotedReplicaThatMissedDeletes(t *testing.T) {
	const all, changed = 1000, 600
	master := servertest.StartRedis(t)
	host, port, _ := net.SplitHostPort(master.Addr)
	replica := servertest.StartRedis(t, "--replicaof", host, port)
	direct := map[*servertest.Redis]*redis.Client{}
	for _, server := range []*servertest.Redis{master, replica} {
		direct[server] = redis.NewClient(&redis.Options{Addr: server.Addr})
		t.Cleanup(func() { _ = direct[server].Close() })
	}
	var current atomic.Pointer[string]
	current.Store(&master.Addr)
	source := &table{versions: make(map[string]int)}
	cache, rows := openRows(t, followMaster(t, &current), source)
	feed, err := cache.Feed("rows")
	if err != nil {
		t.Fatal(err)
	}
	follower, stop := run(t, cdc.FollowerConfig{
		Source: source, Feed: feed, Logger: slog.New(slog.DiscardHandler), Heartbeat: 100 * time.Millisecond,
		Routes: cdc.Routes{"t": {
			Row: func(r cdc.Row) []string { return []string{tier.Key("shop:row", r.Must("name"))} },
			All: []string{tier.SpaceName("shop:row")},
		}},
	})
	defer stop()

	id := func(i int) string { return fmt.Sprint("row", i) }
	source.write(id(0)) // so that there is a checkpoint
	eventually(t, "the first change is applied", func() bool { return follower.Stats().Position == "1" })
	for i := range all {
		if _, err := rows.Get(t.Context(), id(i)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "L2 has all rows", func() bool {
		n := len(direct[master].Keys(t.Context(), "shop:shop:row:*").Val())
		return n == all
	})
	eventually(t, "the replica has them too", func() bool {
		return len(direct[replica].Keys(t.Context(), "shop:shop:row:*").Val()) == all &&
			direct[replica].HGet(t.Context(), "shop:{feed:rows}", "position").Val() == "table\n1"
	})
	do(t, direct[replica], "replicaof", "127.0.0.1", "1") // it hears nothing more
	for i := range changed {
		source.write(id(i))
	}
	eventually(t, "the changes are applied", func() bool { return follower.Stats().Position == strconv.Itoa(1+changed) })
	if n := len(direct[replica].Keys(t.Context(), "shop:shop:row:*").Val()); n != all {
		t.Fatalf("the replica has %d rows: the test shows nothing", n)
	}

	do(t, direct[replica], "replicaof", "no", "one")
	master.Kill() // before anybody is sent to the replica: one who finds that, and then the master again, rewinds twice
	current.Store(&replica.Addr)
	eventually(t, "the follower has started again from the replica's checkpoint", func() bool {
		st := follower.Stats()
		return st.Rewinds > 0 && st.Position == strconv.Itoa(1+changed)
	})
	if n := len(direct[replica].Keys(t.Context(), "shop:shop:row:*").Val()); n != all-changed {
		t.Errorf("L2 has %d rows after the rewind; want the %d that did not change", n, all-changed)
	}
	before := source.loaded()
	_, fresh := openRows(t, followMaster(t, &current), source)
	for name, space := range map[string]*tier.Space[int]{"a pod that saw it": rows, "a pod that comes later": fresh} {
		for i := range all {
			got, err := space.Get(t.Context(), id(i))
			if want := source.versions[id(i)]; got != want || err != nil {
				t.Fatalf("%s: version %d of %s, %v; want %d", name, got, id(i), err, want)
			}
		}
	}
	if n := source.loaded() - before; n != changed {
		t.Errorf("%d loads after the promotion; want %d: what did not change is in L2", n, changed)
	}
}

// A follower that pauses because Redis was frozen goes on when the cache hears Redis again, however long its pause would be.
func TestPauseEndsWhenRedisIsBack(t *testing.T) {
	server := servertest.StartRedis(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr})
	t.Cleanup(func() { _ = client.Close() })
	source := &table{versions: make(map[string]int)}
	cache, rows := openRows(t, client, source)
	feed, err := cache.Feed("rows")
	if err != nil {
		t.Fatal(err)
	}
	follower, stop := run(t, cdc.FollowerConfig{
		Source: source, Feed: feed, Logger: slog.New(slog.DiscardHandler), MinBackoff: time.Minute, MaxBackoff: time.Minute,
		Routes: cdc.Routes{"t": {
			Row: func(r cdc.Row) []string { return []string{tier.Key("shop:row", r.Must("name"))} },
			All: []string{tier.SpaceName("shop:row")},
		}},
	})
	defer stop()
	source.write("k")
	eventually(t, "the first change is applied", func() bool { return follower.Stats().Position == "1" })
	server.Freeze()
	defer server.Thaw()
	source.write("k")
	eventually(t, "the follower has failed, and pauses", func() bool { return follower.Stats().Retries > 0 || follower.Stats().Problem != "" })
	server.Thaw()
	eventually(t, "the second change is applied", func() bool { return follower.Stats().Position == "2" })
	if got, err := rows.Get(t.Context(), "k"); got != 2 || err != nil {
		t.Errorf("got version %d, %v; want 2", got, err)
	}
}
