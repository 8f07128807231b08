package tier_test

import (
	"context"
	"fmt"
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

const (
	patience = 100 * time.Millisecond // the RemoteTimeout of these tests
	// soon is what a read may take that waits no longer than patience for Redis, on a busy machine. By itself go-redis waits for 3 s, several
	// times.
	soon = 2 * time.Second
)

// newImpatientPod is a pod whose reads wait for Redis no longer than patience a call.
func newImpatientPod(t *testing.T, addr string, src *source) pod {
	t.Helper()
	c := openCache(t, tier.Config{Redis: connect(t, addr), RemoteTimeout: patience})
	return pod{cache: c, Space: newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.CDC("feed"), Load: src.load})}
}

// answersFromSource checks that reads go to the source within the time that L2 may take, and a little.
func answersFromSource(t *testing.T, p pod, src *source) {
	t.Helper()
	for range 5 {
		v := src.write("k")
		began := time.Now()
		p.want(t, "k", v)
		if took := time.Since(began); took > soon {
			t.Errorf("answered after %s; want %s and a little", took, patience)
		}
	}
}

// After a few failures reads do not wait for Redis any more, and they come back to it soon after it is back.
func TestReadsLeaveAFailingRedisOut(t *testing.T) {
	server := servertest.StartRedis(t)
	src := &source{}
	const patience = time.Second // half of it is long for a read that does not wait, also on a busy machine
	p := newPodOf(t, server.Addr, src, tier.Config{RemoteTimeout: patience})
	server.Freeze()
	defer server.Thaw()
	eventually(t, "L1 is not trusted", func() bool { return !p.cache.Health(t.Context()).L1.Trusted })
	quick := 0
	for range 20 {
		began := time.Now()
		p.want(t, "k", 0)
		if time.Since(began) < patience/2 {
			quick++
		}
	}
	if quick < 10 {
		t.Errorf("%d of 20 reads did not wait for Redis; want most", quick)
	}
	server.Thaw()
	eventually(t, "a value is shared again", func() bool {
		p.want(t, "k", 0)
		return metric(t, p.cache, "tandem_hits_total") > 0
	})
}

// Once the pods are fresh again after an outage, loads are shared from the first read on.
func TestLoadsAreSharedAtOnceAfterAnOutage(t *testing.T) {
	server := servertest.StartRedis(t)
	const keys = 16
	var loads [keys]atomic.Int64
	var pods [2]*tier.Space[int]
	var caches [2]*tier.Cache
	for i := range pods {
		caches[i] = openCache(t, tier.Config{Redis: connect(t, server.Addr), RemoteTimeout: 10 * patience}) // or a busy machine shares no loads
		pods[i] = newSpace(t, caches[i], tier.SpaceConfig[int]{
			Name: "test:row", Strategy: tier.CDC("feed"),
			Load: func(_ context.Context, id string) (int, error) {
				if n, err := strconv.Atoi(id); err == nil {
					loads[n].Add(1)
				}
				time.Sleep(20 * time.Millisecond) // longer than the pods take to ask
				return 1, nil
			},
		})
	}
	server.Freeze()
	defer server.Thaw()
	for _, p := range pods {
		for i := range 5 {
			if _, err := p.Get(t.Context(), fmt.Sprintf("during the outage %d", i)); err != nil {
				t.Error(err)
			}
		}
	}
	for _, c := range caches {
		eventually(t, "the pod is not fresh", func() bool { return !c.Health(t.Context()).L1.Trusted })
	}
	server.Thaw()
	for _, c := range caches {
		eventually(t, "the pod is fresh", func() bool { return c.Health(t.Context()).L1.Trusted })
	}
	var readers sync.WaitGroup
	start := make(chan struct{})
	for _, p := range pods {
		for i := range keys {
			readers.Go(func() {
				<-start
				if _, err := p.Get(t.Context(), strconv.Itoa(i)); err != nil {
					t.Error(err)
				}
			})
		}
	}
	close(start)
	readers.Wait()
	for i := range loads {
		if n := loads[i].Load(); n != 1 {
			t.Errorf("key %d was loaded %d times; want once", i, n)
		}
	}
}

func TestRedisRefusesFromTheStart(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	_ = listener.Close()
	began := time.Now()
	src := &source{}
	p := newImpatientPod(t, addr, src)
	if took := time.Since(began); took > soon {
		t.Errorf("Open took %s", took)
	}
	answersFromSource(t, p, src)
	wantError(t, p.Invalidate(t.Context(), "k"), "test:row:k")
}

func TestRedisFrozenFromTheStart(t *testing.T) {
	server := servertest.StartRedis(t)
	server.Freeze()
	defer server.Thaw()
	src := &source{}
	p := newImpatientPod(t, server.Addr, src)
	answersFromSource(t, p, src)
	began := time.Now()
	wantError(t, p.Invalidate(t.Context(), "k"), "test:row:k")
	if took := time.Since(began); took > soon {
		t.Errorf("Invalidate failed after %s", took)
	}
}

func TestRedisDiesAndComesBack(t *testing.T) {
	server := servertest.StartRedis(t)
	src := &source{}
	p := newImpatientPod(t, server.Addr, src)
	p.want(t, "k", 0)
	server.Stop()
	eventually(t, "L1 is not trusted", func() bool { return !p.cache.Health(t.Context()).L1.Trusted })
	answersFromSource(t, p, src)
	server.Start()
	eventually(t, "L1 is trusted again", func() bool { return p.cache.Health(t.Context()).L1.Trusted })
	before := src.count("k")
	v := src.write("k")
	if err := p.Invalidate(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		p.want(t, "k", v)
	}
	if n := src.count("k") - before; n != 1 {
		t.Errorf("%d loads; want 1", n)
	}
}

// While Redis is frozen the pod finds out by itself; until then L1 may answer what it has, and misses go to the source.
func TestRedisFreezesAndThaws(t *testing.T) {
	server := servertest.StartRedis(t)
	src := &source{}
	p := newImpatientPod(t, server.Addr, src)
	p.want(t, "other", 0)
	server.Freeze()
	defer server.Thaw()
	began := time.Now()
	p.want(t, "k", 0)
	if took := time.Since(began); took > soon {
		t.Errorf("a miss took %s; want %s and a little", took, patience)
	}
	eventually(t, "L1 is not trusted", func() bool { return !p.cache.Health(t.Context()).L1.Trusted })
	answersFromSource(t, p, src)
	server.Thaw()
	eventually(t, "L1 is trusted again", func() bool { return p.cache.Health(t.Context()).L1.Trusted })
	v := src.write("k")
	eventually(t, "an invalidation is taken", func() bool { return p.Invalidate(t.Context(), "k") == nil })
	p.want(t, "k", v)
}

// A lost subscription costs L1 nothing: what was missed comes from the journal.
func TestLostSubscriptionKeepsL1(t *testing.T) {
	server := servertest.StartRedis(t)
	src := &source{}
	const maxStaleness = 6 * time.Second // b looks each 2 s, and a busy machine has 4 s more
	a, b := newPod(t, server.Addr, src), newPodOf(t, server.Addr, src, tier.Config{MaxStaleness: maxStaleness})
	heard(t, a, b)
	b.want(t, "k", 0)
	b.want(t, "other", 0)
	admin := connect(t, server.Addr)
	if err := admin.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err(); err != nil {
		t.Fatal(err)
	}
	v := src.write("k")
	if err := a.Invalidate(t.Context(), "k"); err != nil { // perhaps before b listens again
		t.Fatal(err)
	}
	acknowledged := time.Now()
	eventually(t, "b has heard", func() bool {
		got, err := b.Get(t.Context(), "k")
		return err == nil && got == v
	})
	if took := time.Since(acknowledged); took > maxStaleness {
		t.Errorf("b was stale for %s", took)
	}
	hits := metric(t, b.cache, "tandem_hits_total", "l1")
	b.want(t, "other", 0)
	if metric(t, b.cache, "tandem_hits_total", "l1") != hits+1 {
		t.Error("L1 has lost what was not invalidated")
	}
	if h := b.cache.Health(t.Context()); h.L1.Resyncs != 1 {
		t.Errorf("%d resyncs; want the first alone", h.L1.Resyncs)
	}
}

// What was stored before the journal was lost is not served: invalidations since may not have been heard.
func TestLostJournalFlushesL1(t *testing.T) {
	server := servertest.StartRedis(t)
	src := &source{}
	a, b := newPod(t, server.Addr, src), newPod(t, server.Addr, src)
	heard(t, a, b)
	b.want(t, "k", 0)
	admin := connect(t, server.Addr)
	if err := admin.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err(); err != nil {
		t.Fatal(err)
	}
	v := src.write("k")
	if err := a.Invalidate(t.Context(), "k"); err != nil { // before b listens again
		t.Fatal(err)
	}
	if err := admin.Del(t.Context(), "shop:{bus}:head", "shop:{bus}:journal").Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "b has started anew", func() bool {
		h := b.cache.Health(t.Context())
		return h.L1.Trusted && h.L1.Resyncs == 2
	})
	b.want(t, "k", v)
}

// An invalidation that a pod never heard is found in Redis's table when the pod reads L2.
func TestMissedInvalidationIsFoundInTheTable(t *testing.T) {
	inEachWay(t, func(t *testing.T, invalidate func(pod, context.Context, string) error) {
		server := servertest.StartRedis(t)
		src := &source{}
		a := newPod(t, server.Addr, src)
		a.want(t, "k", 0)
		client := connect(t, server.Addr)
		old := storedIn(t, client)
		v := src.write("k")
		if err := invalidate(a, t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		if err := client.Set(t.Context(), "shop:test:row:k", old, 0).Err(); err != nil { // as a slow fill would have
			t.Fatal(err)
		}
		late := newPod(t, server.Addr, src) // heard nothing of it
		if got, ok := late.Peek(t.Context(), "k"); ok && got != v {
			t.Errorf("a new pod found version %d in L2; want %d or nothing", got, v)
		}
		late.want(t, "k", v)
	})
}

func TestFlushedRedisIsMended(t *testing.T) {
	server := servertest.StartRedis(t)
	src := &source{}
	a := newPod(t, server.Addr, src)
	a.want(t, "k", 0)
	if err := connect(t, server.Addr).FlushAll(context.Background()).Err(); err != nil {
		t.Fatal(err)
	}
	late := newPod(t, server.Addr, src) // makes the table
	late.want(t, "k", 0)
	v := src.write("k")
	if err := late.Invalidate(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	heard(t, a, late)
	a.want(t, "k", v)
	late.want(t, "k", v)
	q := newPod(t, server.Addr, src)
	before := src.count("k")
	q.want(t, "k", v)
	if n := src.count("k") - before; n != 0 {
		t.Errorf("%d loads; want 0: L2 has a value that the mended table knows to be valid", n)
	}
}

// An invalidation that finds a bucket missing has it made, though nobody subscribes anew.
func TestMissingBucketIsMended(t *testing.T) {
	server := servertest.StartRedis(t)
	p := newPod(t, server.Addr, &source{})
	client := connect(t, server.Addr)
	buckets := client.Keys(t.Context(), "shop:{names:*}").Val()
	if len(buckets) != 32 {
		t.Fatalf("%d buckets; want 32", len(buckets))
	}
	client.Del(t.Context(), buckets...)
	if err := p.Invalidate(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the buckets are back", func() bool { return len(client.Keys(t.Context(), "shop:{names:*}").Val()) == 32 })
}

// A Peek whose caller has left says nothing of Redis: reads must not leave L2 out because of it.
func TestCancelledPeeksDoNotHideL2(t *testing.T) {
	server := servertest.StartRedis(t)
	src := &source{}
	a, b := newPod(t, server.Addr, src), newPod(t, server.Addr, src)
	b.want(t, "k", 0)
	storedIn(t, connect(t, server.Addr))
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 5 {
		a.Peek(gone, "other")
	}
	a.want(t, "k", 0)
	if n := src.count("k"); n != 1 {
		t.Errorf("%d loads; want 1: L2 has it", n)
	}
}

// A lease whose answer got lost, and a fill that failed, hold no other pod until the marker expires.
func TestLostAnswersHoldNobody(t *testing.T) {
	lease := func(cmds []redis.Cmder) bool {
		return have(cmds, "eval", "shop:test:row:k") && have(cmds, "hget", "{tick}")
	}
	fill := func(cmds []redis.Cmder) bool {
		return have(cmds, "eval", "shop:test:row:k") && !have(cmds, "hget", "{tick}")
	}
	for name, mine := range map[string]func([]redis.Cmder) bool{"the lease's": lease, "the fill's": fill} {
		t.Run(name, func(t *testing.T) {
			addr := servertest.StartRedis(t).Addr
			src := &source{}
			var lost atomic.Bool
			hook := &watch{}
			if name == "the lease's" {
				hook.after = func(cmds []redis.Cmder) {
					if mine(cmds) && lost.CompareAndSwap(false, true) {
						for _, cmd := range cmds {
							cmd.SetErr(context.DeadlineExceeded)
						}
					}
				}
			} else {
				hook.before = func(cmds []redis.Cmder) error {
					if mine(cmds) && lost.CompareAndSwap(false, true) {
						return context.DeadlineExceeded
					}
					return nil
				}
			}
			a, b := newPodWith(t, addr, src, hook), newPod(t, addr, src)
			if _, err := a.Get(t.Context(), "warm"); err != nil { // the scripts are known from here on
				t.Fatal(err)
			}
			a.want(t, "k", 0)
			eventually(t, "the answer is lost", lost.Load)
			began := time.Now()
			eventually(t, "the lease is given back, and nothing is filled: the counter was not read", func() bool {
				return connect(t, addr).Exists(t.Context(), "shop:test:row:k").Val() == 0
			})
			b.want(t, "k", 0)
			if took := time.Since(began); took > 2500*time.Millisecond { // a marker lives for three
				t.Errorf("another pod waited for nobody, %s", took)
			}
		})
	}
}

// A counter that was lost is made anew by a pod that has heard little: above what others have heard, or their values would outlive
// the invalidations to come.
func TestCounterMadeAnewIsAboveWhatPodsHaveHeard(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	client, src := connect(t, addr), &source{}
	a := newPod(t, addr, src)
	for i := range 2 { // two restarts that kept the data: the counter runs hours ahead
		client.HSet(t.Context(), "shop:{tick}", "run", fmt.Sprint("another", i))
		if err := a.Invalidate(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
	}
	client.FlushAll(t.Context())
	b := newPod(t, addr, src)
	a.want(t, "early", 0) // before a has noticed
	early := src.write("early")
	if err := b.cache.InvalidateTag(t.Context(), "row", "early"); err != nil {
		t.Fatal(err)
	}
	heard(t, a, b)
	a.want(t, "k", 0)
	b.want(t, "k", 0)
	v := src.write("k")
	if err := b.cache.InvalidateTag(t.Context(), "row", "k"); err != nil {
		t.Fatal(err)
	}
	heard(t, a, b)
	for i, p := range []pod{a, b, newPod(t, addr, src)} {
		p.want(t, "k", v)
		p.want(t, "early", early)
		if t.Failed() {
			t.Fatalf("pod %d", i)
		}
	}
}

// A pod that took a value from L2 knows of its tick: the invalidation that it makes itself is above, though the counter was lost.
func TestTickOfAValueFromL2IsHeard(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	client, src := connect(t, addr), &source{}
	a, b := newPod(t, addr, src), newPod(t, addr, src)
	client.HIncrBy(t.Context(), "shop:{tick}", "last", (10 * time.Hour).Microseconds()) // some restarts, of which b has not heard
	a.want(t, "k", 0)
	eventually(t, "L2 is filled", func() bool { _, ok := b.Peek(t.Context(), "k"); return ok })
	b.want(t, "k", 0)
	client.Del(t.Context(), "shop:{tick}")
	v := src.write("k")
	if err := b.Invalidate(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	b.want(t, "k", v)
}
