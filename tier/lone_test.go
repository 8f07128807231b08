package tier_test

import (
	"context"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/tier"
)

// watchedPod has a client with a hook, and the RemoteTimeout of patience.
func watchedPod(t *testing.T, addr string, src *source, hook *watch) pod {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	client.AddHook(hook)
	c := openCache(t, tier.Config{Redis: client, RemoteTimeout: patience})
	return pod{cache: c, Space: newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.CDC("feed"), Load: src.load})}
}

// asksForALease reports whether cmds ask for leases.
func asksForALease(cmds []redis.Cmder) bool {
	return have(cmds, "hget", "{tick}") && have(cmds, "eval", "shop:test:row:")
}

// Pods that have just started, and whose reads of L2 and first asks for a lease are not answered in time, still share a load.
func TestStartHasAGrace(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	src := &source{}
	slow := func() *watch {
		var asked atomic.Bool
		return &watch{before: func(cmds []redis.Cmder) error {
			if have(cmds, "get", "shop:test:row:k") || asksForALease(cmds) && asked.CompareAndSwap(false, true) {
				return context.DeadlineExceeded
			}
			return nil
		}}
	}
	src.onRead(func(string, int) { time.Sleep(50 * time.Millisecond) })
	var wg sync.WaitGroup
	for range 3 {
		p := watchedPod(t, addr, src, slow())
		wg.Go(func() {
			p.want(t, "k", 0)
			if n := metric(t, p.cache, "tandem_lone_loads_total"); n != 0 {
				t.Errorf("%v loads without a lease; want 0", n)
			}
		})
	}
	wg.Wait()
	if n := src.count("k"); n != 1 {
		t.Errorf("%d loads; want 1", n)
	}
}

// A call about a lease may take longer than a plain read.
func TestLeaseCallsOutlastRemoteTimeout(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	var slow atomic.Bool
	p := watchedPod(t, addr, &source{}, &watch{before: func(cmds []redis.Cmder) error {
		if slow.Load() && asksForALease(cmds) {
			time.Sleep(3 * patience)
		}
		return nil
	}})
	slow.Store(true)
	p.want(t, "k", 0)
	storedIn(t, connect(t, addr))
	if n := metric(t, p.cache, "tandem_remote_errors_total", "lease"); n != 0 {
		t.Errorf("%v asks for a lease failed; want 0", n)
	}
}

// The flights of a pod share calls when many ask for leases.
func TestLeaseCallsAreShared(t *testing.T) {
	const keys = 200
	addr := servertest.StartRedis(t).Addr
	var calls atomic.Int64
	all := make(chan struct{})
	p := newPodWith(t, addr, &source{}, &watch{before: func(cmds []redis.Cmder) error {
		if asksForALease(cmds) {
			calls.Add(1)
			<-all
		}
		return nil
	}})
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() { p.want(t, strconv.Itoa(i), 0) })
	}
	eventually(t, "all of them are under way", func() bool { return metric(t, p.cache, "tandem_flights") == keys && calls.Load() > 0 })
	time.Sleep(200 * time.Millisecond) // so that nearly all have found nothing in L2
	close(all)
	wg.Wait()
	if n := calls.Load(); n > 50 {
		t.Errorf("%d calls for %d leases", n, keys)
	}
}

// Loads without a lease, of which no other pod knows, have fewer places than others. They are counted.
func TestLoneLoadsAreBounded(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	_ = listener.Close() // refuses
	c := openCache(t, tier.Config{Redis: connect(t, addr), RemoteTimeout: patience, MaxLoads: 12})
	var running, most atomic.Int64
	s := newSpace(t, c, tier.SpaceConfig[int]{
		Name: "test:row", Strategy: tier.CDC("feed"),
		Load: func(context.Context, string) (int, error) {
			n := running.Add(1)
			defer running.Add(-1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			time.Sleep(20 * time.Millisecond)
			return 1, nil
		},
	})
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			if _, err := s.Get(t.Context(), strconv.Itoa(i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := most.Load(); n > 3 {
		t.Errorf("%d loads ran together; want a quarter of MaxLoads", n)
	}
	if n := metric(t, c, "tandem_lone_loads_total"); n != 30 {
		t.Errorf("counted %v; want 30", n)
	}
}
