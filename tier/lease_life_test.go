package tier_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/remote"
)

// A lease lasts for a few of the space's loads, whichever pod has made them; without any, for a second.
func TestLeaseFollowsWhatLoadsTake(t *testing.T) {
	for name, test := range map[string]struct {
		load           time.Duration // 0: none was made before
		atLeast, below time.Duration
	}{
		"nothing known": {0, 500 * time.Millisecond, time.Second},
		"short loads":   {5 * time.Millisecond, 0, 600 * time.Millisecond}, // 200 ms; a slow machine's loads are longer
		"long loads":    {300 * time.Millisecond, 1100 * time.Millisecond, remote.MaxLease - 200*time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			addr := servertest.StartRedis(t).Addr
			client := connect(t, addr)
			src := &source{}
			src.onRead(func(string, int) { time.Sleep(test.load) })
			a, b := newPod(t, addr, src), newPod(t, addr, src)
			if test.load > 0 {
				for _, id := range []string{"1", "2", "3"} {
					a.want(t, id, 0)
					eventually(t, "another pod has it from L2", func() bool { _, ok := b.Peek(t.Context(), id); return ok })
				}
			}
			for i, p := range []pod{a, b} {
				id := []string{"x", "y"}[i]
				src.onRead(func(string, int) { // the answer has come, and the marker is as young as it can be
					if left := client.PTTL(t.Context(), "shop:test:row:"+id).Val(); left < test.atLeast || left > test.below {
						t.Errorf("pod %d: the lease has %s left; want %s to %s", i, left, test.atLeast, test.below)
					}
				})
				p.want(t, id, 0)
			}
		})
	}
}

// A load may take many times what its lease lasts.
func TestLeaseOutlastsALongLoad(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	src := &source{}
	src.onRead(func(string, int) { time.Sleep(100 * time.Millisecond) }) // leases of half a second
	a, b := newPod(t, addr, src), newPod(t, addr, src)
	a.want(t, "1", 0)
	release := make(chan struct{})
	src.onRead(func(string, int) { <-release })
	var wg sync.WaitGroup
	wg.Go(func() { a.want(t, "k", 0) })
	eventually(t, "the load runs", func() bool { return src.count("k") == 1 })
	wg.Go(func() { b.want(t, "k", 0) })
	time.Sleep(2500 * time.Millisecond) // the load
	close(release)
	wg.Wait()
	if n := src.count("k"); n != 1 {
		t.Errorf("%d loads; want 1", n)
	}
}

// What a load of which the pod has died costs the others follows what a load costs.
func TestDeadHolderDoesNotStallTheOthersForLong(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	src := &source{}
	var dead atomic.Bool
	a := newPodWith(t, addr, src, &watch{before: func([]redis.Cmder) error { // nothing reaches Redis from a dead pod
		if dead.Load() {
			return errCut
		}
		return nil
	}})
	b := newPod(t, addr, src)
	b.want(t, "warm", 0)
	eventually(t, "pod a knows what a load takes", func() bool { _, ok := a.Peek(t.Context(), "warm"); return ok })
	stuck := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(stuck)
	loading := make(chan struct{})
	wg.Go(func() {
		_, _ = a.GetWith(t.Context(), "k", func(context.Context, string) (int, error) {
			close(loading)
			<-stuck
			return 0, nil
		})
	})
	<-loading
	dead.Store(true)
	began := time.Now()
	b.want(t, "k", 0)
	if took := time.Since(began); took > 900*time.Millisecond { // 200 ms; what was fixed before was 3 s
		t.Errorf("another pod waited for %s", took)
	}
}

// A marker whose life no lease has is of a clock that was set back. Nobody waits for it.
func TestMarkerOfAClockThatWasSetBack(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	p := newPod(t, addr, &source{})
	if err := connect(t, addr).Set(t.Context(), "shop:test:row:k", "M10123456789abcdef0200", 2*time.Hour).Err(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	p.want(t, "k", 0)
	if took := time.Since(began); took > time.Second {
		t.Errorf("answered after %s", took)
	}
}

// evals says whether one of cmds runs a script on the entry of k in shop's test:row with so many arguments.
func evals(cmds []redis.Cmder, args int) bool {
	return len(cmds) > 0 && have(cmds[len(cmds)-1:], "eval", "shop:test:row:k") && len(cmds[len(cmds)-1].Args()) == args
}

// The lease is renewed until the value is in L2, however long the fill takes.
func TestLeaseIsHeldUntilTheFill(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	src := &source{}
	filling, fill := make(chan struct{}), make(chan struct{})
	var once sync.Once
	a := newPodWith(t, addr, src, &watch{before: func(cmds []redis.Cmder) error {
		if evals(cmds, len([]string{"evalsha", "script", "1", "key", "token", "value", "life"})) {
			once.Do(func() { close(filling) })
			<-fill
		}
		return nil
	}})
	b := newPod(t, addr, src)
	a.want(t, "k", 0)
	<-filling
	var wg sync.WaitGroup
	wg.Go(func() { b.want(t, "k", 0) })
	time.Sleep(2 * time.Second) // twice the first lease
	close(fill)
	wg.Wait()
	if n := src.count("k"); n != 1 {
		t.Errorf("%d loads; want 1", n)
	}
}

// A lease may have ended when its answer comes. It is asked for again before anything is loaded.
func TestLeaseThatWasGrantedLateIsAskedForAgain(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	src := &source{}
	granted, answer := make(chan struct{}), make(chan struct{})
	var armed atomic.Bool
	a := newPodWith(t, addr, src, &watch{after: func(cmds []redis.Cmder) {
		if have(cmds, "hget", "{tick}") && have(cmds, "eval", "shop:test:row:k") && armed.CompareAndSwap(true, false) {
			close(granted)
			<-answer
		}
	}})
	b := newPod(t, addr, src)
	b.want(t, "warm", 0) // the server knows the scripts from here on
	armed.Store(true)
	var wg sync.WaitGroup
	wg.Go(func() { a.want(t, "k", 0) })
	<-granted
	b.want(t, "k", 0) // when the lease has ended
	close(answer)
	wg.Wait()
	if n := src.count("k"); n != 1 {
		t.Errorf("%d loads; want 1: the one that was granted first never began", n)
	}
}
