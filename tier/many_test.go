package tier_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/tier"
)

// A warehouse loads many rows in one call: those that begin with "no" are not found, those that begin with "bad" fail.
type warehouse struct {
	source
	calls atomic.Int32
	block func(ids []string) // nil: nothing; runs after the read
}

func (w *warehouse) loadMany(ctx context.Context, b *tier.Batch[int]) error {
	w.calls.Add(1)
	versions := make(map[string]int)
	for _, id := range b.IDs() {
		v, err := w.load(b.For(ctx, id), id)
		if err != nil {
			return err
		}
		versions[id] = v
	}
	if w.block != nil {
		w.block(b.IDs())
	}
	for id, v := range versions {
		switch {
		case strings.HasPrefix(id, "no"):
		case strings.HasPrefix(id, "bad"):
			b.Fail(id, errors.New("broken row"))
		default:
			b.Set(id, v)
		}
	}
	return nil
}

func (w *warehouse) open(t *testing.T, addr string) pod {
	cfg := tier.Config{RemoteTimeout: 2 * time.Second}
	if addr != "" {
		cfg.Redis = connect(t, addr)
	}
	c := openCache(t, cfg)
	return pod{cache: c, Space: newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.CDC("feed"), LoadMany: w.loadMany})}
}

func ids(from, to int) (ids []string) {
	for i := from; i < to; i++ {
		ids = append(ids, strconv.Itoa(i))
	}
	return ids
}

// wantAll checks that there is the first version of each of ids, in their order.
func wantAll(t *testing.T, results []tier.Result[int], ids []string) {
	t.Helper()
	if len(results) != len(ids) {
		t.Fatalf("%d results; want %d", len(results), len(ids))
	}
	for i, r := range results {
		if r.ID != ids[i] || r.Value != 0 || r.Err != nil {
			t.Errorf("result %d: got %+v; want version 0 of %q", i, r, ids[i])
		}
	}
}

// Results come in the caller's order, each with its own value or error; L1 and L2 answer the second time.
func TestGetMany(t *testing.T) {
	withAndWithout(t, func(t *testing.T, addr string) {
		w := &warehouse{}
		p := w.open(t, addr)
		w.write("b")
		asked := []string{"b", "no1", "a", "bad", "b", "{", "c"}
		for round := range 2 {
			got := p.GetMany(t.Context(), asked)
			for i, want := range []int{1, 0, 0, 0, 1, 0, 0} {
				if got[i].ID != asked[i] || got[i].Value != want {
					t.Errorf("round %d: result %d is %+v", round, i, got[i])
				}
			}
			if !errors.Is(got[1].Err, tier.ErrNotFound) {
				t.Errorf("got %v; want ErrNotFound", got[1].Err)
			}
			wantError(t, got[3].Err, `test:row:bad": broken row`)
			wantError(t, got[5].Err, "brace")
			for _, i := range []int{0, 2, 4, 6} {
				if got[i].Err != nil {
					t.Error(got[i].Err)
				}
			}
		}
		for id, want := range map[string]int{"b": 1, "no1": 1, "a": 1, "c": 1, "bad": 2} {
			if n := w.count(id); n != want {
				t.Errorf("%q was loaded %d times; want %d", id, n, want)
			}
		}
		if n := w.calls.Load(); n != 2 {
			t.Errorf("%d calls of LoadMany; want 2", n)
		}
		if v, err := p.Get(t.Context(), "d"); v != 0 || err != nil {
			t.Errorf("Get by LoadMany: got %d, %v", v, err)
		}
		if got := p.GetMany(t.Context(), nil); len(got) != 0 {
			t.Errorf("got %v for no identifiers", got)
		}
	})
}

// What L1 lacks is one round trip to L2, once the pod knows how large the values are, and what L2 lacks one more and one call of LoadMany.
func TestGetManyIsOneRoundTrip(t *testing.T) {
	addr, w := servertest.StartRedis(t).Addr, &warehouse{}
	a := w.open(t, addr)
	wantAll(t, a.GetMany(t.Context(), ids(0, 300)), ids(0, 300))
	client := connect(t, addr)
	eventually(t, "L2 is filled", func() bool { return strings.HasPrefix(client.Get(t.Context(), "shop:test:row:299").Val(), "V") })
	var gets atomic.Int32
	b := newPodWith(t, addr, &source{}, &watch{before: func(cmds []redis.Cmder) error {
		if have(cmds, "get", "shop:test:row") {
			gets.Add(1)
		}
		return nil
	}})
	b.want(t, "0", 0)
	gets.Store(0)
	wantAll(t, b.GetMany(t.Context(), ids(0, 300)), ids(0, 300))
	if n := gets.Load(); n != 1 {
		t.Errorf("%d pipelines of GETs; want 1", n)
	}
	if n := w.calls.Load(); n != 1 {
		t.Errorf("%d calls of LoadMany; want 1", n)
	}
	wantAll(t, a.GetMany(t.Context(), ids(300, 2000)), ids(300, 2000))
	if n := w.calls.Load(); n != 1+4 {
		t.Errorf("%d calls of LoadMany; want one for 512 identifiers: 5", n)
	}
}

// Without LoadMany each is loaded by itself.
func TestGetManyWithoutLoadMany(t *testing.T) {
	withAndWithout(t, func(t *testing.T, addr string) {
		src := &source{}
		p := newPod(t, addr, src)
		for range 2 {
			wantAll(t, p.GetMany(t.Context(), ids(0, 50)), ids(0, 50))
		}
		if n := src.count("7"); n != 1 {
			t.Errorf("%d loads; want 1", n)
		}
	})
}

// Reads of one and of many share loads, whichever came first.
func TestGetManyShares(t *testing.T) {
	withAndWithout(t, func(t *testing.T, addr string) {
		w := &warehouse{}
		release := make(chan struct{})
		w.block = func([]string) { <-release }
		p := w.open(t, addr)
		var wg sync.WaitGroup
		wg.Go(func() { p.want(t, "3", 0) })
		eventually(t, "the read of one loads", func() bool { return w.count("3") == 1 })
		wg.Go(func() { wantAll(t, p.GetMany(t.Context(), ids(0, 6)), ids(0, 6)) })
		eventually(t, "the read of many loads", func() bool { return w.count("5") == 1 })
		wg.Go(func() { p.want(t, "4", 0) })
		wg.Go(func() { wantAll(t, p.GetMany(t.Context(), ids(2, 8)), ids(2, 8)) })
		eventually(t, "the third reads load", func() bool { return w.count("7") == 1 })
		close(release)
		wg.Wait()
		for _, id := range ids(0, 8) {
			if n := w.count(id); n != 1 {
				t.Errorf("%q was loaded %d times; want 1", id, n)
			}
		}
	})
}

// Across pods as well: the second loads what the first does not, and waits for the rest.
func TestGetManySharesAcrossPods(t *testing.T) {
	addr, w := servertest.StartRedis(t).Addr, &warehouse{}
	release := make(chan struct{})
	w.block = func(ids []string) {
		if slices.Contains(ids, "0") {
			<-release
		}
	}
	a, b := w.open(t, addr), w.open(t, addr)
	var wg sync.WaitGroup
	wg.Go(func() { wantAll(t, a.GetMany(t.Context(), ids(0, 10)), ids(0, 10)) })
	eventually(t, "the first loads", func() bool { return w.count("9") == 1 })
	wg.Go(func() { wantAll(t, b.GetMany(t.Context(), ids(5, 15)), ids(5, 15)) })
	eventually(t, "the second loads the rest", func() bool { return w.count("14") == 1 })
	eventually(t, "and waits", func() bool { return metric(t, b.cache, "tandem_coalesced_total", "fleet") == 5 })
	close(release)
	wg.Wait()
	for _, id := range ids(0, 15) {
		if n := w.count(id); n != 1 {
			t.Errorf("%q was loaded %d times; want 1", id, n)
		}
	}
}

// A dependency named through Batch.For outdates its identifier alone; one named without it, all.
func TestGetManyDependencies(t *testing.T) {
	withAndWithout(t, func(t *testing.T, addr string) {
		p := newPod(t, addr, &source{})
		var mu sync.Mutex
		loads := make(map[string]int)
		s := newSpace(t, p.cache, tier.SpaceConfig[int]{
			Name: "test:many", Strategy: tier.CDC("feed"),
			LoadMany: func(ctx context.Context, b *tier.Batch[int]) error {
				tier.DependsOn(ctx, "table", "all")
				if _, err := p.Get(ctx, "for all"); err != nil {
					return err
				}
				for _, id := range b.IDs() {
					tier.DependsOn(b.For(ctx, id), "row", id)
					if _, err := p.Get(b.For(ctx, id), "for "+id); err != nil {
						return err
					}
					mu.Lock()
					loads[id]++
					b.Set(id, loads[id])
					mu.Unlock()
				}
				return nil
			},
		})
		asked := []string{"a", "b", "c"}
		want := func(what string, versions ...int) {
			t.Helper()
			for i, r := range s.GetMany(t.Context(), asked) {
				if r.Value != versions[i] || r.Err != nil {
					t.Errorf("%s: got %+v; want version %d", what, r, versions[i])
				}
			}
		}
		invalidate := func(names ...string) {
			t.Helper()
			if err := p.cache.Invalidate(t.Context(), names...); err != nil {
				t.Fatal(err)
			}
		}
		want("first", 1, 1, 1)
		invalidate(tier.Tag("row", "b"))
		want("a tag of one", 1, 2, 1)
		invalidate(tier.Key("test:row", "for c"))
		want("a nested read of one", 1, 2, 2)
		invalidate(tier.Tag("table", "all"))
		want("a tag of all", 2, 3, 3)
		invalidate(tier.Key("test:row", "for all"))
		want("a nested read of all", 3, 4, 4)
	})
}

// What goes wrong with a whole call is the error of all that it has not given.
func TestGetManyFails(t *testing.T) {
	withAndWithout(t, func(t *testing.T, addr string) {
		for name, test := range map[string]struct {
			load func(ctx context.Context, b *tier.Batch[int]) error
			want string // the error of "b"; "a" has its value, if that is possible
			both bool   // "a" fails as well
		}{
			"an error":   {func(_ context.Context, b *tier.Batch[int]) error { b.Set("a", 1); return errors.New("down") }, "down", false},
			"a panic":    {func(_ context.Context, b *tier.Batch[int]) error { b.Set("a", 1); panic("oh") }, "panicked: oh", false},
			"a timeout":  {func(ctx context.Context, b *tier.Batch[int]) error { b.Set("a", 1); <-ctx.Done(); return nil }, "LoadTimeout", false},
			"a misnomer": {func(_ context.Context, b *tier.Batch[int]) error { b.Set("a", 1); b.Set("B", 2); return nil }, `gave "B"`, false},
			"a bad tag": {func(ctx context.Context, b *tier.Batch[int]) error {
				b.Set("a", 1)
				tier.DependsOn(b.For(ctx, "b"), "", "x")
				return nil
			}, "DependsOn", false},
			"a shared": {func(ctx context.Context, b *tier.Batch[int]) error {
				b.Set("a", 1)
				tier.DependsOn(ctx, "", "x")
				return nil
			}, "DependsOn", true},
			"no error": {func(_ context.Context, b *tier.Batch[int]) error { b.Set("a", 1); b.Fail("b", nil); return nil }, "without an error", false},
			"not found": {func(_ context.Context, b *tier.Batch[int]) error {
				b.Set("a", 1)
				return fmt.Errorf("x: %w", tier.ErrNotFound)
			}, "not found", false},
		} {
			t.Run(name, func(t *testing.T) {
				p := newPod(t, addr, &source{})
				s := newSpace(t, p.cache, tier.SpaceConfig[int]{
					Name: "test:many", Strategy: tier.TTL(time.Minute), LoadTimeout: 2 * time.Second, LoadMany: test.load,
				})
				got := s.GetMany(t.Context(), []string{"a", "b"})
				wantError(t, got[1].Err, test.want)
				if test.both {
					wantError(t, got[0].Err, test.want)
				} else if got[0].Value != 1 || got[0].Err != nil {
					t.Errorf("got %+v; want the value that was given", got[0])
				}
				if err := s.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
			})
		}
	})
}

// An invalidation during the call: who came before may have the old value, it is stored nowhere, and who comes later gets the new one.
func TestGetManyRacesInvalidation(t *testing.T) {
	inEachWay(t, func(t *testing.T, invalidate func(pod, context.Context, string) error) {
		addr, w := servertest.StartRedis(t).Addr, &warehouse{}
		read, release := make(chan struct{}), make(chan struct{})
		var once sync.Once
		w.block = func([]string) { once.Do(func() { close(read); <-release }) }
		a, b := w.open(t, addr), w.open(t, addr)
		heard(t, a, b)
		var wg sync.WaitGroup
		wg.Go(func() { a.GetMany(t.Context(), []string{"j", "k"}) })
		<-read
		v := w.write("k")
		if err := invalidate(a, t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			if got := a.GetMany(t.Context(), []string{"k", "j"}); got[0].Value != v || got[0].Err != nil {
				t.Errorf("who came later got %+v; want version %d", got[0], v)
			}
		})
		eventually(t, "it has joined", func() bool { return metric(t, a.cache, "tandem_coalesced_total", "pod") >= 1 })
		close(release)
		wg.Wait()
		noneStale(t, "k", v, a)
		heard(t, b, a)
		noneStale(t, "k", v, a, b)
	})
}

// A batch whose leases last longer than they live is renewed, and one that Close interrupts ends.
func TestGetManyAndClose(t *testing.T) {
	withAndWithout(t, func(t *testing.T, addr string) {
		p := newPod(t, addr, &source{})
		loading := make(chan struct{})
		s := newSpace(t, p.cache, tier.SpaceConfig[int]{
			Name: "test:many", Strategy: tier.TTL(time.Minute),
			LoadMany: func(ctx context.Context, _ *tier.Batch[int]) error {
				close(loading)
				<-ctx.Done()
				return ctx.Err()
			},
		})
		var got []tier.Result[int]
		done := make(chan struct{})
		go func() { defer close(done); got = s.GetMany(context.Background(), ids(0, 3)) }()
		<-loading
		if err := p.cache.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-done
		for _, r := range got {
			if !errors.Is(r.Err, tier.ErrClosed) {
				t.Errorf("got %+v; want ErrClosed", r)
			}
		}
	})
}

// A cycle through batches is an error of the identifier that closes it.
func TestCycleThroughBatches(t *testing.T) {
	p := newPod(t, "", &source{})
	var s *tier.Space[int]
	s = newSpace(t, p.cache, tier.SpaceConfig[int]{
		Name: "test:many", Strategy: tier.CDC("feed"),
		LoadMany: func(ctx context.Context, b *tier.Batch[int]) error {
			for _, id := range b.IDs() {
				if id == "leaf" {
					b.Set(id, 1)
					continue
				}
				for _, r := range s.GetMany(b.For(ctx, id), []string{"leaf", "a"}) {
					if r.Err != nil {
						b.Fail(id, r.Err)
					}
				}
			}
			return nil
		},
	})
	for _, r := range s.GetMany(t.Context(), []string{"a", "b"}) {
		if !errors.Is(r.Err, tier.ErrCycle) {
			t.Errorf("got %+v; want ErrCycle", r)
		}
	}
}

// A LoadMany that ends before its time may not have said what the values that it has given depend on.
func TestInterruptedBatchIsNotStored(t *testing.T) {
	for name, cut := range map[string]func(ctx context.Context){
		"timeout": func(ctx context.Context) { <-ctx.Done(); time.Sleep(20 * time.Millisecond) },
		"panic":   func(context.Context) { panic("oh") },
	} {
		t.Run(name, func(t *testing.T) {
			addr := servertest.StartRedis(t).Addr
			c := openCache(t, tier.Config{Redis: connect(t, addr), RemoteTimeout: 2 * time.Second})
			var version, loads atomic.Int32
			s := newSpace(t, c, tier.SpaceConfig[int]{
				Name: "test:row", Strategy: tier.TTL(time.Hour), LoadTimeout: 2 * time.Second, // which one of the loads waits for
				LoadMany: func(ctx context.Context, b *tier.Batch[int]) error {
					first := loads.Add(1) == 1
					for _, id := range b.IDs() {
						b.Set(id, int(version.Load()))
						if first {
							cut(ctx)
						}
						tier.DependsOn(b.For(ctx, id), "row", id)
					}
					return nil
				},
			})
			if got := s.GetMany(t.Context(), []string{"a", "b"}); got[0].Err != nil || got[1].Err == nil {
				t.Errorf("got %+v; want the value that was given, and an error", got)
			}
			version.Store(1)
			if err := c.InvalidateTag(t.Context(), "row", "a"); err != nil {
				t.Fatal(err)
			}
			if v, err := s.Get(t.Context(), "a"); v != 1 || err != nil {
				t.Errorf("after the invalidation of its row: %d, %v; want version 1", v, err)
			}
		})
	}
}

// Redis freezes after the values were read: not each of them waits for it.
func TestGetManyWhileRedisDoesNotJudge(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	w := &warehouse{}
	a := w.open(t, addr)
	all := ids(0, 100)
	a.GetMany(t.Context(), all)
	client := connect(t, addr)
	eventually(t, "L2 is filled", func() bool { return strings.HasPrefix(client.Get(t.Context(), "shop:test:row:99").Val(), "V") })
	if err := a.Invalidate(t.Context(), "other"); err != nil {
		t.Fatal(err)
	}
	var armed atomic.Bool
	cl := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true, MaxRetries: -1})
	t.Cleanup(func() { _ = cl.Close() })
	cl.AddHook(&watch{before: func(cmds []redis.Cmder) error {
		if armed.Load() && have(cmds, "zmscore", "") {
			time.Sleep(100 * time.Millisecond) // RemoteTimeout
			return context.DeadlineExceeded
		}
		return nil
	}})
	c := openCache(t, tier.Config{Redis: cl, MaxStaleness: time.Minute})
	b := newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.CDC("feed"), LoadMany: w.loadMany})
	f, _ := c.Feed("feed")
	_ = f.Report(t.Context(), "", nil, "1", time.Now(), 0, nil)
	armed.Store(true)
	began := time.Now()
	wantAll(t, b.GetMany(t.Context(), all), all)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("%s for 100 identifiers, while each call to Redis may take 100 ms", took)
	}
}

// Each identifier of a batch that waits behind MaxLoads in vain has an error that names it.
func TestGetManyThatFindsNoPlaceNamesEachKey(t *testing.T) {
	c := openCache(t, tier.Config{MaxLoads: 1})
	block := make(chan struct{})
	started := make(chan struct{})
	slow := newSpace(t, c, tier.SpaceConfig[int]{Name: "test:slow", Strategy: tier.TTL(time.Hour), Load: func(context.Context, string) (int, error) { close(started); <-block; return 1, nil }})
	many := newSpace(t, c, tier.SpaceConfig[int]{Name: "test:many", Strategy: tier.TTL(time.Hour), LoadTimeout: 50 * time.Millisecond, LoadMany: func(context.Context, *tier.Batch[int]) error { return nil }})
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = slow.Get(t.Context(), "s") })
	<-started
	for _, r := range many.GetMany(t.Context(), []string{"a", "b"}) {
		if r.Err == nil || !strings.Contains(r.Err.Error(), "test:many:"+r.ID) {
			t.Errorf("%s: %v", r.ID, r.Err)
		}
	}
	close(block)
	wg.Wait()
}

// A call of LoadMany may read, for one of its identifiers, another: that is no cycle.
func TestBatchOfAChain(t *testing.T) {
	p := newPod(t, "", &source{})
	var s *tier.Space[int]
	s = newSpace(t, p.cache, tier.SpaceConfig[int]{Name: "test:cat", Strategy: tier.TTL(time.Hour), LoadMany: func(ctx context.Context, b *tier.Batch[int]) error {
		for _, id := range b.IDs() {
			n, _ := strconv.Atoi(id)
			if n == 0 {
				b.Set(id, 0)
				continue
			}
			depth, err := s.Get(b.For(ctx, id), strconv.Itoa(n-1))
			if err != nil {
				b.Fail(id, err)
				continue
			}
			b.Set(id, depth+1)
		}
		return nil
	}})
	for _, r := range s.GetMany(t.Context(), ids(0, 3)) {
		if want, _ := strconv.Atoi(r.ID); r.Err != nil || r.Value != want {
			t.Errorf("%q: %d, %v", r.ID, r.Value, r.Err)
		}
	}
}

// A pod that has just started gets many values that are in L2: Redis judges them in one call, and each by itself.
func TestGetManyJudgesInOneRoundTrip(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	w := &warehouse{}
	a := w.open(t, addr)
	all := ids(0, 200)
	wantAll(t, a.GetMany(t.Context(), all), all)
	client := connect(t, addr)
	raw := func(id string) string { return client.Get(t.Context(), "shop:test:row:"+id).Val() }
	eventually(t, "L2 is filled", func() bool { return strings.HasPrefix(raw("199"), "V") })
	outdated := raw("100")
	w.write("100")
	if err := a.Invalidate(t.Context(), "100"); err != nil { // and the floor of a later pod is above the others, too
		t.Fatal(err)
	}
	client.Set(t.Context(), "shop:test:row:100", outdated, 0)
	loads := w.count("0") + w.count("100")
	var judged, gets atomic.Int32
	cl := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = cl.Close() })
	cl.AddHook(&watch{before: func(cmds []redis.Cmder) error {
		if have(cmds, "zmscore", "") {
			judged.Add(1)
		}
		if have(cmds, "get", "shop:test:row") {
			gets.Add(1)
		}
		return nil
	}})
	c := openCache(t, tier.Config{Redis: cl, RemoteTimeout: 2 * time.Second, MaxStaleness: time.Minute})
	b := newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.CDC("feed"), LoadMany: w.loadMany})
	f, _ := c.Feed("feed")
	_ = f.Report(t.Context(), "", nil, "1", time.Now(), 0, nil)
	for _, r := range b.GetMany(t.Context(), all) {
		if want := map[bool]int{true: 1}[r.ID == "100"]; r.Value != want || r.Err != nil {
			t.Errorf("%q: got %d, %v; want version %d", r.ID, r.Value, r.Err, want)
		}
	}
	if judged.Load() != 1 || gets.Load() != 2 {
		t.Errorf("%d calls to judge and %d to get; want 1 and 2", judged.Load(), gets.Load())
	}
	if n := w.count("0") + w.count("100") - loads; n != 1 {
		t.Errorf("%d loads; want one, of the outdated value", n)
	}
}

// 200 values of 200 KB are 40 MB: a call for all of them would not end within RemoteTimeout, neither to fill nor to get.
func TestGetManyOfLargeValues(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	const size, most = 200 << 10, 2<<20 + 1<<10
	var loads, filled, read atomic.Int64
	open := func() *tier.Space[[]byte] {
		cl := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true})
		t.Cleanup(func() { _ = cl.Close() })
		cl.AddHook(&watch{after: func(cmds []redis.Cmder) {
			sent, came := bytesOf(cmds)
			if sent > most/2 || came > most {
				t.Errorf("a call of %d commands sends %d bytes and brings %d", len(cmds), sent, came)
			}
			filled.Add(int64(sent))
			read.Add(int64(came))
		}})
		c := openCache(t, tier.Config{Redis: cl, RemoteTimeout: 2 * time.Second})
		return newSpace(t, c, tier.SpaceConfig[[]byte]{Name: "test:row", Strategy: tier.TTL(time.Hour), CompressOver: tier.NoCompression, LoadMany: func(_ context.Context, b *tier.Batch[[]byte]) error {
			for _, id := range b.IDs() {
				loads.Add(1)
				b.Set(id, make([]byte, size))
			}
			return nil
		}})
	}
	all, client := ids(0, 200), connect(t, addr)
	open().GetMany(t.Context(), all)
	eventually(t, "L2 is filled", func() bool { return client.StrLen(t.Context(), "shop:test:row:199").Val() > size })
	for _, r := range open().GetMany(t.Context(), all) {
		if len(r.Value) != size || r.Err != nil {
			t.Errorf("%q: %d bytes, %v", r.ID, len(r.Value), r.Err)
		}
	}
	if n := loads.Load(); n != 200 {
		t.Errorf("%d loads; want 200", n)
	}
	if filled.Load() < 200*size || read.Load() < 200*size {
		t.Errorf("saw %d bytes sent and %d come: the test shows nothing", filled.Load(), read.Load())
	}
}

// bytesOf is about what commands send and what their answers bring.
func bytesOf(cmds []redis.Cmder) (sent, came int) {
	for _, cmd := range cmds {
		for _, arg := range cmd.Args() {
			if b, ok := arg.([]byte); ok {
				sent += len(b)
			}
		}
		if got, ok := cmd.(*redis.StringCmd); ok {
			came += len(got.Val())
		}
	}
	return sent, came
}

// While Redis does not answer, the fills of a large batch do not each wait for it.
func TestFillsOfLargeValuesWhileRedisFails(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	cl := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true, MaxRetries: -1})
	t.Cleanup(func() { _ = cl.Close() })
	var fills atomic.Int32
	cl.AddHook(&watch{before: func(cmds []redis.Cmder) error {
		if sent, _ := bytesOf(cmds); sent < 200<<10 {
			return nil
		}
		fills.Add(1)
		return errCut
	}})
	c := openCache(t, tier.Config{Redis: cl, RemoteTimeout: 2 * time.Second})
	s := newSpace(t, c, tier.SpaceConfig[[]byte]{Name: "test:row", Strategy: tier.TTL(time.Hour), CompressOver: tier.NoCompression, LoadMany: func(_ context.Context, b *tier.Batch[[]byte]) error {
		for _, id := range b.IDs() {
			b.Set(id, make([]byte, 200<<10))
		}
		return nil
	}})
	s.GetMany(t.Context(), ids(0, 50))
	client := connect(t, addr)
	eventually(t, "the leases are given back", func() bool {
		return metric(t, c, "tandem_refused_fills_total", "lease") == 50 && len(client.Keys(t.Context(), "shop:test:row:*").Val()) == 0
	})
	if n := fills.Load(); n != 3 {
		t.Errorf("%d fills sent; want 3 of 10", n)
	}
}

// A LoadMany that fails after it has given the only identifier of a Get may not have said what the value depends on, either.
func TestInterruptedLoadOfOneIsNotStored(t *testing.T) {
	withAndWithout(t, func(t *testing.T, addr string) {
		p := newPod(t, addr, &source{})
		loads := 0
		s := newSpace(t, p.cache, tier.SpaceConfig[int]{
			Name: "test:many", Strategy: tier.TTL(time.Hour),
			LoadMany: func(ctx context.Context, b *tier.Batch[int]) error {
				loads++
				b.Set("a", loads)
				if loads == 1 {
					return errors.New("down")
				}
				tier.DependsOn(ctx, "row", "a")
				return nil
			},
		})
		for want := 1; want <= 2; want++ {
			if v, err := s.Get(t.Context(), "a"); v != want || err != nil {
				t.Errorf("got %d, %v; want %d: the one before must not be kept", v, err, want)
			}
		}
	})
}

// Close ends a load that is begun once more because its batch waits for it.
func TestCloseEndsAPrivateLoad(t *testing.T) {
	c := openCache(t, tier.Config{})
	private := make(chan struct{})
	var loads atomic.Int32
	var s *tier.Space[int]
	s = newSpace(t, c, tier.SpaceConfig[int]{
		Name: "test:cat", Strategy: tier.TTL(time.Hour), LoadTimeout: time.Minute,
		LoadMany: func(ctx context.Context, b *tier.Batch[int]) error {
			if loads.Add(1) > 1 {
				close(private)
				<-ctx.Done()
				return ctx.Err()
			}
			_, err := s.Get(b.For(ctx, "child"), "parent")
			return err
		},
	})
	done := make(chan struct{})
	go func() { defer close(done); s.GetMany(context.Background(), []string{"parent", "child"}) }()
	<-private
	began := time.Now()
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-done
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("took %s", took)
	}
}
