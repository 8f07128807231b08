package tier_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/tier"
)

// fillL2 loads ids through pods that end, and returns when L2 has them all. A slow machine may lose some leases of a pod: the next one loads them.
func fillL2(t *testing.T, client *redis.Client, src *source, ids []string) {
	t.Helper()
	for left := 10; fillOnce(t, client, src, ids) < len(ids); left-- {
		if left == 0 {
			t.Fatal("L2 does not take all values")
		}
	}
}

// fillOnce returns how many values L2 has after one pod.
func fillOnce(t *testing.T, client *redis.Client, src *source, ids []string) int {
	t.Helper()
	c := openCache(t, tier.Config{Redis: client, RemoteTimeout: 10 * time.Second})
	space := newSpace(t, c, tier.SpaceConfig[int]{
		Name: "test:row", Strategy: tier.CDC("feed"),
		LoadMany: func(ctx context.Context, b *tier.Batch[int]) error {
			for _, id := range b.IDs() {
				v, _ := src.load(b.For(ctx, id), id)
				b.Set(id, v)
			}
			return nil
		},
	})
	for some := range slices.Chunk(ids, 256) {
		for _, r := range space.GetMany(t.Context(), some) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
	}
	eventually(t, "the flights have landed", func() bool { return metric(t, c, "tandem_flights") == 0 })
	if err := space.Invalidate(t.Context(), "none of them"); err != nil { // a pod that starts after this can't judge the values
		t.Fatal(err)
	}
	if err := c.Close(t.Context()); err != nil { // waits for fills
		t.Fatal(err)
	}
	n, err := client.DBSize(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	others, err := client.Keys(t.Context(), "*{*").Result() // the counter, the table, the journal, the index
	if err != nil {
		t.Fatal(err)
	}
	return int(n) - len(others)
}

// Many callers in one pod are answered by L2, each of them: those that wait for their turn do not take Redis for dead. Redis has to judge the
// values: the pod has not heard what was invalidated before it started.
func TestManyReadersAreAnsweredByL2(t *testing.T) {
	for callers, honours := range map[int]bool{2000: true, 8000: false} { // the contexts of calls
		t.Run(fmt.Sprint(callers), func(t *testing.T) {
			server := servertest.StartRedis(t)
			src := &source{}
			ids := make([]string, callers)
			for i := range ids {
				ids[i] = fmt.Sprint("k", i)
			}
			fillL2(t, connect(t, server.Addr), src, ids)
			client := redis.NewClient(&redis.Options{Addr: server.Addr, ContextTimeoutEnabled: honours})
			t.Cleanup(func() { _ = client.Close() })
			for slow := true; slow; {
				slow = readAllFromL2(t, server.Addr, client, src, ids)
			}
		})
	}
}

// readAllFromL2 reads ids in a new pod, all together. It returns true if the round says nothing: Redis has let somebody else wait for half of the
// RemoteTimeout, too.
func readAllFromL2(t *testing.T, addr string, client *redis.Client, src *source, ids []string) (slow bool) {
	t.Helper()
	c := openCache(t, tier.Config{Redis: client}) // with the default RemoteTimeout
	defer func() { _ = c.Close(context.Background()) }()
	p := pod{cache: c, Space: newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.CDC("feed"), Load: src.load})}
	worst := watchLatency(t, addr)
	var readers sync.WaitGroup
	start := make(chan struct{})
	for _, id := range ids {
		readers.Go(func() {
			<-start
			p.want(t, id, 0)
		})
	}
	began := time.Now()
	close(start)
	readers.Wait()
	took, lag := time.Since(began), worst()
	loads := metric(t, c, "tandem_loads_total")
	t.Logf("%s; %v loads; GETs went in %v calls, judgements in %v; the worst ping %s", took, loads,
		metric(t, c, "tandem_remote_seconds", "get"), metric(t, c, "tandem_remote_seconds", "judge"), lag)
	switch {
	case loads == 0:
	case lag > tier.DefaultRemoteTimeout/2 && loads < 1100: // the calls that were under way: two of 512, and some of one
		return true
	default:
		t.Errorf("%v loads by %d readers; want 0: L2 has all", loads, len(ids))
	}
	if n := metric(t, c, "tandem_remote_seconds", "judge"); n == 0 {
		t.Error("Redis has judged nothing: the test reads less than it should")
	}
	if n := metric(t, c, "tandem_l2_line"); n != 0 {
		t.Errorf("%v reads are in the line at the end", n)
	}
	return false
}

// watchLatency pings Redis on a connection of its own until worst is called.
func watchLatency(t *testing.T, addr string) (worst func() time.Duration) {
	t.Helper()
	client := connect(t, addr)
	client.Ping(t.Context())
	ctx, stop := context.WithCancel(t.Context())
	most := make(chan time.Duration, 1)
	go func() {
		top := time.Duration(0)
		for ctx.Err() == nil {
			began := time.Now()
			client.Ping(context.WithoutCancel(ctx))
			top = max(top, time.Since(began))
			time.Sleep(time.Millisecond)
		}
		most <- top
	}()
	return func() time.Duration {
		stop()
		return <-most
	}
}

// Readers beyond half of the connections share calls, in bursts that follow each other: each has its value, and nobody is left in the line.
func TestReadersShareCalls(t *testing.T) {
	burst(t, 1)
}

func TestLineGoesOnAfterARest(t *testing.T) {
	burst(t, 4)
}

// burst has many readers ask L2 while it does not answer, several times.
func burst(t *testing.T, times int) {
	const readers, connections = 400, 8
	addr := servertest.StartRedis(t).Addr
	src := &source{}
	ids := make([]string, readers*times)
	for i := range ids {
		ids[i] = fmt.Sprint("k", i)
	}
	fillL2(t, connect(t, addr), src, ids)
	var calls atomic.Int64
	gate := make(chan struct{})
	hook := &watch{before: func(cmds []redis.Cmder) error {
		if cmds[0].Name() == "get" {
			calls.Add(1)
			<-gate
		}
		return nil
	}}
	client := redis.NewClient(&redis.Options{Addr: addr, PoolSize: connections, ContextTimeoutEnabled: true})
	client.AddHook(hook)
	t.Cleanup(func() { _ = client.Close() })
	c := openCache(t, tier.Config{Redis: client, RemoteTimeout: 20 * time.Second})
	p := pod{cache: c, Space: newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.CDC("feed"), Load: src.load})}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	for round := range times {
		calls.Store(0)
		var group sync.WaitGroup
		for _, id := range ids[round*readers : (round+1)*readers] {
			group.Go(func() {
				if _, err := p.Get(ctx, id); err != nil {
					t.Error(err)
				}
			})
		}
		eventually(t, "all readers ask or wait", func() bool { // the two senders have taken some
			return calls.Load() >= connections/2+2 && metric(t, c, "tandem_flights") == readers
		})
		close(gate)
		group.Wait()
		if n := calls.Load(); n > readers/4 {
			t.Errorf("%d readers have made %d calls; want some", readers, n)
		}
		eventually(t, "the flights are over", func() bool { return metric(t, c, "tandem_flights") == 0 })
		gate = make(chan struct{})
	}
	if n := metric(t, c, "tandem_loads_total"); n != 0 {
		t.Errorf("%v loads; want 0: L2 has all", n)
	}
	if n := metric(t, c, "tandem_l2_line"); n != 0 {
		t.Errorf("%v readers are in the line at the end", n)
	}
}
