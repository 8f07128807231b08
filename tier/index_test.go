package tier_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/tier"
)

// dependents lists what depends on row id, in order.
func dependents(t *testing.T, c *tier.Cache, id string) []string {
	t.Helper()
	var keys []string
	for key, err := range c.Dependents(t.Context(), "row", id) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// indexed waits until count entries are known to depend on row id.
func indexed(t *testing.T, c *tier.Cache, id string, count int) {
	t.Helper()
	eventually(t, "the index has its entries", func() bool { return len(dependents(t, c, id)) == count })
}

// get reads one of a pod's entries that is made from a row.
func (p pod) get(t *testing.T, id, row string) {
	t.Helper()
	_, err := p.GetWith(t.Context(), id, func(ctx context.Context, _ string) (int, error) {
		tier.DependsOn(ctx, "row", row)
		return 0, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// swept waits until a pod's sweeper has nothing to do.
func swept(t *testing.T, p pod) {
	t.Helper()
	eventually(t, "the sweep is over", func() bool { return metric(t, p.cache, "tandem_sweep_queue") == 0 })
}

// What depends on an object is deleted from L2 once the object is invalidated, whoever does that; other entries stay.
func TestDependentsAreDeleted(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	client, src := connect(t, addr), &source{}
	a, b := newPod(t, addr, src), newPod(t, addr, src)
	other := newSpace(t, a.cache, tier.SpaceConfig[int]{Name: "test:other", Strategy: tier.CDC("feed"), Load: src.load})
	for i := range 10 {
		a.get(t, fmt.Sprintf("one-%d", i), "1")
		a.get(t, fmt.Sprintf("two-%d", i), "2")
	}
	if _, err := other.Get(t.Context(), "1"); err != nil { // depends on the row of its name
		t.Fatal(err)
	}
	indexed(t, b.cache, "1", 11)
	indexed(t, b.cache, "2", 10)
	if keys := dependents(t, b.cache, "1"); keys[0] != "test:other:1" || keys[1] != "test:row:one-0" {
		t.Errorf("got %q", keys)
	}
	if err := b.cache.InvalidateTag(t.Context(), "row", "1"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "they are gone", func() bool {
		return len(client.Keys(t.Context(), "shop:test:row:one-*").Val()) == 0 && client.Exists(t.Context(), "shop:test:other:1").Val() == 0
	})
	swept(t, b)
	if n := metric(t, b.cache, "tandem_swept_total"); n != 11 {
		t.Errorf("counted %v; want 11", n)
	}
	if n := len(client.Keys(t.Context(), "shop:test:row:two-*").Val()); n != 10 {
		t.Errorf("%d of the others; want all 10", n)
	}
	if keys := dependents(t, b.cache, "1"); len(keys) != 0 {
		t.Errorf("%q are still said to depend on it", keys)
	}
}

// An entry with a TTL leaves no index behind.
func TestIndexExpiresWithItsEntries(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	client, src := connect(t, addr), &source{}
	c := openCache(t, tier.Config{Redis: connect(t, addr), RemoteTimeout: 2 * time.Second})
	s := newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.Hybrid("feed", time.Minute), Load: src.load})
	if _, err := s.Get(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	indexed(t, c, "k", 1)
	if left := client.PTTL(t.Context(), "shop:{tag:row:k}").Val(); left <= 50*time.Second || left > time.Minute {
		t.Errorf("the index lives for %s; want a minute", left)
	}
}

// Nothing rests on the index: whatever happens to it, and though no dead value is deleted, nobody reads one.
func TestLostIndexMakesNothingStale(t *testing.T) {
	for name, harm := range map[string]func(ctx context.Context, client *redis.Client, index string) error{
		"lost": func(ctx context.Context, client *redis.Client, index string) error {
			return client.Del(ctx, index).Err()
		},
		"of another type": func(ctx context.Context, client *redis.Client, index string) error {
			return client.Set(ctx, index, "junk", 0).Err()
		},
		"of other entries": func(ctx context.Context, client *redis.Client, index string) error {
			client.Del(ctx, index)
			return client.ZAdd(ctx, index, redis.Z{Score: 1, Member: "test:row:nothing"}, redis.Z{Score: 1, Member: "{tick}"}).Err()
		},
		"ahead": func(ctx context.Context, client *redis.Client, index string) error {
			return client.ZAdd(ctx, index, redis.Z{Score: 1 << 52, Member: "test:row:k"}).Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			addr := servertest.StartRedis(t).Addr
			client, src := connect(t, addr), &source{}
			a, b := newPod(t, addr, src), newPod(t, addr, src)
			a.want(t, "k", 0)
			indexed(t, a.cache, "k", 1)
			b.want(t, "k", 0)
			if err := harm(t.Context(), client, "shop:{tag:row:k}"); err != nil {
				t.Fatal(err)
			}
			version := src.write("k")
			if err := a.cache.InvalidateTag(t.Context(), "row", "k"); err != nil {
				t.Fatal(err)
			}
			swept(t, a)
			if storedIn(t, client) == "" || metric(t, a.cache, "tandem_swept_total") != 0 {
				t.Error("the dead value was deleted: the test shows nothing")
			}
			newPod(t, addr, src).want(t, "k", version)
			heard(t, a, b)
			noneStale(t, "k", version, a, b)
		})
	}
}

// The sweep follows the acknowledgement, and what is not acknowledged is not swept.
func TestSweepComesLast(t *testing.T) {
	var published, failing atomic.Bool
	var early atomic.Int32
	p := newPodWith(t, servertest.StartRedis(t).Addr, &source{}, &watch{
		before: func(cmds []redis.Cmder) error {
			switch {
			case have(cmds, "eval", "{bus}:journal") && failing.Load():
				return errCut
			case have(cmds, "exists", "{tag:row:") && !published.Load():
				early.Add(1)
			}
			return nil
		},
		after: func(cmds []redis.Cmder) {
			if have(cmds, "eval", "{bus}:journal") {
				published.Store(true)
			}
		},
	})
	p.want(t, "a", 0)
	p.want(t, "b", 0)
	indexed(t, p.cache, "a", 1)
	indexed(t, p.cache, "b", 1)
	published.Store(false)
	failing.Store(true)
	if err := p.cache.InvalidateTag(t.Context(), "row", "a"); !errors.Is(err, errCut) {
		t.Fatalf("got %v; want it to fail", err)
	}
	failing.Store(false)
	if err := p.cache.InvalidateTag(t.Context(), "row", "b"); err != nil {
		t.Fatal(err)
	}
	swept(t, p)
	if n := metric(t, p.cache, "tandem_swept_total"); n != 1 || early.Load() != 0 {
		t.Errorf("deleted %v values, began %d times before the broadcast; want 1 and none", n, early.Load())
	}
}

// While Redis is too slow for the sweep, invalidations go on, and what is not swept is counted.
func TestFullSweepQueueIsCounted(t *testing.T) {
	held, release := make(chan struct{}, 1), make(chan struct{})
	p := newPodWith(t, servertest.StartRedis(t).Addr, &source{}, &watch{before: func(cmds []redis.Cmder) error {
		if have(cmds, "exists", "{tag:row:") {
			select {
			case held <- struct{}{}:
			default:
			}
			<-release
		}
		return nil
	}})
	invalidate := func() {
		t.Helper()
		if err := p.cache.InvalidateTag(t.Context(), "row", "1", "2", "2"); err != nil {
			t.Fatal(err)
		}
	}
	invalidate()
	<-held
	for range 300 {
		invalidate()
	}
	if n := metric(t, p.cache, "tandem_sweeps_dropped_total"); n != 44*3 {
		t.Errorf("counted %v; want 132, of 300 invalidations that do not fit in the queue of 256", n)
	}
	close(release)
	swept(t, p)
	invalidate()
	swept(t, p)
	if n := metric(t, p.cache, "tandem_sweeps_dropped_total"); n != 44*3 {
		t.Errorf("counted %v after it was over; want no more", n)
	}
}

// A sweep that fails is counted and given up; the next one does its work.
func TestFailedSweepIsCounted(t *testing.T) {
	for name, text := range map[string]string{"look": "exists {tag:row:", "take": "evalsha {tag:row:", "delete": "evalsha shop:test:row:k"} {
		t.Run(name, func(t *testing.T) {
			cmd, text, _ := strings.Cut(text, " ")
			var failing atomic.Bool
			p := newPodWith(t, servertest.StartRedis(t).Addr, &source{}, &watch{before: func(cmds []redis.Cmder) error {
				if failing.Load() && have(cmds, cmd, text) {
					return errCut
				}
				return nil
			}})
			for n := range 2 {
				p.want(t, "k", 0)
				indexed(t, p.cache, "k", 1)
				failing.Store(n == 0)
				if err := p.cache.InvalidateTag(t.Context(), "row", "k"); err != nil {
					t.Fatal(err)
				}
				swept(t, p)
				failing.Store(false)
				if got := metric(t, p.cache, "tandem_swept_total"); got != float64(n) {
					t.Errorf("round %d: deleted %v", n, got)
				}
			}
			if dropped, failed := metric(t, p.cache, "tandem_sweeps_dropped_total"), metric(t, p.cache, "tandem_remote_errors_total", "sweep"); dropped != 1 || failed != 1 {
				t.Errorf("counted %v dropped, %v failed; want one each", dropped, failed)
			}
		})
	}
}

func TestDependentsErrors(t *testing.T) {
	one := func(c *tier.Cache, entity, id string) error {
		for key, err := range c.Dependents(t.Context(), entity, id) {
			if key != "" || err == nil {
				t.Errorf("got %q, %v; want an error", key, err)
			}
			return err
		}
		return nil
	}
	alone := newPod(t, "", &source{})
	if err := one(alone.cache, "row", "1"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("L1 alone: got %v", err)
	}
	server := servertest.StartRedis(t)
	p := newPod(t, server.Addr, &source{})
	wantError(t, one(p.cache, "a b", "1"), `"a b"`)
	wantError(t, one(p.cache, "row", ""), "1 to 1024 bytes")
	if err := connect(t, server.Addr).Set(t.Context(), "shop:{tag:row:1}", "junk", 0).Err(); err != nil {
		t.Fatal(err)
	}
	wantError(t, one(p.cache, "row", "1"), "dependents of", "t:row:1", "WRONGTYPE")
	if err := p.cache.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := one(p.cache, "row", "1"); !errors.Is(err, tier.ErrClosed) {
		t.Errorf("closed: got %v", err)
	}
}

// Who has seen enough of the dependents may leave.
func TestDependentsMayBeLeft(t *testing.T) {
	p := newPod(t, servertest.StartRedis(t).Addr, &source{})
	p.get(t, "a", "1")
	p.get(t, "b", "1")
	indexed(t, p.cache, "1", 2)
	seen := 0
	for _, err := range p.cache.Dependents(t.Context(), "row", "1") {
		if err != nil {
			t.Fatal(err)
		}
		seen++
		break
	}
	if seen != 1 {
		t.Errorf("saw %d; want 1", seen)
	}
}
