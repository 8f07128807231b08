package tier_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/tier"
)

func asError[T error](err error, target *T) bool { return errors.As(err, target) }

func TestOneLoadForManyCallers(t *testing.T) {
	for _, took := range []time.Duration{0, time.Millisecond, 20 * time.Millisecond} {
		t.Run(took.String(), func(t *testing.T) {
			withAndWithout(t, func(t *testing.T, addr string) {
				src := &source{}
				src.onRead(func(string, int) { time.Sleep(took) })
				p := newPod(t, addr, src)
				for round, key := range []string{"a", "b", "c"} {
					var wg sync.WaitGroup
					start := make(chan struct{})
					for range 10_000 {
						wg.Go(func() {
							<-start
							if _, err := p.Get(t.Context(), key); err != nil {
								t.Error(err)
							}
						})
					}
					close(start)
					wg.Wait()
					if n := src.count(key); n != 1 {
						t.Errorf("round %d: %d loads; want 1", round, n)
					}
				}
			})
		})
	}
}

// The second pod's callers wait for the first pod's load, and a fill wakes them.
func TestOneLoadForAllPods(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	src := &source{}
	release := make(chan struct{})
	src.onRead(func(string, int) { <-release })
	pods := []pod{newPod(t, addr, src), newPod(t, addr, src), newPod(t, addr, src)}
	var wg sync.WaitGroup
	for i, p := range pods {
		for range 100 {
			wg.Go(func() { p.want(t, "a", 0) })
		}
		if i == 0 {
			eventually(t, "the first pod loads", func() bool { return src.count("a") == 1 })
		}
	}
	eventually(t, "the others wait", func() bool {
		return metric(t, pods[1].cache, "tandem_coalesced_total", "fleet") == 1 && metric(t, pods[2].cache, "tandem_coalesced_total", "fleet") == 1
	})
	close(release)
	wg.Wait()
	if n := src.count("a"); n != 1 {
		t.Errorf("%d loads; want 1", n)
	}
}

// A holder that dies leaves its marker; the next takes over when it expires. A holder that fails gives it back at once.
func TestFailedLoadGivesTheLeaseBack(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	src := &source{}
	a, b := newPod(t, addr, src), newPod(t, addr, src)
	started, fail := make(chan struct{}), make(chan struct{})
	failing := make(chan error)
	go func() {
		_, err := a.GetWith(t.Context(), "a", func(context.Context, string) (int, error) {
			close(started)
			<-fail
			return 0, errors.New("no database")
		})
		failing <- err
	}()
	<-started
	got := make(chan time.Duration)
	go func() {
		began := time.Now()
		b.want(t, "a", 0)
		got <- time.Since(began)
	}()
	eventually(t, "the other pod waits", func() bool { return metric(t, b.cache, "tandem_coalesced_total", "fleet") == 1 })
	close(fail)
	wantError(t, <-failing, `load "test:row:a"`, "no database")
	if took := <-got; took > 2500*time.Millisecond { // the marker would have lived for three
		t.Errorf("the other pod waited for %s", took)
	}
	if src.count("a") != 1 {
		t.Errorf("%d reads by the other pod; want 1", src.count("a"))
	}
}

func TestDeadHoldersMarkerExpires(t *testing.T) {
	server := servertest.StartRedis(t)
	p := newPod(t, server.Addr, &source{})
	client := connect(t, server.Addr)
	if err := client.Set(t.Context(), "shop:test:row:a", "M10123456789abcdef0", 300*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	p.want(t, "a", 0)
	if took := time.Since(began); took < 200*time.Millisecond || took > 10*time.Second {
		t.Errorf("answered after %s; want it soon after the marker's 300 ms", took)
	}
}

func TestLeaseIsRenewed(t *testing.T) {
	server := servertest.StartRedis(t)
	src := &source{}
	release := make(chan struct{})
	src.onRead(func(string, int) { <-release })
	a, b := newPod(t, server.Addr, src), newPod(t, server.Addr, src)
	var wg sync.WaitGroup
	wg.Go(func() { a.want(t, "a", 0) })
	eventually(t, "the load runs", func() bool { return src.count("a") == 1 })
	client := connect(t, server.Addr)
	if err := client.PExpire(t.Context(), "shop:test:row:a", 1900*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	wg.Go(func() { b.want(t, "a", 0) })
	eventually(t, "the marker is renewed", func() bool {
		return client.PTTL(t.Context(), "shop:test:row:a").Val() > 2*time.Second
	})
	close(release)
	wg.Wait()
	if n := src.count("a"); n != 1 {
		t.Errorf("%d loads; want 1", n)
	}
}

func TestLoadOutlivesItsFirstCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		src := &source{}
		p := newPod(t, "", src)
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
		loading := make(chan struct{})
		load := func(ctx context.Context, _ string) (int, error) {
			close(loading)
			time.Sleep(time.Second)
			if ctx.Value(key{}) != "value" {
				t.Error("the load's context lost the caller's values")
			}
			return 42, ctx.Err()
		}
		first := make(chan error)
		go func() {
			_, err := p.GetWith(ctx, "a", load)
			first <- err
		}()
		<-loading
		began := time.Now()
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) || time.Since(began) != 0 {
			t.Errorf("the caller who left got %v after %s; want Canceled at once", err, time.Since(began))
		}
		v, err := p.Get(t.Context(), "a")
		if v != 42 || err != nil || time.Since(began) != time.Second {
			t.Errorf("the second caller got %d, %v after %s; want the first one's load", v, err, time.Since(began))
		}
	})
}

func TestCallerWhoHasLeftStartsNothing(t *testing.T) {
	src := &source{}
	p := newPod(t, "", src)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Get(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v; want Canceled", err)
	}
	if n := src.count("a"); n != 0 {
		t.Errorf("%d loads; want 0", n)
	}
	p.want(t, "a", 0)
	if v, err := p.Get(ctx, "a"); v != 0 || err != nil {
		t.Errorf("a hit with a context that has ended: got %d, %v; want the value", v, err)
	}
}

func TestLoadHasItsOwnDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCache(t, tier.Config{})
		stuck := make(chan struct{})
		s := newSpace(t, c, tier.SpaceConfig[int]{
			Name: "a:b", Strategy: tier.TTL(time.Hour), LoadTimeout: time.Minute,
			Load: func(context.Context, string) (int, error) { <-stuck; return 0, nil }, // ignores its context
		})
		began := time.Now()
		_, err := s.Get(t.Context(), "a")
		wantError(t, err, "LoadTimeout of 1m0s")
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("got %v after %s; want DeadlineExceeded after a minute", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close while a loader is stuck: got %v; want DeadlineExceeded", err)
		}
		close(stuck)
	})
}

func TestPanicAndGoexitAreErrorsForAll(t *testing.T) {
	cause := errors.New("the cause")
	for name, test := range map[string]struct {
		end  func()
		want string
	}{
		"panic":  {func() { panic(cause) }, "panicked: the cause"},
		"Goexit": {runtime.Goexit, "Goexit"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPod(t, "", &source{})
				var wg sync.WaitGroup
				var got atomic.Int32
				for range 10 {
					wg.Go(func() {
						_, err := p.GetWith(t.Context(), "a", func(context.Context, string) (int, error) {
							time.Sleep(time.Second)
							endBadly(test.end)
							return 0, nil
						})
						var pe *tier.PanicError
						if !errors.As(err, &pe) || !strings.Contains(string(pe.Stack), "endBadly") {
							t.Errorf("got %v; want a PanicError with the loader's stack", err)
							return
						}
						wantError(t, err, "test:row:a", test.want)
						if name == "panic" && !errors.Is(err, cause) {
							t.Error("the error passed to panic is not in the chain")
						}
						got.Add(1)
					})
				}
				wg.Wait()
				if got.Load() != 10 {
					t.Errorf("%d waiters got the error; want 10", got.Load())
				}
				p.want(t, "a", 0) // errors are not cached
			})
		})
	}
}

func endBadly(end func()) { end() }

// A caller who came after an invalidation does not take the value of a load that began before it.
func TestJoinerAfterInvalidationLoadsAgain(t *testing.T) {
	inEachWay(t, func(t *testing.T, invalidate func(pod, context.Context, string) error) {
		synctest.Test(t, func(t *testing.T) {
			src := &source{}
			p := newPod(t, "", src)
			release := make(chan struct{})
			src.onRead(func(_ string, version int) {
				if version == 0 {
					<-release
				}
			})
			first := make(chan int)
			go func() { v, _ := p.Get(t.Context(), "a"); first <- v }()
			synctest.Wait() // the load has read version 0
			src.write("a")
			if err := invalidate(p, t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() { p.want(t, "a", 1) })
			}
			synctest.Wait() // they have joined
			close(release)
			<-first
			wg.Wait()
			if n := src.count("a"); n != 2 {
				t.Errorf("%d loads; want 2: one before, one for all who came after", n)
			}
			p.want(t, "a", 1)
		})
	})
}

// A finished load stays findable until L1 shows its value: ristretto may take a while.
func TestNobodyLoadsBetweenFlightAndL1(t *testing.T) {
	src := &source{}
	p := newPod(t, "", src)
	var wg sync.WaitGroup
	for i := range 4 { // each its own keys, read again at once
		wg.Go(func() {
			for n := range 3000 {
				id := fmt.Sprintf("%d-%d", i, n)
				p.want(t, id, 0)
				p.want(t, id, 0)
				if reads := src.count(id); reads != 1 {
					t.Errorf("%s: %d loads; want 1", id, reads)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestMaxLoads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCache(t, tier.Config{MaxLoads: 2})
		var running, most atomic.Int32
		var s *tier.Space[int]
		s = newSpace(t, c, tier.SpaceConfig[int]{
			Name: "a:b", Strategy: tier.TTL(time.Hour),
			Load: func(ctx context.Context, id string) (int, error) {
				if strings.HasPrefix(id, "inner") {
					return 1, nil
				}
				most.Store(max(most.Load(), running.Add(1)))
				defer running.Add(-1)
				time.Sleep(time.Second)
				return s.Get(ctx, "inner-"+id) // has its outer load's place
			},
		})
		began := time.Now()
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				if _, err := s.Get(t.Context(), fmt.Sprint(i)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if most.Load() != 2 || time.Since(began) != 3*time.Second {
			t.Errorf("%d at once, %s in all; want 2 at once and 3 s", most.Load(), time.Since(began))
		}
	})
}

// A load inside another that joins a load queued behind MaxLoads would wait for its own outer load's place.
func TestNestedLoadDoesNotWaitForItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCache(t, tier.Config{MaxLoads: 1})
		inner := newSpace(t, c, tier.SpaceConfig[int]{
			Name: "a:inner", Strategy: tier.CDC("f"),
			Load: func(context.Context, string) (int, error) { return 1, nil },
		})
		holds := make(chan struct{})
		outer := newSpace(t, c, tier.SpaceConfig[int]{
			Name: "a:outer", Strategy: tier.CDC("f"),
			Load: func(ctx context.Context, _ string) (int, error) {
				close(holds)
				time.Sleep(time.Second) // meanwhile somebody else asks for inner, and queues
				return inner.Get(ctx, "x")
			},
		})
		go func() { <-holds; _, _ = inner.Get(t.Context(), "x") }()
		began := time.Now()
		if _, err := outer.Get(t.Context(), "y"); err != nil || time.Since(began) != time.Second {
			t.Errorf("got %v after %s; want the value after a second", err, time.Since(began))
		}
	})
}

// A load that waited behind MaxLoads reads after what was invalidated meanwhile.
func TestQueuedLoadIsNotDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{}
		c := openCache(t, tier.Config{MaxLoads: 1})
		s := newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.CDC("feed"), Load: src.load})
		block := make(chan struct{})
		other := newSpace(t, c, tier.SpaceConfig[int]{
			Name: "test:other", Strategy: tier.CDC("feed"),
			Load: func(context.Context, string) (int, error) { <-block; return 0, nil },
		})
		go func() { _, _ = other.Get(t.Context(), "x") }()
		synctest.Wait()
		got := make(chan int)
		go func() { v, _ := s.Get(t.Context(), "k"); got <- v }()
		synctest.Wait() // it queues
		src.write("k")
		if err := s.Invalidate(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		close(block)
		if v := <-got; v != 1 {
			t.Errorf("got version %d; want 1", v)
		}
		synctest.Wait()
		_, _ = s.Get(t.Context(), "k")
		if n := src.count("k"); n != 1 {
			t.Errorf("%d loads; want 1: it read after the invalidation", n)
		}
	})
}

func TestClose(t *testing.T) {
	withAndWithout(t, func(t *testing.T, addr string) {
		p := newPod(t, addr, &source{})
		p.want(t, "b", 0)
		loading, ended := make(chan struct{}), make(chan error)
		go func() {
			_, err := p.GetWith(t.Context(), "a", func(ctx context.Context, _ string) (int, error) {
				close(loading)
				<-ctx.Done()
				return 0, ctx.Err()
			})
			ended <- err
		}()
		<-loading
		for range 2 {
			if err := p.cache.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-ended; !errors.Is(err, tier.ErrClosed) {
			t.Errorf("a load under way ended with %v; want ErrClosed", err)
		}
		for _, id := range []string{"a", "b"} {
			if _, err := p.Get(t.Context(), id); !errors.Is(err, tier.ErrClosed) {
				t.Errorf("after Close: got %v; want ErrClosed", err)
			}
		}
		if err := p.Invalidate(t.Context(), "a"); !errors.Is(err, tier.ErrClosed) {
			t.Errorf("after Close: got %v; want ErrClosed", err)
		}
	})
}
