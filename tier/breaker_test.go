package tier_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/tier"
)

const ms = time.Millisecond

// Reads that were under way together have seen one failure.
func TestFailuresOfOneStallCountOnce(t *testing.T) {
	var b tier.Breaker
	for i := range time.Duration(1000) {
		b.Failed(i*ms/10, i*ms/10+100*ms) // those of 0 to 100 ms began before the first had failed
	}
	b.Failed(100*ms, 200*ms)
	if b.Open() {
		t.Error("open: no failure began after two others")
	}
	b.Failed(200*ms, 300*ms)
	if !b.Open() {
		t.Error("closed after three failures, each of which began after the one before")
	}
}

func TestAnswerEndsTheCount(t *testing.T) {
	var b tier.Breaker
	b.Failed(0, 100*ms)
	b.Failed(100*ms, 200*ms)
	b.Answered(250 * ms)
	b.Failed(210*ms, 310*ms)
	b.Failed(211*ms, 311*ms)
	b.Failed(260*ms, 360*ms)
	b.Failed(360*ms, 460*ms)
	if b.Open() {
		t.Error("open after two failures since the last answer")
	}
	b.Failed(460*ms, 560*ms)
	if !b.Open() {
		t.Error("closed after three failures since the last answer")
	}
	b.Answered(561 * ms)
	if b.Open() {
		t.Error("open after an answer")
	}
}

// The pauses between probes grow, also where each probe is answered and nothing else; they begin anew when Redis has been well for a while.
func TestPausesGrow(t *testing.T) {
	var b tier.Breaker
	now := time.Duration(0)
	open := func() {
		for !b.Open() {
			b.Failed(now, now+100*ms)
			now += 100 * ms
		}
	}
	want := func(pauses ...time.Duration) {
		t.Helper()
		for _, p := range pauses {
			if got := b.Pause(); got != p {
				t.Errorf("a pause of %s; want %s", got, p)
			}
			now += p
		}
	}
	open()
	want(50*ms, 100*ms, 200*ms)
	b.Answered(now)
	open()
	want(400*ms, 800*ms, time.Second, time.Second)
	b.Answered(now)
	now += 10 * time.Second
	open()
	want(50*ms, 100*ms)
}

// A stall of half a breaker's time is one: L2 is used, and filled, right after it.
func TestShortStallDoesNotOpenTheBreaker(t *testing.T) {
	server := servertest.StartRedis(t)
	src := &source{}
	p := newImpatientPod(t, server.Addr, src)
	for round := range 10 {
		var readers sync.WaitGroup
		began := time.Now()
		server.Freeze()
		for i := range 500 {
			readers.Go(func() { p.want(t, fmt.Sprint("cold ", round, " ", i), 0) })
		}
		time.Sleep(150*ms - time.Since(began)) // the stall
		server.Thaw()
		stalled := time.Since(began)
		readers.Wait()
		if opened := metric(t, p.cache, "tandem_l2_left_out_total"); opened != 0 {
			if stalled > 200*ms { // a machine that stalls, too
				t.Skipf("the server was stopped for %s", stalled)
			}
			t.Errorf("a stall of %s has opened the breaker %v times", stalled, opened)
		}
	}
}

// While Redis refuses connections no read asks it: a prober does.
func TestReadsDoNotProbe(t *testing.T) {
	server := servertest.StartRedis(t)
	src := &source{}
	p := newImpatientPod(t, server.Addr, src)
	server.Stop()
	eventually(t, "L2 is left out", func() bool {
		p.want(t, "k", 0)
		return metric(t, p.cache, "tandem_l2_left_out") == 1
	})
	asked, probed := metric(t, p.cache, "tandem_remote_seconds", "get"), metric(t, p.cache, "tandem_remote_seconds", "probe")
	skipped := metric(t, p.cache, "tandem_l2_skipped_total", "left_out")
	reads := 0.0
	for began := time.Now(); time.Since(began) < 3*time.Second; time.Sleep(10 * ms) { // a calm pod: each read is alone
		p.want(t, "k", 0)
		reads++
	}
	if n := metric(t, p.cache, "tandem_remote_seconds", "get") - asked; n != 0 {
		t.Errorf("%v of %v reads have asked Redis; want none", n, reads)
	}
	if n := metric(t, p.cache, "tandem_l2_skipped_total", "left_out") - skipped; n != reads {
		t.Errorf("%v reads are counted as leaving L2 out; want %v", n, reads)
	}
	if n := metric(t, p.cache, "tandem_remote_seconds", "probe") - probed; n < 1 || n > 20 {
		t.Errorf("%v probes in 3 s; want some, and few", n)
	}
	server.Start()
	eventually(t, "L2 is used again, without a read that asks for it", func() bool { return metric(t, p.cache, "tandem_l2_left_out") == 0 })
}

// Whatever Redis answers, to anybody, closes the breaker.
func TestAnyAnswerClosesTheBreaker(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	hook := &watch{before: func(cmds []redis.Cmder) error {
		if cmds[0].Name() == "get" {
			return errors.New("no GETs today") // to probes neither
		}
		return nil
	}}
	client := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true})
	client.AddHook(hook)
	t.Cleanup(func() { _ = client.Close() })
	src := &source{}
	c := openCache(t, tier.Config{Redis: client, RemoteTimeout: 2 * time.Second, MaxStaleness: time.Hour}) // the bus is quiet
	p := pod{cache: c, Space: newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.CDC("feed"), Load: src.load})}
	reads := 0
	eventually(t, "L2 is left out", func() bool { // other calls than GETs are answered, and close it
		p.want(t, fmt.Sprint("k", reads), 0)
		reads++
		return metric(t, c, "tandem_l2_left_out") == 1
	})
	if err := p.Invalidate(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	if metric(t, c, "tandem_l2_left_out") != 0 {
		t.Error("L2 is left out after an invalidation that Redis took")
	}
}

// Health and the log name what the kernel said, not that a time was over; the log has one line for the beginning and one for the end.
func TestRefusedRedisIsNamed(t *testing.T) {
	server := servertest.StartRedis(t)
	var log syncBuffer
	cfg := tier.Config{Name: "shop", Redis: connect(t, server.Addr), RemoteTimeout: patience, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	c, err := tier.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(context.Background()) }()
	src := &source{}
	p := pod{cache: c, Space: newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.CDC("feed"), Load: src.load})}
	server.Stop()
	eventually(t, "L2 is left out", func() bool {
		p.want(t, "k", 0)
		return metric(t, p.cache, "tandem_l2_left_out") == 1
	})
	eventually(t, "health names the cause of both", func() bool {
		h := p.cache.Health(t.Context())
		all := strings.Join(h.Problems, "\n")
		return strings.Contains(h.Redis.Error, "connection refused") && strings.Contains(h.Redis.LeftOutBecause, "connection refused") &&
			strings.Contains(all, "Redis does not answer: ") && strings.Contains(all, "L2 is left out since ")
	})
	eventually(t, "the log says so", func() bool { return strings.Contains(log.String(), "tier: L2 is left out") })
	for range 100 {
		p.want(t, "k", 0)
	}
	server.Start()
	eventually(t, "the log says that it is over", func() bool { return strings.Contains(log.String(), "tier: L2 is back") })
	for _, want := range []string{"tier: L2 is left out", "tier: L2 is back", "connection refused"} {
		line := ""
		for l := range strings.Lines(log.String()) {
			if strings.Contains(l, "tier: L2") && strings.Contains(l, want) {
				line += l
			}
		}
		if strings.Count(line, "\n") != 1 {
			t.Errorf("the lines with %q:\n%swant one", want, line)
		}
	}
	if h := p.cache.Health(t.Context()); h.Redis.LeftOut || h.Redis.LeftOutBecause != "" {
		t.Errorf("health after the outage: %+v", h.Redis)
	}
}

// A read that waits until the application gives a connection back is answered by L2, and nobody takes Redis for dead. The application may
// keep them for so long that the read goes to the source.
func TestWaitForAConnectionIsNoFailure(t *testing.T) {
	for name, honours := range map[string]bool{"with ContextTimeoutEnabled": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			server := servertest.StartRedis(t)
			src := &source{}
			fillL2(t, connect(t, server.Addr), src, []string{"k", "l"})
			client := redis.NewClient(&redis.Options{Addr: server.Addr, PoolSize: 3, ContextTimeoutEnabled: honours})
			t.Cleanup(func() { _ = client.Close() })
			c := openCache(t, tier.Config{Redis: client, RemoteTimeout: patience})
			p := pod{cache: c, Space: newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.CDC("feed"), Load: src.load})}
			give := holdConnections(t, server, client)
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				p.want(t, "k", 0)
			}()
			time.Sleep(3 * patience) // a wait that would be three failures
			give()
			<-answered
			if n := metric(t, c, "tandem_loads_total"); n != 0 {
				t.Error("the read that had waited for a connection has loaded; want L2's value")
			}
			give = holdConnections(t, server, client)
			p.want(t, "l", 0)
			if n := metric(t, c, "tandem_l2_skipped_total", "line"); n != 1 {
				t.Errorf("%v reads have waited in vain; want 1", n)
			}
			give()
			if n := metric(t, c, "tandem_l2_left_out_total"); n != 0 {
				t.Error("the wait has opened the breaker")
			}
		})
	}
}

// holdConnections has an application use all connections of a client until give is called.
func holdConnections(t *testing.T, server *servertest.Redis, client *redis.Client) (give func()) {
	t.Helper()
	own := connect(t, server.Addr)
	var app sync.WaitGroup
	for range client.Options().PoolSize {
		app.Go(func() { client.BLPop(context.Background(), 20*time.Second, "jobs") })
	}
	eventually(t, "the application has all connections", func() bool {
		clients, err := own.Info(t.Context(), "clients").Result()
		return err == nil && strings.Contains(clients, fmt.Sprintf("blocked_clients:%d\r\n", client.Options().PoolSize))
	})
	return func() {
		for range client.Options().PoolSize {
			own.RPush(context.Background(), "jobs", "over")
		}
		app.Wait()
	}
}
