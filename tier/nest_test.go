package tier_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/tier"
)

// A shelf is a pod with three spaces, each made from the one before: a page of a list of rows.
type shelf struct {
	cache           *tier.Cache
	row, list, page *tier.Space[int]
	lists, pages    atomic.Int32 // loads
}

func newShelf(t *testing.T, cfg tier.Config, src *source) *shelf {
	s := &shelf{cache: openCache(t, cfg)}
	s.row = newSpace(t, s.cache, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.CDC("feed"), Load: src.load})
	s.list = newSpace(t, s.cache, tier.SpaceConfig[int]{Name: "test:list", Strategy: tier.CDC("feed"), Load: func(ctx context.Context, id string) (int, error) {
		s.lists.Add(1)
		return s.row.Get(ctx, id)
	}})
	s.page = newSpace(t, s.cache, tier.SpaceConfig[int]{Name: "test:page", Strategy: tier.CDC("other"), Load: func(ctx context.Context, id string) (int, error) {
		s.pages.Add(1)
		return s.list.Get(ctx, id)
	}})
	return s
}

func (s *shelf) want(t *testing.T, version int) {
	t.Helper()
	for name, space := range map[string]*tier.Space[int]{"row": s.row, "list": s.list, "page": s.page} {
		if got, err := space.Get(t.Context(), "k"); got != version || err != nil {
			t.Errorf("the %s has version %d, %v; want %d", name, got, err, version)
		}
	}
}

// When the innermost row changes, all that is made from it goes: made from L1 on one pod and from L2 on the other.
func TestNestedEntriesGoStaleAtEveryLevel(t *testing.T) {
	ways := map[string]func(*tier.Cache) error{
		"tag":    func(c *tier.Cache) error { return c.InvalidateTag(t.Context(), "row", "k") },
		"entity": func(c *tier.Cache) error { return c.Invalidate(t.Context(), tier.Entity("row")) },
		"key":    func(c *tier.Cache) error { return c.Invalidate(t.Context(), tier.Key("test:row", "k")) },
		"space":  func(c *tier.Cache) error { return c.Invalidate(t.Context(), tier.SpaceName("test:row")) },
	}
	for name, invalidate := range ways {
		t.Run(name, func(t *testing.T) {
			addr, src := servertest.StartRedis(t).Addr, &source{}
			open := func() *shelf {
				return newShelf(t, tier.Config{Redis: connect(t, addr), RemoteTimeout: 2 * time.Second}, src)
			}
			a, b := open(), open()
			a.list.Get(t.Context(), "k") //nolint:errcheck // seen by want
			eventually(t, "L2 has the list", func() bool { _, ok := b.list.Peek(t.Context(), "k"); return ok })
			a.want(t, 0) // the page is made from L1's list
			if _, err := b.page.GetWith(t.Context(), "k2", func(ctx context.Context, _ string) (int, error) { return b.list.Get(ctx, "k") }); err != nil {
				t.Fatal(err) // from L2's
			}
			b.want(t, 0)
			if n := b.lists.Load(); n != 0 {
				t.Fatalf("the second pod loaded %d lists; want them from L2", n)
			}
			v := src.write("k")
			if err := invalidate(a.cache); err != nil {
				t.Fatal(err)
			}
			a.want(t, v)
			heard(t, pod{b.row, b.cache}, pod{a.row, a.cache})
			b.want(t, v)
			for _, p := range []*shelf{a, b} {
				if got, ok := p.page.Peek(t.Context(), "k2"); ok && got != v {
					t.Errorf("a page that was made from L2's list has version %d; want %d", got, v)
				}
			}
		})
	}
}

// A nested entry hands over its own tick: what a pod that has not heard of an invalidation makes from its L1 is dead for one that has.
func TestNestedEntryKeepsItsTick(t *testing.T) {
	addr, src := servertest.StartRedis(t).Addr, &source{}
	var cut atomic.Bool
	client := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	client.AddHook(&watch{before: func(cmds []redis.Cmder) error {
		if cut.Load() && have(cmds, "eval", "{bus}:journal") {
			return errCut // the broadcast is late
		}
		return nil
	}})
	a := newShelf(t, tier.Config{Redis: client, RemoteTimeout: 5 * time.Second}, src)
	b := newShelf(t, tier.Config{Redis: connect(t, addr), RemoteTimeout: 5 * time.Second, MaxStaleness: time.Minute}, src)
	if _, err := b.list.Get(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	v := src.write("k")
	cut.Store(true)
	if err := a.cache.InvalidateTag(t.Context(), "row", "k"); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	if got, err := b.page.Get(t.Context(), "k"); got != 0 || err != nil {
		t.Fatalf("the pod that has heard nothing has %d, %v: the test shows nothing", got, err)
	}
	eventually(t, "L2 has the page", func() bool { return client.Exists(t.Context(), "shop:test:page:k").Val() == 1 })
	if got, err := a.page.Get(t.Context(), "k"); got != v || err != nil {
		t.Errorf("the pod that knows has version %d, %v; want %d", got, err, v)
	}
}

// An outer entry lives no longer than what it is made from, in both tiers.
func TestNestedLife(t *testing.T) {
	outerOf := func(t *testing.T, cfg tier.Config) (inner, outer *tier.Space[int], loads *int) {
		c, loads := openCache(t, cfg), new(int)
		inner = newSpace(t, c, tier.SpaceConfig[int]{
			Name: "test:inner", Strategy: tier.TTL(10 * time.Second),
			Load: func(context.Context, string) (int, error) { return 1, nil },
		})
		outer = newSpace(t, c, tier.SpaceConfig[int]{
			Name: "test:outer", Strategy: tier.TTL(time.Hour),
			Load: func(ctx context.Context, id string) (int, error) { *loads++; return inner.Get(ctx, id) },
		})
		return inner, outer, loads
	}
	get := func(t *testing.T, s *tier.Space[int]) {
		if _, err := s.Get(t.Context(), "k"); err != nil {
			t.Error(err)
		}
	}
	t.Run("L1", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			inner, outer, loads := outerOf(t, tier.Config{})
			get(t, inner)
			time.Sleep(4 * time.Second)
			get(t, outer)
			time.Sleep(5 * time.Second)
			if get(t, outer); *loads != 1 {
				t.Errorf("%d loads while the inner lives; want 1", *loads)
			}
			time.Sleep(time.Second + time.Millisecond)
			if get(t, outer); *loads != 2 {
				t.Errorf("%d loads when the inner has expired; want 2", *loads)
			}
		})
	})
	t.Run("L2", func(t *testing.T) {
		client := connect(t, servertest.StartRedis(t).Addr)
		_, outer, _ := outerOf(t, tier.Config{Redis: client, RemoteTimeout: 2 * time.Second})
		get(t, outer)
		eventually(t, "L2 has the outer", func() bool { return client.StrLen(t.Context(), "shop:test:outer:k").Val() > 50 })
		if left := client.PTTL(t.Context(), "shop:test:outer:k").Val(); left <= 0 || left > 10*time.Second {
			t.Errorf("it expires in %s; want at most 10 s", left)
		}
	})
}

// What is made from less than there is, because a nested read failed, is not kept.
func TestMadeFromAFailureIsNotStored(t *testing.T) {
	withAndWithout(t, func(t *testing.T, addr string) {
		p := newPod(t, addr, &source{})
		var down atomic.Bool
		down.Store(true)
		row := newSpace(t, p.cache, tier.SpaceConfig[int]{Name: "test:fails", Strategy: tier.CDC("feed"), Load: func(context.Context, string) (int, error) {
			if down.Load() {
				return 0, errors.New("down")
			}
			return 7, nil
		}})
		get := func() (int, error) {
			return p.GetWith(t.Context(), "k", func(ctx context.Context, id string) (int, error) {
				v, err := row.Get(ctx, id)
				if err != nil {
					return -1, nil // goes on with less
				}
				return v, nil
			})
		}
		if v, err := get(); v != -1 || err != nil {
			t.Fatal(v, err)
		}
		if n := metric(t, p.cache, "tandem_refused_fills_total", "stale"); n != 1 {
			t.Errorf("counted %v times; want 1", n)
		}
		down.Store(false)
		if v, err := get(); v != 7 || err != nil {
			t.Errorf("got %d, %v; want 7", v, err)
		}
	})
}

// The feed that covers what an entry is made from covers the entry.
func TestSilentFeedOfANestedEntryFallsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, loads := openCache(t, tier.Config{FeedLimit: 10 * time.Second, FallbackTTL: 5 * time.Second}), 0
		f, err := c.Feed("rows")
		if err != nil {
			t.Fatal(err)
		}
		row := newSpace(t, c, tier.SpaceConfig[int]{
			Name: "test:row", Strategy: tier.CDC("rows"),
			Load: func(context.Context, string) (int, error) { return 1, nil },
		})
		page := newSpace(t, c, tier.SpaceConfig[int]{
			Name: "test:page", Strategy: tier.TTL(time.Hour),
			Load: func(ctx context.Context, id string) (int, error) { loads++; return row.Get(ctx, id) },
		})
		get := func(want int) {
			t.Helper()
			if _, err := page.Get(t.Context(), "k"); err != nil || loads != want {
				t.Errorf("%d loads, %v; want %d", loads, err, want)
			}
		}
		report(t, f, true, 0, 1)
		get(1)
		time.Sleep(8 * time.Second)
		get(1) // the feed is within its limit
		time.Sleep(8 * time.Second)
		get(2) // silent, and the page is older than FallbackTTL
	})
}

// A loader that waits for itself, directly, through others, or through another caller's load, gets an error.
func TestCycleOfLoaders(t *testing.T) {
	withAndWithout(t, func(t *testing.T, addr string) {
		p := newPod(t, addr, &source{})
		next := map[string]string{"self": "self", "a": "b", "b": "c", "c": "a"}
		var ring *tier.Space[int]
		var begun atomic.Int32 // lets two loads begin before either goes on
		ring = newSpace(t, p.cache, tier.SpaceConfig[int]{
			Name: "test:ring", Strategy: tier.CDC("feed"), LoadTimeout: time.Minute,
			Load: func(ctx context.Context, id string) (int, error) {
				if id == "x" || id == "y" {
					for begun.Add(1); begun.Load() < 2; time.Sleep(time.Millisecond) {
					}
					return ring.Get(ctx, map[string]string{"x": "y", "y": "x"}[id])
				}
				return ring.Get(ctx, next[id])
			},
		})
		began := time.Now()
		_, err := ring.Get(t.Context(), "self")
		wantError(t, err, "test:ring:self → test:ring:self")
		_, err = ring.Get(t.Context(), "a")
		wantError(t, err, "test:ring:c → test:ring:a → test:ring:b → test:ring:c")
		if !errors.Is(err, tier.ErrCycle) {
			t.Errorf("%v is no ErrCycle", err)
		}
		var wg sync.WaitGroup
		for _, id := range []string{"x", "y"} {
			wg.Go(func() {
				if _, err := ring.Get(t.Context(), id); !errors.Is(err, tier.ErrCycle) {
					t.Errorf("%s: %v; want ErrCycle", id, err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

// Two pods whose loads wait for each other's leases find out before their time is over.
func TestCycleThroughTwoPods(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	var loading sync.WaitGroup
	loading.Add(2)
	open := func() *tier.Space[int] {
		p := newPod(t, addr, &source{})
		var ring *tier.Space[int]
		var once sync.Once
		ring = newSpace(t, p.cache, tier.SpaceConfig[int]{
			Name: "test:ring", Strategy: tier.CDC("feed"), LoadTimeout: 4 * time.Second,
			Load: func(ctx context.Context, id string) (int, error) {
				once.Do(func() { loading.Done(); loading.Wait() })
				return ring.Get(ctx, map[string]string{"x": "y", "y": "x"}[id])
			},
		})
		return ring
	}
	a, b := open(), open()
	var wg sync.WaitGroup
	var cycles atomic.Int32
	for id, s := range map[string]*tier.Space[int]{"x": a, "y": b} {
		wg.Go(func() {
			_, err := s.Get(t.Context(), id)
			switch {
			case err == nil:
				t.Error("no error")
			case errors.Is(err, tier.ErrCycle):
				cycles.Add(1)
			}
		})
	}
	wg.Wait()
	if cycles.Load() == 0 {
		t.Error("no ErrCycle")
	}
}

// Nested loads need no place of their own; and a load that waits for a place keeps no lease for which another pod's loads wait.
func TestNestedLoadsDoNotStarve(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	type queued struct {
		cache  *tier.Cache
		space  *tier.Space[int]
		resume chan struct{}
	}
	open := func() queued {
		q := queued{resume: make(chan struct{})}
		q.cache = openCache(t, tier.Config{Redis: connect(t, addr), RemoteTimeout: 5 * time.Second, MaxLoads: 1})
		q.space = newSpace(t, q.cache, tier.SpaceConfig[int]{
			Name: "test:row", Strategy: tier.CDC("feed"), LoadTimeout: time.Minute,
			Load: func(context.Context, string) (int, error) { return 1, nil },
		})
		return q
	}
	a, b := open(), open()
	began := time.Now()
	var wg sync.WaitGroup
	outer := func(q queued, id, needs string) {
		started := make(chan struct{})
		wg.Go(func() {
			_, err := q.space.GetWith(t.Context(), id, func(ctx context.Context, _ string) (int, error) {
				close(started)
				<-q.resume
				return q.space.Get(ctx, needs)
			})
			if err != nil {
				t.Error(err)
			}
		})
		<-started // it has the only place
	}
	outer(a, "outer-a", "y")
	outer(b, "outer-b", "x")
	for id, q := range map[string]queued{"x": a, "y": b} {
		wg.Go(func() {
			if _, err := q.space.Get(t.Context(), id); err != nil {
				t.Error(err)
			}
		})
		eventually(t, "it waits for the place", func() bool { return metric(t, q.cache, "tandem_flights") == 2 })
	}
	time.Sleep(50 * time.Millisecond) // for a lease that should not be asked for
	close(a.resume)
	close(b.resume)
	wg.Wait()
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("took %s", took)
	}
}

// Values that are made from more names than an entry can have are returned, and not stored.
func TestTooManyDependencies(t *testing.T) {
	withAndWithout(t, func(t *testing.T, addr string) {
		p := newPod(t, addr, &source{})
		for want := 1; want <= 2; want++ {
			v, err := p.GetWith(t.Context(), "k", func(ctx context.Context, _ string) (int, error) {
				for i := range 70_000 {
					tier.DependsOn(ctx, "row", strconv.Itoa(i))
				}
				return want, nil
			})
			if v != want || err != nil {
				t.Errorf("got %d, %v; want %d", v, err, want)
			}
		}
		if n := metric(t, p.cache, "tandem_refused_fills_total", "names"); n != 2 {
			t.Errorf("counted %v; want 2", n)
		}
	})
}

// DependsOn outside a load does nothing, and is counted.
func TestStrayDependencies(t *testing.T) {
	p := newPod(t, "", &source{})
	before := metric(t, p.cache, "tandem_stray_dependencies_total")
	tier.DependsOn(t.Context(), "row", "k")
	var kept context.Context
	if _, err := p.GetWith(t.Context(), "k", func(ctx context.Context, _ string) (int, error) { kept = ctx; return 1, nil }); err != nil { //nolint:fatcontext // kept too long on purpose
		t.Fatal(err)
	}
	tier.DependsOn(kept, "row", "k") // the load is over
	if n := metric(t, p.cache, "tandem_stray_dependencies_total") - before; n != 2 {
		t.Errorf("counted %v; want 2", n)
	}
	if err := p.cache.InvalidateTag(t.Context(), "row", "k"); err != nil {
		t.Fatal(err)
	}
	if v, ok := p.Peek(t.Context(), "k"); v != 1 || !ok {
		t.Errorf("the entry depends on what was named after its load")
	}
}

// What is made from a value that is too large to be kept may be kept.
func TestMadeFromWhatIsTooLarge(t *testing.T) {
	p := newPod(t, "", &source{})
	inner := newSpace(t, p.cache, tier.SpaceConfig[[]byte]{Name: "test:big", Strategy: tier.TTL(time.Hour), MaxValueBytes: 10, Load: func(context.Context, string) ([]byte, error) {
		return make([]byte, 100), nil
	}})
	var loads atomic.Int32
	outer := newSpace(t, p.cache, tier.SpaceConfig[int]{Name: "test:sum", Strategy: tier.TTL(time.Hour), Load: func(ctx context.Context, id string) (int, error) {
		loads.Add(1)
		b, err := inner.Get(ctx, id)
		return len(b), err
	}})
	for range 5 {
		if _, err := outer.Get(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	if n := loads.Load(); n != 1 {
		t.Errorf("%d loads of a small value made from a large one; want 1", n)
	}
}

// What a loader has looked for in vain outdates what it made without it.
func TestPeekedNothing(t *testing.T) {
	p := newPod(t, "", &source{})
	var version atomic.Int32
	inner := newSpace(t, p.cache, tier.SpaceConfig[int]{Name: "test:in", Strategy: tier.TTL(time.Hour), Load: func(context.Context, string) (int, error) { return int(version.Load()), nil }})
	outer := newSpace(t, p.cache, tier.SpaceConfig[int]{Name: "test:out", Strategy: tier.TTL(time.Hour), Load: func(ctx context.Context, id string) (int, error) {
		v, ok := inner.Peek(ctx, id)
		if !ok {
			return -1, nil
		}
		return v, nil
	}})
	_, _ = outer.Get(t.Context(), "k")
	_, _ = inner.Get(t.Context(), "k")
	if err := inner.Invalidate(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	version.Store(7)
	_, _ = inner.Get(t.Context(), "k")
	if v, _ := outer.Get(t.Context(), "k"); v != 7 {
		t.Errorf("got %d; want 7: what it looked for was invalidated since", v)
	}
}

// A Set inside a loader hands over what its entry stands on.
func TestSetInsideALoader(t *testing.T) {
	p := newPod(t, "", &source{})
	var version atomic.Int32
	inner := newSpace(t, p.cache, tier.SpaceConfig[int]{Name: "test:in", Strategy: tier.TTL(time.Hour), Load: func(context.Context, string) (int, error) { return int(version.Load()), nil }})
	outer := newSpace(t, p.cache, tier.SpaceConfig[int]{Name: "test:out", Strategy: tier.TTL(time.Hour), Load: func(ctx context.Context, id string) (int, error) {
		return inner.SetWith(ctx, id, func(ctx context.Context) (int, error) {
			tier.DependsOn(ctx, "row", id)
			return int(version.Load()), nil
		})
	}})
	_, _ = outer.Get(t.Context(), "k")
	version.Store(1)
	if err := p.cache.Invalidate(t.Context(), tier.Key("test:in", "k"), tier.Tag("row", "k")); err != nil {
		t.Fatal(err)
	}
	if v, _ := outer.Get(t.Context(), "k"); v != 1 {
		t.Errorf("got %d; want 1", v)
	}
}

// A read that waits for a place takes what another pod has filled meanwhile.
func TestFilledElsewhereWhileNoPlace(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	block := make(chan struct{})
	open := func(load func(ctx context.Context, id string) (int, error)) *tier.Space[int] {
		c := openCache(t, tier.Config{Redis: connect(t, addr), RemoteTimeout: 2 * time.Second, MaxLoads: 1})
		return newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.TTL(time.Hour), Load: load, LoadTimeout: 5 * time.Second})
	}
	var started atomic.Bool
	a := open(func(_ context.Context, id string) (int, error) {
		if id == "slow" {
			started.Store(true)
			<-block
		}
		return 1, nil
	})
	b := open(func(_ context.Context, id string) (int, error) { return 1, nil })
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = a.Get(t.Context(), "slow") })
	eventually(t, "slow loads", started.Load)
	var err error
	var took time.Duration
	wg.Go(func() { began := time.Now(); _, err = a.Get(t.Context(), "k"); took = time.Since(began) })
	time.Sleep(100 * time.Millisecond)
	if _, err := b.Get(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(5500 * time.Millisecond)
	close(block)
	wg.Wait()
	if err != nil || took > 4*time.Second {
		t.Errorf("after %s: %v; want the value, which L2 had after 100 ms", took, err)
	}
}
