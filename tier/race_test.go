package tier_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/internal/servertest"
)

// noneStale checks that neither a pod nor L2 has an older version of id than the source.
func noneStale(t *testing.T, id string, version int, pods ...pod) {
	t.Helper()
	for i, p := range pods {
		if v, ok := p.Peek(t.Context(), id); ok && v < version {
			t.Errorf("pod %d has version %d of %q; want %d or nothing", i, v, id, version)
		}
	}
}

// heard waits until p has applied an invalidation that another pod made before, or made it good by a resync.
func heard(t *testing.T, p, other pod) {
	t.Helper()
	marker := fmt.Sprint("heard-", time.Now().UnixNano())
	count := func() float64 {
		return metric(t, p.cache, "tandem_invalidations_total") + metric(t, p.cache, "tandem_bus_resyncs_total")
	}
	before := count()
	if err := other.Invalidate(t.Context(), marker); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the broadcast arrives", func() bool { return count() > before })
}

// The old loader that returns after the invalidation: its value must not come to stay, in L1 or in L2.
func TestOldLoaderReturnsAfterInvalidation(t *testing.T) {
	inEachWay(t, func(t *testing.T, invalidate func(pod, context.Context, string) error) {
		addr := servertest.StartRedis(t).Addr
		src := &source{}
		a, b := newPod(t, addr, src), newPod(t, addr, src)
		heard(t, a, b)
		release := make(chan struct{})
		src.onRead(func(_ string, version int) {
			if version == 0 {
				<-release
			}
		})
		old := make(chan int)
		go func() { v, _ := a.Get(t.Context(), "k"); old <- v }()
		eventually(t, "the old load has read", func() bool { return src.count("k") == 1 })
		src.write("k")
		if err := invalidate(a, t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		close(release)
		if v := <-old; v != 0 {
			t.Errorf("the old load gave %d; want 0", v)
		}
		noneStale(t, "k", 1, a)
		a.want(t, "k", 1)
		heard(t, b, a)
		noneStale(t, "k", 1, a, b)
		b.want(t, "k", 1)
	})
}

// Two loads of one key in flight, on two pods; the older returns first, then last. After a tag's invalidation the older load
// keeps its lease, and the newer one waits for it.
func TestTwoLoadsInFlight(t *testing.T) {
	for name, order := range map[string][]int{"older first": {0, 1}, "older last": {1, 0}} {
		t.Run(name, func(t *testing.T) {
			inEachWay(t, func(t *testing.T, invalidate func(pod, context.Context, string) error) {
				addr := servertest.StartRedis(t).Addr
				src := &source{}
				a, b := newPod(t, addr, src), newPod(t, addr, src)
				heard(t, a, b)
				release := []chan struct{}{make(chan struct{}), make(chan struct{})}
				src.onRead(func(_ string, version int) { <-release[version] })
				var loads sync.WaitGroup
				loads.Go(func() { _, _ = a.Get(t.Context(), "k") })
				eventually(t, "the older load has read", func() bool { return src.count("k") == 1 })
				src.write("k")
				if err := invalidate(b, t.Context(), "k"); err != nil {
					t.Fatal(err)
				}
				heard(t, a, b)
				loads.Go(func() { b.want(t, "k", 1) })
				eventually(t, "the newer load has read, or waits for the older", func() bool {
					return src.count("k") == 2 || metric(t, b.cache, "tandem_coalesced_total", "fleet") == 1
				})
				for _, version := range order {
					close(release[version])
				}
				loads.Wait()
				noneStale(t, "k", 1, a, b)
				a.want(t, "k", 1)
				b.want(t, "k", 1)
			})
		})
	}
}

// A value from L2 that is on its way to L1 when the invalidation is applied, made here or heard from another pod, must not be
// stored as valid. A hook holds the answer of the GET back, as a pause of the pod would.
func TestPausedBetweenL2AndL1(t *testing.T) {
	for name, own := range map[string]bool{"own": true, "heard": false} {
		t.Run(name, func(t *testing.T) {
			inEachWay(t, func(t *testing.T, invalidate func(pod, context.Context, string) error) {
				addr := servertest.StartRedis(t).Addr
				src := &source{}
				hold := newHold("get", "shop:test:row:k")
				a, b := newPodWith(t, addr, src, hold), newPod(t, addr, src)
				b.want(t, "k", 0)
				storedIn(t, connect(t, addr))
				heard(t, a, b)
				hold.arm()
				paused := make(chan int)
				go func() { v, _ := a.Get(t.Context(), "k"); paused <- v }()
				hold.await(t) // the answer has come, the pod has not looked at it
				src.write("k")
				invalidator := b
				if own {
					invalidator = a
				}
				if err := invalidate(invalidator, t.Context(), "k"); err != nil {
					t.Fatal(err)
				}
				heard(t, a, b)
				heard(t, b, a)
				hold.release()
				<-paused
				noneStale(t, "k", 1, a, b)
				a.want(t, "k", 1)
				b.want(t, "k", 1)
			})
		})
	}
}

func TestBurstLeavesNoneBehindOnAnotherPod(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	src := &source{}
	a, b := newPod(t, addr, src), newPod(t, addr, src)
	heard(t, a, b)
	ids := make([]string, 5000)
	for i := range ids {
		ids[i] = fmt.Sprint("key-", i)
		b.want(t, ids[i], 0)
	}
	for _, id := range ids {
		src.write(id)
	}
	if err := a.Invalidate(t.Context(), ids...); err != nil {
		t.Fatal(err)
	}
	heard(t, b, a)
	for _, id := range ids {
		noneStale(t, id, 1, a, b)
	}
	for _, id := range ids {
		b.want(t, id, 1)
	}
}

// Invalidations of other names during a load do not make its fill dead, and a Get shortly after a fill is a hit.
func TestOtherInvalidationsSpareAFill(t *testing.T) {
	withAndWithout(t, func(t *testing.T, addr string) {
		src := &source{}
		p := newPod(t, addr, src)
		src.onRead(func(string, int) {
			for i := range 20 {
				if err := p.Invalidate(t.Context(), fmt.Sprint("other-", i)); err != nil {
					t.Error(err)
				}
				if err := p.cache.InvalidateTag(t.Context(), "row", fmt.Sprint("other-", i)); err != nil {
					t.Error(err)
				}
			}
		})
		for range 20 {
			p.want(t, "k", 0)
		}
		if n := src.count("k"); n != 1 {
			t.Errorf("%d loads; want 1", n)
		}
		if addr != "" {
			q := newPod(t, addr, src)
			eventually(t, "L2 has it", func() bool { _, ok := q.Peek(t.Context(), "k"); return ok })
			q.want(t, "k", 0)
			if n := src.count("k"); n != 1 {
				t.Errorf("%d loads after another pod's Get; want 1", n)
			}
		}
	})
}

// Writers, readers and invalidations at full speed: a Get that begins after an invalidation returned never gives an older
// version, on the pod that invalidated; and in the end no tier has one.
func TestNoStaleReadUnderLoad(t *testing.T) {
	withAndWithout(t, func(t *testing.T, addr string) {
		src := &source{}
		pods := []pod{newPod(t, addr, src)}
		if addr != "" {
			pods = append(pods, newPod(t, addr, src))
		}
		const keys = 4
		var wg sync.WaitGroup
		var mu sync.Mutex
		last := make(map[string]int) // of each key: the highest version whose invalidation returned
		for i, p := range pods {
			for k := range keys {
				wg.Go(func() { // writes k on pod i, and reads it there
					id := fmt.Sprint(k)
					for range 150 {
						v := src.write(id)
						var err error
						if v%2 == 0 {
							err = p.Invalidate(t.Context(), id)
						} else {
							err = p.cache.InvalidateTag(t.Context(), "row", id)
						}
						if err != nil {
							t.Errorf("pod %d: %v", i, err)
							return
						}
						mu.Lock()
						last[id] = max(last[id], v)
						mu.Unlock()
						got, err := p.Get(t.Context(), id)
						if err != nil || got < v {
							t.Errorf("pod %d: got %d, %v after the invalidation of %d", i, got, err, v)
							return
						}
					}
				})
				wg.Go(func() { // competes
					for range 600 {
						_, _ = p.Get(t.Context(), fmt.Sprint(k))
					}
				})
			}
		}
		wg.Wait()
		if addr != "" {
			heard(t, pods[0], pods[1])
			heard(t, pods[1], pods[0])
		}
		for k := range keys {
			noneStale(t, fmt.Sprint(k), last[fmt.Sprint(k)], pods...)
		}
	})
}
