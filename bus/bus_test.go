package bus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
func (r *recorder) Down() { r.note("down") }

// await waits until the events end with want.
func (r *recorder) await(t *testing.T, want ...string) {
	t.Helper()
	deadline := time.After(10 * time.Second)
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

func connect(t *testing.T, addr string) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: addr, ReadTimeout: 200 * time.Millisecond, MaxRetries: -1})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func open(t *testing.T, addr string) (*bus.Bus, *recorder) {
	t.Helper()
	r := newRecorder()
	b := bus.Open(bus.Config{Client: connect(t, addr), Name: "shop", Handler: r, Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return b, r
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
		if len(journal) != 2 || journal[0].ID != "1-0" || journal[1].ID != "2-0" || journal[0].Values["p"] == "" {
			t.Errorf("journal: got %v; want the messages 1-0 and 2-0", journal)
		}
	})
}

// A message that was numbered and not heard is a gap: the receiver is told before the next message.
func TestGapIsTold(t *testing.T) {
	onEach(t, func(t *testing.T, addr string) {
		b, r := open(t, addr)
		r.await(t, "resync")
		publish(t, b, 1)
		r.await(t, "[k] 1")
		if err := connect(t, addr).HIncrBy(t.Context(), "shop:{bus}:head", "n", 1).Err(); err != nil { // number 2 gets lost
			t.Fatal(err)
		}
		publish(t, b, 3)
		r.await(t, "[k] 1", "resync", "[k] 3")
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
		publish(t, b, 3) // number 1 of another lineage
		r.await(t, "[k] 2", "resync", "[k] 3")
	})
}

func TestUnreadableMessageIsAGap(t *testing.T) {
	onEach(t, func(t *testing.T, addr string) {
		_, r := open(t, addr)
		r.await(t, "resync")
		for _, raw := range []string{"X9 from another age", "N1\xc1"} {
			before := r.count("resync")
			if err := connect(t, addr).Publish(t.Context(), "shop:{bus}", raw).Err(); err != nil {
				t.Fatal(err)
			}
			for deadline := time.After(5 * time.Second); r.count("resync") == before; {
				select {
				case <-r.more:
				case <-deadline:
					t.Fatalf("%q: no resync", raw)
				}
			}
		}
	})
}

// A numbered message that its receiver does not understand is a gap; a notice of the sort is nothing.
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
	})
}

func TestCutConnectionIsTold(t *testing.T) {
	server := servertest.StartRedis(t)
	b, r := open(t, server.Addr)
	r.await(t, "resync")
	publish(t, b, 1)
	r.await(t, "[k] 1")
	admin := connect(t, server.Addr)
	if err := admin.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err(); err != nil {
		t.Fatal(err)
	}
	r.await(t, "down", "resync")
	publish(t, b, 2)
	r.await(t, "[k] 2")
}

func TestRestartedServerIsTold(t *testing.T) {
	server := servertest.StartRedis(t)
	b, r := open(t, server.Addr)
	r.await(t, "resync")
	server.Stop()
	r.await(t, "down")
	if err := b.Publish(t.Context(), bus.Message{Kind: bus.Invalidate}); err == nil {
		t.Error("published to a server that is down")
	}
	server.Start()
	r.await(t, "down", "resync")
	publish(t, b, 1)
	r.await(t, "[k] 1")
}

// A frozen server keeps its connections open and says nothing, which pub/sub by itself does not notice.
func TestFrozenServerIsTold(t *testing.T) {
	server := servertest.StartRedis(t)
	_, r := open(t, server.Addr)
	r.await(t, "resync")
	server.Freeze()
	r.await(t, "resync", "down")
	server.Thaw()
	r.await(t, "down", "resync")
}

func TestResyncIsTriedAgain(t *testing.T) {
	r := newRecorder()
	r.fail = errors.New("no counter")
	b := bus.Open(bus.Config{Client: connect(t, miniredis.RunT(t).Addr()), Name: "shop", Handler: r, Logger: slog.New(slog.DiscardHandler)})
	defer func() { _ = b.Close(context.Background()) }()
	r.await(t, "resync", "down", "resync")
}

func TestCloseWhileDown(t *testing.T) {
	r := newRecorder()
	b := bus.Open(bus.Config{Client: connect(t, "127.0.0.1:1"), Name: "shop", Handler: r, Logger: slog.New(slog.DiscardHandler)})
	r.await(t, "down")
	for range 2 {
		if err := b.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
