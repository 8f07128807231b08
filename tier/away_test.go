package tier_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/tier"
)

// awayPod is a pod that finds out soon that Redis is away.
func awayPod(t *testing.T, client *redis.Client, src *source) pod {
	t.Helper()
	c := openCache(t, tier.Config{Redis: client, RemoteTimeout: patience, MaxStaleness: 600 * time.Millisecond})
	return pod{cache: c, Space: newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.CDC("feed"), Load: src.load})}
}

func trusts(p pod) func() bool {
	return func() bool { return p.cache.Health(context.Background()).L1.Trusted }
}

func distrusts(p pod) func() bool { return func() bool { return !trusts(p)() } }

// What a pod has loaded while Redis was frozen is not forgotten when Redis goes on: nobody has invalidated the older value yet, in L1 or L2,
// and a head of the journal proves nothing of it.
func TestReadsDoNotGoBackAfterRedisFroze(t *testing.T) {
	server := servertest.StartRedis(t)
	src := &source{}
	p := awayPod(t, connect(t, server.Addr), src)
	p.want(t, "k", 0)
	storedIn(t, connect(t, server.Addr))
	eventually(t, "L1 shows it", func() bool { return tier.InL1(p.Space, "k") })
	server.Freeze()
	defer server.Thaw()
	v := src.write("k")
	eventually(t, "L1 is not trusted", distrusts(p))
	p.want(t, "k", v)
	server.Thaw()
	back := false
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); {
		p.want(t, "k", v)
		if t.Failed() {
			t.Fatalf("trusted: %v", trusts(p)())
		}
		if !back && tier.InL1(p.Space, "k") {
			back, end = true, time.Now().Add(time.Second)
		}
	}
	if !back {
		t.Error("L1 did not answer again within 15 s")
	}
}

// L2 may have an older value than a pod has loaded, until the change is invalidated. The pod takes it for outdated.
func TestOlderValueInL2IsNotTaken(t *testing.T) {
	server := servertest.StartRedis(t)
	src := &source{}
	var away atomic.Bool
	client := redis.NewClient(&redis.Options{Addr: server.Addr, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	client.AddHook(&watch{before: func(cmds []redis.Cmder) error {
		if away.Load() || len(cmds) > 0 && have(cmds, "eval", "{bus}:head") && src.count("k") > 1 { // no head is read any more
			return errCut
		}
		return nil
	}})
	p, other := awayPod(t, client, src), newPod(t, server.Addr, src)
	p.want(t, "k", 0)
	storedIn(t, connect(t, server.Addr))
	v := src.write("k")
	away.Store(true)
	eventually(t, "L1 is not trusted", distrusts(p))
	p.want(t, "k", v)
	away.Store(false)
	eventually(t, "the pod reads L2 again", func() bool {
		p.want(t, "k", v)
		return !t.Failed() && metric(t, p.cache, "tandem_dead_entries_total", "older") == 1
	})
	eventually(t, "L2 has the newer value", func() bool { got, ok := other.Peek(t.Context(), "k"); return ok && got == v })
	if _, ok := p.Peek(t.Context(), "k"); !ok {
		t.Error("what L2 has now is newer, and was not found")
	}
}

// What was loaded while Redis was away is outdated like any other entry: by what is invalidated then, and by a journal that was lost.
func TestLoadedWhileRedisWasAwayIsInvalidated(t *testing.T) {
	for _, lost := range []bool{false, true} {
		t.Run(map[bool]string{false: "replayed", true: "journal lost"}[lost], func(t *testing.T) {
			server := servertest.StartRedis(t)
			src := &source{}
			var away atomic.Bool
			client := redis.NewClient(&redis.Options{Addr: server.Addr, ContextTimeoutEnabled: true})
			t.Cleanup(func() { _ = client.Close() })
			client.AddHook(&watch{before: func([]redis.Cmder) error {
				if away.Load() {
					return errCut
				}
				return nil
			}})
			p, other := awayPod(t, client, src), newPod(t, server.Addr, src)
			p.want(t, "k", 0)
			admin := connect(t, server.Addr)
			away.Store(true)
			eventually(t, "L1 is not trusted", distrusts(p))
			if err := admin.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err(); err != nil {
				t.Fatal(err)
			}
			p.want(t, "k", 0) // loaded alone, and kept
			v := src.write("k")
			if err := other.cache.InvalidateTag(t.Context(), "row", "k"); err != nil {
				t.Fatal(err)
			}
			if lost {
				if err := admin.Del(t.Context(), "shop:{bus}:head", "shop:{bus}:journal").Err(); err != nil {
					t.Fatal(err)
				}
			}
			away.Store(false)
			eventually(t, "L1 is trusted again", trusts(p))
			p.want(t, "k", v)
		})
	}
}

// A value that cannot be kept still outdates the older one that L1 has.
func TestOlderEntryIsNotTrustedAgain(t *testing.T) {
	server := servertest.StartRedis(t)
	c := openCache(t, tier.Config{Redis: connect(t, server.Addr), RemoteTimeout: patience, MaxStaleness: 600 * time.Millisecond})
	var size atomic.Int64
	s := newSpace(t, c, tier.SpaceConfig[string]{
		Name: "test:row", Strategy: tier.CDC("feed"), MaxValueBytes: 100,
		Load: func(context.Context, string) (string, error) { return strings.Repeat("x", int(size.Load())), nil },
	})
	p := pod{cache: c}
	get := func(want int) {
		t.Helper()
		if v, err := s.Get(t.Context(), "k"); err != nil || len(v) != want {
			t.Fatalf("got %d bytes, %v; want %d", len(v), err, want)
		}
	}
	get(0)
	eventually(t, "L1 shows it", func() bool { return tier.InL1(s, "k") })
	server.Freeze()
	defer server.Thaw()
	eventually(t, "L1 is not trusted", distrusts(p))
	size.Store(1000)
	get(1000)
	server.Thaw()
	eventually(t, "L1 is trusted again", trusts(p))
	if tier.InL1(s, "k") {
		t.Error("L1 has the value from before")
	}
}
