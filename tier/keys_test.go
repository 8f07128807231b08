package tier_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/remote"
	"github.com/tandem-cache/tandem/tier"
)

const fast = 1_000_000 // a rate for tests

func all(pattern string) tier.KeyQuery { return tier.KeyQuery{Pattern: pattern, Rate: fast} }

// fill reads ids so that each is in L1, and in L2 where there is one.
func fill(t *testing.T, s *tier.Space[int], ids ...string) {
	t.Helper()
	for _, id := range ids {
		if _, err := s.Get(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		eventually(t, id+" is in L1", func() bool { return tier.InL1(s, id) })
	}
}

// inL2 fills and waits for L2.
func inL2(t *testing.T, client *redis.Client, s *tier.Space[int], space string, ids ...string) {
	t.Helper()
	fill(t, s, ids...)
	for _, id := range ids {
		eventually(t, id+" is in L2", func() bool {
			return client.GetRange(context.Background(), "shop:"+space+":"+id, 0, 0).Val() == "V"
		})
	}
}

func list(t *testing.T, seq func(func(tier.KeyInfo, error) bool)) []string {
	t.Helper()
	var keys []string
	for k, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, string(k.Tier)+" "+k.String())
	}
	slices.Sort(keys)
	return keys
}

func spaceIn(t *testing.T, c *tier.Cache, name string) *tier.Space[int] {
	return newSpace(t, c, tier.SpaceConfig[int]{Name: name, Strategy: tier.TTL(time.Hour), Load: (&source{}).load})
}

func TestKeysOfBothTiers(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	client := connect(t, addr)
	p := newPod(t, addr, &source{})
	other := spaceIn(t, p.cache, "test:other")
	odd := []string{"a*b", `a\b`, "a[b]", "a?b", "axb"}
	inL2(t, client, p.Space, "test:row", odd...)
	inL2(t, client, other, "test:other", "k")
	client.Set(t.Context(), "shop2:test:row:k", client.Get(t.Context(), "shop:test:row:a*b").Val(), 0)
	ask := remote.Ask{Hold: remote.Hold{Key: "test:row:loading", Token: remote.NewToken()}}
	if lease := remote.New(client, "shop").Acquire(t.Context(), time.Minute, []remote.Ask{ask})[0]; !lease.Granted {
		t.Fatal(lease)
	}
	client.HSet(t.Context(), "shop:test:row:hash", "f", "v")

	both := func(keys ...string) (want []string) {
		for _, k := range keys {
			want = append(want, "l1 "+k, "l2 "+k)
		}
		slices.Sort(want)
		return want
	}
	for pattern, want := range map[string][]string{
		"*":                               both("test:row:a*b", `test:row:a\b`, "test:row:a[b]", "test:row:a?b", "test:row:axb", "test:other:k"),
		"test:o*":                         both("test:other:k"),
		"test:row:a?b":                    both("test:row:a*b", `test:row:a\b`, "test:row:a?b", "test:row:axb"),
		"test:row:a[?]b":                  both("test:row:a?b"),
		`test:row:a\b`:                    both(`test:row:a\b`),
		"test:row:a[b]":                   both("test:row:a[b]"),
		tier.QuotePattern("test:row:a*b"): both("test:row:a*b"),
		"shop:*":                          nil,
		"{*":                              nil,
	} {
		if diff := cmp.Diff(want, list(t, p.cache.Keys(t.Context(), all(pattern)))); diff != "" {
			t.Errorf("%q: %s", pattern, diff)
		}
		n, err := p.cache.Count(t.Context(), all(pattern))
		if want := (tier.KeyCount{L1: len(want) / 2, L2: len(want) / 2}); n != want || err != nil {
			t.Errorf("%q: counted %+v, %v; want %+v", pattern, n, err, want)
		}
	}
	if diff := cmp.Diff(both("test:row:a[b]"), list(t, p.Keys(t.Context(), all("a[*")))); diff != "" {
		t.Errorf("in a space: %s", diff)
	}
	if n, err := other.Count(t.Context(), all("*")); n != (tier.KeyCount{L1: 1, L2: 1}) || err != nil {
		t.Errorf("in a space: got %+v, %v", n, err)
	}
	if n, err := p.Delete(t.Context(), all("a[*]b")); n != (tier.KeyCount{L1: 1, L2: 1}) || err != nil {
		t.Errorf("deleted %+v, %v; want one in each", n, err)
	}
	if n, err := p.cache.Count(t.Context(), all("*")); n != (tier.KeyCount{L1: 5, L2: 5}) || err != nil {
		t.Errorf("left %+v, %v; want 5 in each", n, err)
	}
}

func TestKeyInfo(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	client := connect(t, addr)
	c := openCache(t, tier.Config{Redis: client, RemoteTimeout: 2 * time.Second})
	began := time.Now()
	inL2(t, client, spaceIn(t, c, "test:hour"), "test:hour", "k")
	lasting := newSpace(t, c, tier.SpaceConfig[int]{Name: "test:lasting", Strategy: tier.CDC("feed"), Load: (&source{}).load})
	inL2(t, client, lasting, "test:lasting", "k")
	seen := 0
	for k, err := range c.Keys(t.Context(), all("*")) {
		if err != nil {
			t.Fatal(err)
		}
		seen++
		if age := time.Since(began); k.Age <= 0 || k.Age > age {
			t.Errorf("%s %s: age %s; want at most %s", k.Tier, k, k.Age, age)
		}
		if hour := k.Space == "test:hour"; hour != (k.TTL > time.Hour-time.Minute && k.TTL <= time.Hour) || !hour && k.TTL != 0 {
			t.Errorf("%s %s: TTL %s", k.Tier, k, k.TTL)
		}
		if k.Size < 50 || k.Size > 1000 || k.ID != "k" {
			t.Errorf("got %+v", k)
		}
	}
	if seen != 4 {
		t.Errorf("saw %d entries; want 4", seen)
	}
}

// A reader of L1 does not see what is outdated, and neither does who counts it.
func TestOutdatedEntriesOfL1AreNotCounted(t *testing.T) {
	src := &source{}
	p := newPod(t, "", src)
	fill(t, p.Space, "a", "b")
	if err := p.cache.InvalidateTag(t.Context(), "row", "a"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"l1 test:row:b"}, list(t, p.Keys(t.Context(), all("*")))); diff != "" {
		t.Error(diff)
	}
}

func TestUsage(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	client := connect(t, addr)
	p := newPod(t, addr, &source{})
	inL2(t, client, p.Space, "test:row", "k")
	value := client.Get(t.Context(), "shop:test:row:k").Val()
	const count = 1000
	var bytes int64
	for i := range count - 1 {
		key := fmt.Sprintf("shop:test:row:%04d", i)
		client.Set(t.Context(), key, value, 0)
		bytes += client.MemoryUsage(t.Context(), key).Val()
	}
	bytes += client.MemoryUsage(t.Context(), "shop:test:row:k").Val()
	u, err := p.cache.Usage(t.Context(), all("*"))
	if err != nil {
		t.Fatal(err)
	}
	if u.L1.Keys != 1 || u.L1.Bytes < 200 || u.L2 != (tier.MemoryUsage{Keys: count, Bytes: bytes}) || u.Measured != count {
		t.Errorf("got %+v; want %d in L2, of %d bytes", u, count, bytes)
	}
	q := all("*")
	q.Sample = 10
	u, err = p.cache.Usage(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if u.L2.Keys != count || u.L2.Bytes < bytes*9/10 || u.L2.Bytes > bytes*11/10 || u.Measured != count/10 {
		t.Errorf("sampled: got %+v; want %d in L2, of about %d bytes, by a tenth of them", u, count, bytes)
	}
}

// Other pods' L1 has entries that Redis has evicted: only a flush by name reaches them.
func TestDeleteOfWholeSpacesReachesOtherPods(t *testing.T) {
	for _, pattern := range []string{"*", "test:*", "test:row:*"} {
		t.Run(strings.ReplaceAll(pattern, "*", "+"), func(t *testing.T) {
			addr := servertest.StartRedis(t).Addr
			client, src := connect(t, addr), &source{}
			a, b := newPod(t, addr, src), newPod(t, addr, src)
			inL2(t, client, b.Space, "test:row", "evicted", "kept")
			client.Del(t.Context(), "shop:test:row:evicted")
			src.write("evicted")
			n, err := a.cache.Delete(t.Context(), all(pattern))
			if err != nil || n != (tier.KeyCount{L2: 1}) {
				t.Errorf("got %+v, %v; want one of L2", n, err)
			}
			heard(t, b, a)
			b.want(t, "evicted", 1)
			if client.Exists(t.Context(), "shop:test:row:kept").Val() != 0 {
				t.Error("a key is left in Redis")
			}
		})
	}
}

// A key of the space in L2 is not what makes it known.
func TestDeleteReachesOtherPodsWhereL2HasNothing(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	client, src := connect(t, addr), &source{}
	a, b := newPod(t, addr, src), newPod(t, addr, src)
	inL2(t, client, b.Space, "test:row", "evicted")
	client.Del(t.Context(), "shop:test:row:evicted")
	src.write("evicted")
	if n, err := a.Delete(t.Context(), all("*")); err != nil || n != (tier.KeyCount{}) {
		t.Errorf("got %+v, %v; want nothing", n, err)
	}
	heard(t, b, a)
	b.want(t, "evicted", 1)
}

// A space that the pod has not opened is flushed when a key of it turns up.
func TestDeleteReachesSpacesNotOpenedHere(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	client, src := connect(t, addr), &source{}
	a, b := newPod(t, addr, src), newPod(t, addr, src)
	strange := newSpace(t, b.cache, tier.SpaceConfig[int]{Name: "else:where", Strategy: tier.CDC("feed"), Load: src.load})
	inL2(t, client, strange, "else:where", "evicted", "kept")
	client.Del(t.Context(), "shop:else:where:evicted")
	src.write("evicted")
	if n, err := a.cache.Delete(t.Context(), all("else:*")); err != nil || n.L2 != 1 {
		t.Errorf("got %+v, %v; want one of L2", n, err)
	}
	heard(t, b, a)
	if got, err := strange.Get(t.Context(), "evicted"); got != 1 || err != nil {
		t.Errorf("got version %d, %v; want 1", got, err)
	}
}

// A narrower pattern outdates what it finds on every pod, and what is in this pod's L1 only, and leaves the rest.
func TestDeleteByNarrowPattern(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	client, src := connect(t, addr), &source{}
	a, b := newPod(t, addr, src), newPod(t, addr, src)
	ids := []string{"jp_1", "jp_2", "us_1"}
	inL2(t, client, a.Space, "test:row", append(ids, "jp_local")...)
	fill(t, b.Space, ids...)
	client.Del(t.Context(), "shop:test:row:jp_local")
	for _, id := range append(ids, "jp_local") {
		src.write(id)
	}
	n, err := a.cache.Delete(t.Context(), all("test:row:jp_*"))
	if want := (tier.KeyCount{L1: 3, L2: 2}); n != want || err != nil {
		t.Errorf("got %+v, %v; want %+v", n, err, want)
	}
	heard(t, b, a)
	for _, p := range []pod{a, b} {
		p.want(t, "jp_1", 1)
		p.want(t, "jp_2", 1)
		p.want(t, "us_1", 0)
	}
	a.want(t, "jp_local", 1)
}

// A load under way when its key is deleted has read the source before.
func TestDeleteOutdatesLoadsUnderWay(t *testing.T) {
	for _, pattern := range []string{"*", "test:row:k*"} {
		t.Run(strings.ReplaceAll(pattern, "*", "+"), func(t *testing.T) {
			addr := servertest.StartRedis(t).Addr
			client, src := connect(t, addr), &source{}
			reading, release := make(chan struct{}, 8), make(chan struct{})
			src.onRead(func(string, int) { reading <- struct{}{}; <-release })
			a, b := newPod(t, addr, src), newPod(t, addr, src)
			done := make(chan struct{})
			go func() { defer close(done); _, _ = b.Get(context.Background(), "k") }()
			<-reading
			src.write("k")
			if n, err := a.cache.Delete(t.Context(), all(pattern)); err != nil || n != (tier.KeyCount{}) {
				t.Errorf("got %+v, %v; want nothing: a marker is no entry", n, err)
			}
			if pattern == "*" && client.Exists(t.Context(), "shop:test:row:k").Val() == 0 {
				t.Error("the marker is gone: another pod would load as well")
			}
			close(release)
			<-done
			src.onRead(nil)
			heard(t, b, a)
			for _, p := range []pod{a, b} {
				p.want(t, "k", 1)
			}
			if raw := client.Get(t.Context(), "shop:test:row:k").Val(); raw == "" {
				t.Error("nothing was filled after")
			}
		})
	}
}

// Deleting whole spaces must not push everything else out of the tables of recent names.
func TestDeleteOfASpaceIsOneInvalidation(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	client := connect(t, addr)
	p := newPod(t, addr, &source{})
	inL2(t, client, p.Space, "test:row", "k")
	value := client.Get(t.Context(), "shop:test:row:k").Val()
	for i := range 300 {
		client.Set(t.Context(), fmt.Sprint("shop:test:row:", i), value, 0)
	}
	var told []tier.KeyProgress
	q := all("*")
	q.Progress = func(p tier.KeyProgress) { told = append(told, p) }
	before := metric(t, p.cache, "tandem_invalidations_total", "api")
	if n, err := p.Delete(t.Context(), q); n != (tier.KeyCount{L1: 1, L2: 301}) || err != nil {
		t.Errorf("got %+v, %v; want all 301 of L2", n, err)
	}
	eventually(t, "the flush is applied", func() bool { return metric(t, p.cache, "tandem_invalidations_total", "api") > before })
	if names := metric(t, p.cache, "tandem_invalidations_total", "api") - before; names != 1 {
		t.Errorf("%v names invalidated; want 1", names)
	}
	if len(told) == 0 {
		t.Fatal("no progress was told")
	}
	if last := told[len(told)-1]; last.Found != 301 || last.Looked != last.Total || last.Total < 301 {
		t.Errorf("at the end: %+v", last)
	}
}

// L1 alone has the same operations.
func TestKeysOfL1Alone(t *testing.T) {
	src := &source{}
	p := newPod(t, "", src)
	other := spaceIn(t, p.cache, "test:other")
	var ids []string
	for i := range 120 {
		ids = append(ids, fmt.Sprintf("%03d", i))
	}
	fill(t, p.Space, ids...)
	fill(t, other, "k")
	if n, err := p.cache.Delete(t.Context(), all("test:row:0*")); n != (tier.KeyCount{L1: 100}) || err != nil {
		t.Errorf("got %+v, %v; want 100", n, err)
	}
	if n, err := p.cache.Count(t.Context(), all("*")); n != (tier.KeyCount{L1: 21}) || err != nil {
		t.Errorf("got %+v, %v; want 21", n, err)
	}
	if n, err := p.Delete(t.Context(), all("*")); n != (tier.KeyCount{L1: 20}) || err != nil {
		t.Errorf("got %+v, %v; want 20", n, err)
	}
	if diff := cmp.Diff([]string{"l1 test:other:k"}, list(t, p.cache.Keys(t.Context(), all("*")))); diff != "" {
		t.Error(diff)
	}
	if u, err := other.Usage(t.Context(), all("*")); u.L1.Keys != 1 || u.L1.Bytes < 200 || u.L2.Keys != 0 || err != nil {
		t.Errorf("got %+v, %v", u, err)
	}
}

func TestKeysThatAreRefused(t *testing.T) {
	p := newPod(t, "", &source{})
	ask := map[string]func(ctx context.Context, q tier.KeyQuery) error{
		"count":    func(ctx context.Context, q tier.KeyQuery) error { _, err := p.cache.Count(ctx, q); return err },
		"usage of": func(ctx context.Context, q tier.KeyQuery) error { _, err := p.Usage(ctx, q); return err },
		"delete":   func(ctx context.Context, q tier.KeyQuery) error { _, err := p.Delete(ctx, q); return err },
		"keys": func(ctx context.Context, q tier.KeyQuery) (last error) {
			for _, err := range p.cache.Keys(ctx, q) {
				last = err
			}
			return last
		},
	}
	fill(t, p.Space, "k")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for op, do := range ask {
		wantError(t, do(t.Context(), tier.KeyQuery{}), "tier: "+op, "KeyQuery.Pattern is empty")
		wantError(t, do(t.Context(), tier.KeyQuery{Pattern: "a*", Rate: -1, Sample: -1}), `"a*"`, "KeyQuery.Rate is -1", "KeyQuery.Sample is -1")
		if err := do(ended, all("*")); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v; want context.Canceled", op, err)
		}
	}
	if err := p.cache.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for op, do := range ask {
		if err := do(t.Context(), all("*")); !errors.Is(err, tier.ErrClosed) {
			t.Errorf("%s: got %v; want ErrClosed", op, err)
		}
	}
}

// A failing call is tried again; a Redis that goes on failing ends the operation, with what was done so far.
func TestKeysWhileRedisFails(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	client := connect(t, addr)
	var fails atomic.Int32 // the hook is called for the bus's commands too
	hook := &watch{before: func(cmds []redis.Cmder) error {
		if have(cmds, "scan", "") && fails.Load() > 0 {
			fails.Add(-1)
			return errCut
		}
		return nil
	}}
	c := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true})
	c.AddHook(hook)
	t.Cleanup(func() { _ = c.Close() })
	cache := openCache(t, tier.Config{Redis: c, RemoteTimeout: time.Second})
	s := spaceIn(t, cache, "test:row")
	inL2(t, client, s, "test:row", "k")
	fails.Store(2)
	if n, err := cache.Count(t.Context(), all("*")); n != (tier.KeyCount{L1: 1, L2: 1}) || err != nil {
		t.Errorf("two failures: got %+v, %v; want one in each", n, err)
	}
	fails.Store(3)
	n, err := cache.Count(t.Context(), all("*"))
	if n != (tier.KeyCount{L1: 1}) || !errors.Is(err, errCut) {
		t.Errorf("three failures: got %+v, %v; want what L1 has, and the error", n, err)
	}
}

// With a context that ends, an operation returns what it has done.
func TestKeysUntilTheContextEnds(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	client := connect(t, addr)
	p := newPod(t, addr, &source{})
	inL2(t, client, p.Space, "test:row", "k")
	value := client.Get(t.Context(), "shop:test:row:k").Val()
	for i := range 500 {
		client.Set(t.Context(), fmt.Sprint("shop:test:row:", i), value, 0)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	q := all("*")
	q.Progress = func(tier.KeyProgress) { cancel() } // after the first page
	n, err := p.Delete(ctx, q)
	if !errors.Is(err, context.Canceled) || n.L2 == 0 || n.L2 > 200 {
		t.Errorf("got %+v, %v; want a page, and context.Canceled", n, err)
	}
	if left := int(client.Eval(t.Context(), "return #redis.call('KEYS', 'shop:test:row:*')", nil).Val().(int64)); left != 501-n.L2 {
		t.Errorf("%d keys left; want %d", left, 501-n.L2)
	}
}

// Pages come no faster than the rate says, and a slow caller is not followed by a rush.
func TestKeyRate(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	client := connect(t, addr)
	p := newPod(t, addr, &source{})
	inL2(t, client, p.Space, "test:row", "k")
	value := client.Get(t.Context(), "shop:test:row:k").Val()
	for i := range 500 {
		client.Set(t.Context(), fmt.Sprint("shop:test:row:", i), value, 0)
	}
	began := time.Now()
	if _, err := p.Count(t.Context(), tier.KeyQuery{Pattern: "*", Rate: 2500}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 150*time.Millisecond {
		t.Errorf("500 keys at 2,500 a second took %s; want about 200 ms", took)
	}
}

// Where Redis is off nothing waits for a rate.
func TestKeysOfL1AreNotPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := tier.Open(t.Context(), tier.Config{Name: "shop"})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close(t.Context()) //nolint:errcheck // the bubble fails if it does not end
		s := newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.TTL(time.Hour), Load: (&source{}).load})
		for i := range 300 {
			if _, err := s.Get(t.Context(), fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		began := time.Now()
		n, err := s.Delete(t.Context(), tier.KeyQuery{Pattern: "?*", Rate: 1})
		if err != nil || n.L1 == 0 || time.Since(began) != 0 {
			t.Errorf("got %+v, %v, after %s", n, err, time.Since(began))
		}
		if n, err := s.Count(t.Context(), all("*")); n.L1 != 0 || err != nil {
			t.Errorf("left %+v, %v", n, err)
		}
	})
}

// A value that a read has returned, and that L1 does not show yet.
func TestDeleteReachesWhatWasJustLoaded(t *testing.T) {
	for i := range 20 {
		src := &source{}
		p := newPod(t, "", src)
		p.want(t, "k", 0)
		v := src.write("k")
		if _, err := p.cache.Delete(t.Context(), tier.KeyQuery{Pattern: "test:row:k*"}); err != nil {
			t.Fatal(err)
		}
		if got, err := p.Get(t.Context(), "k"); got != v || err != nil {
			t.Fatalf("round %d: got %d, %v; want %d: a read that had returned before Delete began", i, got, err, v)
		}
	}
}

// As TestDeleteOutdatesLoadsUnderWay, where L2 has no marker to tell of the load.
func TestDeleteOutdatesLoadsWithoutAMarker(t *testing.T) {
	src := &source{}
	read, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	src.onRead(func(string, int) { once.Do(func() { close(read); <-release }) })
	p := newPod(t, "", src)
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = p.Get(t.Context(), "k") })
	<-read
	v := src.write("k")
	if _, err := p.cache.Delete(t.Context(), tier.KeyQuery{Pattern: "test:row:k*"}); err != nil {
		t.Fatal(err)
	}
	close(release)
	wg.Wait()
	p.want(t, "k", v)
}
