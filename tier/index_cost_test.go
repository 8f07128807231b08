package tier_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/remote"
	"github.com/tandem-cache/tandem/tier"
)

// populate gives Redis count entries that depend on row id, as if they had been loaded one by one.
func populate(tb testing.TB, client *redis.Client, id string, tick uint64, count int) {
	tb.Helper()
	names := []remote.Name{{Text: tier.Tag("row", id), Tick: tick}, {Text: tier.Entity("row"), Tick: tick}}
	value, err := (&remote.Envelope{Tick: tick, Codec: remote.MsgPack{}.Name(), Names: names, Payload: []byte{0}}).AppendTo(nil)
	if err != nil {
		tb.Fatal(err)
	}
	const few = 2000 // in a script's run
	for from := 0; from < count; from += few {
		err := client.Eval(tb.Context(), `
			for i = ARGV[2], ARGV[3] - 1 do
				local entry = 'test:row:' .. ARGV[5] .. '-' .. i
				redis.call('SET', 'shop:' .. entry, ARGV[1])
				redis.call('ZADD', KEYS[1], ARGV[4], entry)
			end`, []string{"shop:{tag:row:" + id + "}"}, value, from, min(from+few, count), tick, id).Err()
		if err != nil && !errors.Is(err, redis.Nil) {
			tb.Fatal(err)
		}
	}
}

const many = 100_000 // dependents

// prepare gives Redis an object with one dependent and one with many.
func prepare(tb testing.TB, client *redis.Client, round int) (few, lots string) {
	tb.Helper()
	tick, err := client.HGet(tb.Context(), "shop:{tick}", "last").Uint64()
	if err != nil {
		tb.Fatal(err)
	}
	few, lots = fmt.Sprintf("few%d", round), fmt.Sprintf("many%d", round)
	populate(tb, client, few, tick, 1)
	populate(tb, client, lots, tick, many)
	return few, lots
}

// invalidate returns how long the invalidation of row id took, and how long it was until its index was empty.
func invalidate(tb testing.TB, c *tier.Cache, client *redis.Client, id string) (took, gone time.Duration) {
	tb.Helper()
	must := func(err error) {
		if err != nil {
			tb.Fatal(err)
		}
	}
	for range 20 { // a warm connection, for both
		must(c.InvalidateTag(tb.Context(), "row", "none"))
	}
	began := time.Now()
	must(c.InvalidateTag(tb.Context(), "row", id))
	took = time.Since(began)
	for {
		left, err := client.Exists(tb.Context(), "shop:{tag:row:"+id+"}").Result()
		must(err)
		gone = time.Since(began)
		switch {
		case left == 0:
			return took, gone
		case gone > 30*time.Second:
			tb.Fatalf("some dependents are still there after %s", gone)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func median(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[len(d)/2]
}

// 100,000 dependents cost an invalidation no more than one does, and are all gone from Redis some seconds later. Were they deleted before
// the acknowledgement, they would cost it 100 ms and more.
func TestManyDependentsCostTheInvalidationNothing(t *testing.T) {
	client := connect(t, servertest.StartRedis(t).Addr)
	c := openCache(t, tier.Config{Redis: client, RemoteTimeout: 2 * time.Second})
	var few, lots []time.Duration
	for round := range 3 {
		one, all := prepare(t, client, round)
		took, _ := invalidate(t, c, client, one)
		few = append(few, took)
		took, _ = invalidate(t, c, client, all)
		lots = append(lots, took)
		eventually(t, "the last of them are gone", func() bool { return len(client.Keys(t.Context(), "shop:test:row:*").Val()) == 0 })
	}
	if few, lots := slices.Min(few), slices.Min(lots); lots > 5*few+20*time.Millisecond {
		t.Errorf("an invalidation took %s with one dependent, %s with 100,000", few, lots)
	}
	eventually(t, "all 300,003 are counted", func() bool { return metric(t, c, "tandem_swept_total") == 3*(many+1) })
}

// What the test above bounds, as figures, and what a sweep costs other clients of Redis:
//
//	go test ./tier -run '^$' -bench InvalidateTag -benchtime 20x
func BenchmarkInvalidateTag(b *testing.B) {
	addr := servertest.StartRedis(b).Addr
	client, other := redis.NewClient(&redis.Options{Addr: addr}), redis.NewClient(&redis.Options{Addr: addr})
	defer func() { _, _ = client.Close(), other.Close() }()
	c, err := tier.Open(b.Context(), tier.Config{Name: "shop", Redis: client, RemoteTimeout: 2 * time.Second, Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = c.Close(context.Background()) }()
	var few, lots, sweeps, idle, busy []time.Duration
	for round := 0; b.Loop(); round++ {
		one, all := prepare(b, client, round)
		idle = append(idle, p99(b, other, func() {
			took, _ := invalidate(b, c, client, one)
			few = append(few, took)
			time.Sleep(time.Second)
		}))
		busy = append(busy, p99(b, other, func() {
			took, gone := invalidate(b, c, client, all)
			lots, sweeps = append(lots, took), append(sweeps, gone)
		}))
	}
	b.ReportMetric(0, "ns/op") // of the whole round, which says nothing
	for unit, d := range map[string][]time.Duration{
		"µs-with-1": few, "µs-with-100k": lots, "µs-sweep": sweeps, "µs-GET-p99-idle": idle, "µs-GET-p99-sweep": busy,
	} {
		b.ReportMetric(float64(median(d).Microseconds()), unit)
	}
}

// p99 is how slow one in a hundred of another client's reads was while run ran.
func p99(tb testing.TB, client *redis.Client, run func()) time.Duration {
	var stop atomic.Bool
	var took []time.Duration
	var wg sync.WaitGroup
	wg.Go(func() {
		for !stop.Load() {
			began := time.Now()
			_ = client.Get(tb.Context(), "shop:nothing").Err()
			took = append(took, time.Since(began))
			time.Sleep(200 * time.Microsecond)
		}
	})
	run()
	stop.Store(true)
	wg.Wait()
	slices.Sort(took)
	return took[len(took)*99/100]
}
