package tier_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/tier"
)

// setWith writes row id and Sets what was written.
func (p pod) setWith(t *testing.T, src *source, id string) int {
	t.Helper()
	v, err := p.SetWith(t.Context(), id, func(ctx context.Context) (int, error) {
		tier.DependsOn(ctx, "row", id)
		return src.write(id), nil
	})
	if err != nil {
		t.Error(err)
	}
	return v
}

// peek is what p has, or -1.
func (p pod) peek(t *testing.T, id string) int {
	t.Helper()
	v, ok := p.Peek(t.Context(), id)
	if !ok {
		return -1
	}
	return v
}

func wantSets(t *testing.T, p pod, result string, n float64) {
	t.Helper()
	if got := metric(t, p.cache, "tandem_sets_total", result); got != n {
		t.Errorf("%v sets %s; want %v", got, result, n)
	}
}

// A Set's value is a hit: at once on its own pod, and on others by L2.
func TestSetIsAHit(t *testing.T) {
	withAndWithout(t, func(t *testing.T, addr string) {
		src := &source{}
		pods := []pod{newPod(t, addr, src)}
		if addr != "" {
			pods = append(pods, newPod(t, addr, src))
		}
		for _, p := range pods {
			p.want(t, "k", 0)
		}
		before := src.count("k")
		for range 3 {
			v := pods[0].setWith(t, src, "k")
			pods[0].want(t, "k", v)
			if len(pods) > 1 {
				heard(t, pods[1], pods[0])
				pods[1].want(t, "k", v)
			}
		}
		if n := src.count("k") - before; n != 0 {
			t.Errorf("%d loads; want 0", n)
		}
		wantSets(t, pods[0], "stored", 3)
		for _, p := range pods { // it is outdated like any value
			v := src.write("k")
			if err := p.cache.InvalidateTag(t.Context(), "row", "k"); err != nil {
				t.Fatal(err)
			}
			p.want(t, "k", v)
		}
	})
}

// What a Set's value stands on besides its key is at the snapshot's tick, also in L2: a flush that comes between snapshot and Set outdates it.
func TestSetStandsOnAllElseAtItsSnapshot(t *testing.T) {
	inEachWay(t, func(t *testing.T, invalidate func(p pod, ctx context.Context, id string) error) {
		withAndWithout(t, func(t *testing.T, addr string) {
			src := &source{}
			p := newPod(t, addr, src)
			snap, err := p.Snapshot(t.Context(), "k")
			if err != nil {
				t.Fatal(err)
			}
			snap.DependsOn("row", "k")
			old := src.write("k")
			src.write("k")
			if err := invalidate(p, t.Context(), "k"); err != nil {
				t.Fatal(err)
			}
			if err := snap.Set(t.Context(), old); err != nil {
				t.Fatal(err)
			}
			noneStale(t, "k", old+1, p)
			p.want(t, "k", old+1)
			wantSets(t, p, "dropped", 1)
			if n := metric(t, p.cache, "tandem_refused_fills_total", "moved"); n != 1 {
				t.Errorf("counted %v times as moved; want 1", n)
			}
		})
	})
}

func TestSetIsRefusedWithAFeed(t *testing.T) {
	src := &source{}
	p := newPod(t, "", src)
	p.want(t, "k", 0)
	wantError(t, p.Set(t.Context(), "k", 1), `"test:row:k"`, "SetWith", "Snapshot", `"feed"`)
	if got := p.peek(t, "k"); got != 0 {
		t.Errorf("has %d after a Set that was refused; want 0", got)
	}
}

func TestSetWithoutAFeed(t *testing.T) {
	withAndWithout(t, func(t *testing.T, addr string) {
		cfg := tier.Config{RemoteTimeout: 2 * time.Second}
		if addr != "" {
			cfg.Redis = connect(t, addr)
		}
		s := newSpace(t, openCache(t, cfg), tier.SpaceConfig[string]{Name: "test:name", Strategy: tier.TTL(time.Minute)})
		for _, want := range []string{"x", "y", ""} {
			if err := s.Set(t.Context(), "k", want); err != nil {
				t.Fatal(err)
			}
			if got, ok := s.Peek(t.Context(), "k"); got != want || !ok {
				t.Errorf("got %q, %v; want %q", got, ok, want)
			}
		}
		wantError(t, s.Set(t.Context(), "{k}", "x"), `"test:name:{k}"`, "brace")
	})
}

// The source may have changed although the write failed, panicked, or its context ended: the entry is invalidated, on all pods.
func TestFailingWriteInvalidates(t *testing.T) {
	withAndWithout(t, func(t *testing.T, addr string) {
		src := &source{}
		p := newPod(t, addr, src)
		failure := errors.New("lost the connection while it committed")
		for name, end := range map[string]func(context.CancelFunc) error{
			"error":  func(context.CancelFunc) error { return failure },
			"cancel": func(cancel context.CancelFunc) error { cancel(); return failure },
			"panic":  func(context.CancelFunc) error { panic(failure) },
		} {
			v, _ := p.Get(t.Context(), "k")
			p.want(t, "k", v)
			ctx, cancel := context.WithCancel(t.Context())
			func() {
				defer func() { _ = recover() }()
				_, err := p.SetWith(ctx, "k", func(context.Context) (int, error) {
					v = src.write("k")
					return v + 1, end(cancel)
				})
				if !errors.Is(err, failure) {
					t.Errorf("%s: got %v; want the write's error", name, err)
				}
				wantError(t, err, `"test:row:k"`)
			}()
			cancel()
			p.want(t, "k", v)
		}
		wantSets(t, p, "stored", 0)
	})
}

// A write that is done stays announced though the caller has left.
func TestSetGoesOnWithoutItsCaller(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	src := &source{}
	p := newPod(t, addr, src)
	p.want(t, "k", 0)
	ctx, cancel := context.WithCancel(t.Context())
	v, err := p.SetWith(ctx, "k", func(context.Context) (int, error) { cancel(); return src.write("k"), nil })
	if v != 1 || err != nil {
		t.Errorf("got %d, %v; want 1", v, err)
	}
	if got := p.peek(t, "k"); got != 1 {
		t.Errorf("has %d; want 1", got)
	}
}

// With Redis down nothing is acknowledged and nothing stored. Where it was down at the snapshot, its Set only invalidates.
func TestSetWhileRedisIsDown(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	src := &source{}
	var down atomic.Bool
	p := newPodWith(t, addr, src, &watch{before: func([]redis.Cmder) error {
		if down.Load() {
			return errCut
		}
		return nil
	}})
	p.want(t, "k", 0)
	down.Store(true)
	v, err := p.SetWith(t.Context(), "k", func(context.Context) (int, error) { return src.write("k"), nil })
	if v != 1 || !errors.Is(err, errCut) {
		t.Errorf("got %d, %v; want the value, and the error of Redis", v, err)
	}
	wantError(t, err, `test:row:k`)
	snap, err := p.Snapshot(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	down.Store(false)
	if err := snap.Set(t.Context(), src.write("k")); err != nil {
		t.Fatal(err)
	}
	if got := newPod(t, addr, src).peek(t, "k"); got != -1 {
		t.Errorf("L2 has %d; want nothing", got)
	}
	wantSets(t, p, "stored", 0)
	wantSets(t, p, "dropped", 2)
	p.want(t, "k", 2)
}

// A Set whose broadcast fails is not acknowledged, and its own pod does not serve what was before.
func TestSetFailsHalfWay(t *testing.T) {
	for name, step := range map[string]string{"delete": "shop:test:row:k", "claim": "{names:", "broadcast": "{bus}:journal"} {
		t.Run(name, func(t *testing.T) {
			src := &source{}
			var failing atomic.Bool
			p := newPodWith(t, servertest.StartRedis(t).Addr, src, &watch{before: func(cmds []redis.Cmder) error {
				if failing.Load() && have(cmds, "", step) {
					return errCut
				}
				return nil
			}})
			p.want(t, "k", 0)
			failing.Store(true)
			v, err := p.SetWith(t.Context(), "k", func(context.Context) (int, error) { return src.write("k"), nil })
			if !errors.Is(err, errCut) {
				t.Fatalf("got %v; want it to fail", err)
			}
			p.want(t, "k", v)
			wantSets(t, p, "dropped", 1)
		})
	}
}

func TestSnapshotIsUsedOnceAndInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{}
		c := openCache(t, tier.Config{})
		p := pod{cache: c, Space: newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.CDC("feed"), Load: src.load, LoadTimeout: time.Second})}
		take := func() *tier.Snapshot[int] {
			snap, err := p.Snapshot(t.Context(), "k")
			if err != nil {
				t.Fatal(err)
			}
			return snap
		}
		snap := take()
		if err := snap.Set(t.Context(), src.write("k")); err != nil {
			t.Fatal(err)
		}
		wantError(t, snap.Set(t.Context(), 9), "used already", `"test:row:k"`)
		if got := p.peek(t, "k"); got != 1 {
			t.Errorf("has %d; want 1", got)
		}

		snap = take()
		time.Sleep(time.Second + 1)
		if err := snap.Set(t.Context(), src.write("k")); err != nil {
			t.Fatal(err)
		}
		if got := p.peek(t, "k"); got != -1 {
			t.Errorf("has %d of a snapshot older than LoadTimeout; want nothing", got)
		}

		snap = take()
		snap.DependsOn("a row", "k")
		wantError(t, snap.Set(t.Context(), src.write("k")), `DependsOn("a row", "k")`)
		if got := p.peek(t, "k"); got != -1 {
			t.Errorf("has %d with a malformed dependency; want nothing", got)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Snapshot(t.Context(), "k"); !errors.Is(err, tier.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// What was read through the cache while writing, the value depends on.
func TestWriteHandsOverWhatItReads(t *testing.T) {
	withAndWithout(t, func(t *testing.T, addr string) {
		src := &source{}
		p := newPod(t, addr, src)
		sum := func(ctx context.Context) (int, error) {
			v, err := p.Get(ctx, "inner")
			return 100 + v, err
		}
		if v, err := p.SetWith(t.Context(), "outer", sum); v != 100 || err != nil {
			t.Fatal(v, err)
		}
		src.write("inner")
		if err := p.Invalidate(t.Context(), "inner"); err != nil {
			t.Fatal(err)
		}
		if got := p.peek(t, "outer"); got != -1 {
			t.Errorf("has %d; want nothing: what it was made from has changed", got)
		}
	})
}

// A write inside a loader must not wait for that loader.
func TestWriteInsideALoaderSeesTheCycle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s *tier.Space[int]
		s = newSpace(t, openCache(t, tier.Config{}), tier.SpaceConfig[int]{
			Name: "test:row", Strategy: tier.CDC("feed"),
			Load: func(ctx context.Context, id string) (int, error) {
				return s.SetWith(ctx, "other", func(ctx context.Context) (int, error) { return s.Get(ctx, id) })
			},
		})
		if _, err := s.Get(t.Context(), "k"); !errors.Is(err, tier.ErrCycle) {
			t.Errorf("got %v; want ErrCycle", err)
		}
	})
}

// A Set's value lives no longer than the strategy says, from before the write.
func TestSetLivesFromItsSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpace(t, openCache(t, tier.Config{}), tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.Hybrid("feed", time.Minute)})
		_, err := s.SetWith(t.Context(), "k", func(context.Context) (int, error) { time.Sleep(9 * time.Second); return 1, nil })
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []bool{true, false} {
			if _, ok := s.Peek(t.Context(), "k"); ok != want {
				t.Errorf("there: %v; want %v", ok, want)
			}
			time.Sleep(51 * time.Second)
		}
	})
}

// Where readers get copies, the caller of a Set keeps its value for itself.
func TestSetCopiesWhereReadersDo(t *testing.T) {
	clone := func(v []int) []int { return append([]int(nil), v...) }
	s := newSpace(t, openCache(t, tier.Config{}), tier.SpaceConfig[[]int]{Name: "test:row", Strategy: tier.TTL(time.Minute), Clone: clone})
	value := []int{1}
	for name, set := range map[string]func() error{
		"Set": func() error { return s.Set(t.Context(), "k", value) },
		"SetWith": func() error {
			_, err := s.SetWith(t.Context(), "k", func(context.Context) ([]int, error) { return value, nil })
			return err
		},
		"Snapshot": func() error {
			snap, err := s.Snapshot(t.Context(), "k")
			if err != nil {
				return err
			}
			return snap.Set(t.Context(), value)
		},
	} {
		value[0] = 1
		if err := set(); err != nil {
			t.Fatal(err)
		}
		value[0] = 2
		if got, ok := s.Peek(t.Context(), "k"); !ok || got[0] != 1 {
			t.Errorf("%s: got %v, %v; want [1]", name, got, ok)
		}
	}
}

// A Set's value is encrypted as it is stored, with the ticks that it was raised to.
func TestSetIsSealed(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	a, b := newSealedPod(t, addr, newKeyring(t, 1, 1), 0), newSealedPod(t, addr, newKeyring(t, 1, 1), 0)
	_, err := a.rows.SetWith(t.Context(), "k", func(ctx context.Context) (string, error) {
		tier.DependsOn(ctx, "row", "k")
		return "written", nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := b.rows.Get(t.Context(), "k"); got != "written" || err != nil {
		t.Errorf("another pod got %q, %v; want what was Set", got, err)
	}
	if n := b.loads.Load(); n != 0 {
		t.Errorf("%d loads; want 0", n)
	}
}

// A write has no place of MaxLoads that the loads begun in it could share.
func TestReadsOfAWriteCountForMaxLoads(t *testing.T) {
	var running, most atomic.Int32
	c := openCache(t, tier.Config{MaxLoads: 1})
	inner := newSpace(t, c, tier.SpaceConfig[int]{Name: "test:inner", Strategy: tier.TTL(time.Minute), Load: func(context.Context, string) (int, error) {
		n := running.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(20 * time.Millisecond)
		running.Add(-1)
		return 1, nil
	}})
	outer := newSpace(t, c, tier.SpaceConfig[int]{Name: "test:outer", Strategy: tier.TTL(time.Minute)})
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			_, err := outer.SetWith(t.Context(), fmt.Sprint(i), func(ctx context.Context) (int, error) { return inner.Get(ctx, fmt.Sprint(i)) })
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := most.Load(); n > 1 {
		t.Errorf("%d loads at once; want MaxLoads, 1", n)
	}
}
