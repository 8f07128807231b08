package bus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/tandem-cache/tandem/bus"
	"github.com/tandem-cache/tandem/internal/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder notes what a bus tells it, in order.
type recorder struct {
	mu     sync.Mutex // guards the fields below
	events []string
	fail   error // of the next Resync
	fresh  time.Time
	proofs int // calls of Fresh
	more   chan struct{}
}

func newRecorder() *recorder { return &recorder{more: make(chan struct{}, 1)} }

func (r *recorder) note(event string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, event)
	select {
	case r.more <- struct{}{}:
	default:
	}
}

func (r *recorder) Resync(context.Context) error {
	r.note("resync")
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.fail
	r.fail = nil
	return err
}

func (r *recorder) Handle(m bus.Message) error {
	if m.Origin == "another version" {
		return errors.New("not understood")
	}
	r.note(fmt.Sprint(m.Names, m.Tick))
	return nil
}

func (r *recorder) Fresh(asOf time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fresh = asOf
	r.proofs++
}

func (r *recorder) Stalled() { r.note("stalled") }

// awaitFresh waits for a proof that everything before now was heard.
func (r *recorder) awaitFresh(t *testing.T) {
	t.Helper()
	now := time.Now()
	eventually(t, "fresh", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.fresh.After(now)
	})
}

// patience is for what must happen. A machine may be busy with other work: that which does happen costs no more for it.
const patience = time.Minute

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not %s after %s", what, patience)
		}
	}
}

// await waits until the events end with want.
func (r *recorder) await(t *testing.T, want ...string) {
	t.Helper()
	deadline := time.After(patience)
	for {
		r.mu.Lock()
		events := append([]string(nil), r.events...)
		r.mu.Unlock()
		if len(events) >= len(want) && fmt.Sprint(events[len(events)-len(want):]) == fmt.Sprint(want) {
			return
		}
		select {
		case <-r.more:
		case <-deadline:
			t.Fatalf("got %v; want it to end with %v", events, want)
		}
	}
}

func (r *recorder) count(event string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e == event {
			n++
		}
	}
	return n
}

// connect returns a client whose calls end with their context, as those of a cache do.
func connect(t *testing.T, addr string) *redis.Client {
	t.Helper()
	client := redis.NewClient(options(addr))
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func options(addr string) *redis.Options {
	return &redis.Options{
		Addr: addr, DialTimeout: patience, ReadTimeout: patience, WriteTimeout: patience, PoolTimeout: patience,
		MaxRetries: -1, ContextTimeoutEnabled: true,
	}
}

func open(t *testing.T, addr string) (*bus.Bus, *recorder) {
	t.Helper()
	r := newRecorder()
	opts := options(addr)
	opts.Username, opts.Password = servertest.User() // see TestRunsUnderTheSmallestACL
	client := redis.NewClient(opts)
	t.Cleanup(func() { _ = client.Close() })
	return openFor(t, client, r), r
}

func config(client redis.UniversalClient, h bus.Handler) bus.Config {
	return bus.Config{Client: client, Name: "shop", Handler: h, MaxStaleness: maxStaleness, Logger: slog.New(slog.DiscardHandler)}
}

// maxStaleness is that of the tests: a look at the journal each 200 ms. A look that takes longer is given up and made again, so that only
// tests of what a look proves, or brings, need another.
const maxStaleness = 600 * time.Millisecond

// lenient is for tests that hold the bus to its MaxStaleness, or slow it: it looks each 2 s, and a busy machine has 4 s more.
const lenient = 6 * time.Second

// openLenient returns a bus whose MaxStaleness is lenient.
func openLenient(t *testing.T, client redis.UniversalClient, h bus.Handler) *bus.Bus {
	t.Helper()
	cfg := config(client, h)
	cfg.MaxStaleness = lenient
	return openWith(t, cfg)
}

func openFor(t *testing.T, client redis.UniversalClient, h bus.Handler) *bus.Bus {
	t.Helper()
	return openWith(t, config(client, h))
}

func openWith(t *testing.T, cfg bus.Config) *bus.Bus {
	t.Helper()
	b := bus.Open(cfg)
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return b
}

func publish(t *testing.T, b *bus.Bus, tick uint64) {
	t.Helper()
	if err := b.Publish(t.Context(), bus.Message{Kind: bus.Invalidate, Tick: tick, Names: []string{"k"}}); err != nil {
		t.Fatal(err)
	}
}

func onEach(t *testing.T, test func(t *testing.T, addr string)) {
	t.Run("redis", func(t *testing.T) { test(t, servertest.StartRedis(t).Addr) })
	t.Run("miniredis", func(t *testing.T) { test(t, miniredis.RunT(t).Addr()) })
}

func TestMessagesArriveInOrder(t *testing.T) {
	onEach(t, func(t *testing.T, addr string) {
		a, ra := open(t, addr)
		_, rb := open(t, addr)
		ra.await(t, "resync")
		rb.await(t, "resync")
		for tick := range uint64(50) {
			publish(t, a, tick+1)
		}
		for _, r := range []*recorder{ra, rb} {
			r.await(t, "[k] 47", "[k] 48", "[k] 49", "[k] 50")
			if n := r.count("resync"); n != 1 {
				t.Errorf("%d resyncs; want 1, at the subscription", n)
			}
		}
		if err := a.Notify(t.Context(), bus.Message{Kind: bus.Filled, Names: []string{"x"}}); err != nil {
			t.Fatal(err)
		}
		rb.await(t, "[k] 50", "[x] 0")
	})
}

func TestJournalAndHead(t *testing.T) {
	onEach(t, func(t *testing.T, addr string) {
		b, r := open(t, addr)
		r.await(t, "resync")
		publish(t, b, 7)
		publish(t, b, 8)
		client := connect(t, addr)
		head := client.HGetAll(t.Context(), "shop:{bus}:head").Val()
		if head["n"] != "2" || len(head["lineage"]) != 16 {
			t.Errorf("head: got %v; want n 2 and a lineage of 16 digits", head)
		}
		journal := client.XRange(t.Context(), "shop:{bus}:journal", "-", "+").Val()
		if len(journal) != 2 || !strings.HasPrefix(journal[0].ID, "1-") || !strings.HasPrefix(journal[1].ID, "2-") || journal[0].Values["p"] == "" {
			t.Errorf("journal: got %v; want the messages 1 and 2", journal)
		}
	})
}

func TestNewLineageIsTold(t *testing.T) {
	onEach(t, func(t *testing.T, addr string) {
		b, r := open(t, addr)
		r.await(t, "resync")
		publish(t, b, 1)
		publish(t, b, 2)
		r.await(t, "[k] 2")
		if err := connect(t, addr).Del(t.Context(), "shop:{bus}:head").Err(); err != nil { // lost with some messages
			t.Fatal(err)
		}
		publish(t, b, 3) // number 1 of another lineage, made good by the resync
		r.await(t, "[k] 2", "resync")
		publish(t, b, 4)
		r.await(t, "resync", "[k] 4")
	})
}

// What is no message of ours, on our channel, changes nothing: had it been numbered, the journal would have it.
func TestStrangeBytesAreIgnored(t *testing.T) {
	onEach(t, func(t *testing.T, addr string) {
		b, r := open(t, addr)
		r.await(t, "resync")
		for _, raw := range []string{"X9 from another age", "N1\xc1", "J1", "J10123456789abcdefx "} {
			if err := connect(t, addr).Publish(t.Context(), "shop:{bus}", raw).Err(); err != nil {
				t.Fatal(err)
			}
		}
		publish(t, b, 1)
		r.await(t, "resync", "[k] 1")
	})
}

// A numbered message that its receiver does not understand, or cannot read, is made good by a resync; a notice of the sort is
// nothing.
func TestMessageNotUnderstoodIsAGap(t *testing.T) {
	onEach(t, func(t *testing.T, addr string) {
		b, r := open(t, addr)
		r.await(t, "resync")
		odd := bus.Message{Kind: bus.Invalidate, Origin: "another version"}
		if err := b.Notify(t.Context(), odd); err != nil {
			t.Fatal(err)
		}
		publish(t, b, 1)
		r.await(t, "resync", "[k] 1")
		if err := b.Publish(t.Context(), odd); err != nil {
			t.Fatal(err)
		}
		r.await(t, "[k] 1", "resync")
		publish(t, b, 2)
		r.await(t, "resync", "[k] 2")
		appendUnheard(t, connect(t, addr), []byte("\xc1"))
		r.await(t, "[k] 2", "resync")
	})
}

func TestCutConnectionIsRenewed(t *testing.T) {
	server := servertest.StartRedis(t)
	b, r := open(t, server.Addr)
	r.await(t, "resync")
	publish(t, b, 1)
	r.await(t, "[k] 1")
	eventually(t, "subscribed", func() bool { return b.Stats().Subscriptions == 1 })
	admin := connect(t, server.Addr)
	if err := admin.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err(); err != nil {
		t.Fatal(err)
	}
	publish(t, b, 2)
	r.await(t, "resync", "[k] 1", "[k] 2")
	eventually(t, "subscribed anew", func() bool { return b.Stats().Subscriptions == 2 })
}

func TestRestartedServerIsTold(t *testing.T) {
	server := servertest.StartRedis(t)
	b, r := open(t, server.Addr)
	r.await(t, "resync")
	server.Stop()
	if err := b.Publish(t.Context(), bus.Message{Kind: bus.Invalidate}); err == nil {
		t.Error("published to a server that is down")
	}
	server.Start()
	r.await(t, "resync", "resync")
	publish(t, b, 1)
	r.await(t, "[k] 1")
}

// A frozen server keeps its connections open and says nothing: nothing is proven meanwhile, and the subscription is given up.
func TestFrozenServerProvesNothing(t *testing.T) {
	server := servertest.StartRedis(t)
	b, r := open(t, server.Addr)
	r.await(t, "resync")
	server.Freeze()
	frozen := time.Now()
	eventually(t, "given up", func() bool { return b.Stats().FailedProbes > 2 })
	r.mu.Lock()
	fresh := r.fresh
	r.mu.Unlock()
	server.Thaw()
	if fresh.After(frozen) {
		t.Errorf("fresh as of %s after the server froze", fresh.Sub(frozen))
	}
	r.awaitFresh(t)
	publish(t, b, 1)
	r.await(t, "resync", "[k] 1")
}

func TestResyncIsTriedAgain(t *testing.T) {
	r := newRecorder()
	r.fail = errors.New("no counter")
	b := openFor(t, connect(t, miniredis.RunT(t).Addr()), r)
	r.await(t, "resync", "resync")
	r.awaitFresh(t)
	r.mu.Lock()
	r.fail = errors.New("no counter")
	r.mu.Unlock()
	if err := b.Publish(t.Context(), bus.Message{Origin: "another version"}); err != nil {
		t.Fatal(err)
	}
	r.await(t, "resync", "resync", "resync", "resync")
}

func TestCloseWhileDown(t *testing.T) {
	b := bus.Open(config(connect(t, "127.0.0.1:1"), newRecorder()))
	for range 2 {
		if err := b.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// The bus needs no more rights than docs/redis.md has.
func TestRunsUnderTheSmallestACL(t *testing.T) {
	tests := "^(TestMessagesArriveInOrder|TestJournalAndHead|TestNewLineageIsTold|TestGapIsReplayed|TestLostLastMessageIsReplayed)$/^redis$" // miniredis has no users
	servertest.RunAsUser(t, servertest.SmallestACL(t, "../docs/redis.md", "shop"), tests, 3)
}
