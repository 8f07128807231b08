package bus

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/servertest"
)

type deaf struct{}

func (deaf) Resync(context.Context) error { return nil }
func (deaf) Handle(Message) error         { return nil }
func (deaf) Fresh(time.Time)              {}
func (deaf) Stalled()                     {}

// The newest comes first, and there is an end to it.
func TestRecent(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: servertest.StartRedis(t).Addr, ReadTimeout: time.Minute})
	t.Cleanup(func() { _ = client.Close() })
	b := Open(Config{Client: client, Name: "shop", Handler: deaf{}, MaxStaleness: 2 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	read := func() (ticks []uint64) {
		t.Helper()
		for m, err := range b.Recent(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			ticks = append(ticks, m.Tick)
		}
		return ticks
	}
	if got := read(); len(got) != 0 {
		t.Errorf("an empty journal: got %v", got)
	}
	publish := func(tick uint64, name string) {
		t.Helper()
		if err := b.Publish(t.Context(), Message{Kind: Invalidate, Tick: tick, Origin: "api", Names: []string{name}}); err != nil {
			t.Fatal(err)
		}
	}
	for tick := range uint64(recentMessages + 100) {
		publish(tick, "k:a:b:c")
		if tick >= 3*recentTurn {
			continue
		}
		if n := len(read()); n != int(tick)+1 {
			t.Fatalf("after %d messages: %d", tick+1, n)
		}
	}
	got := read()
	if len(got) != recentMessages {
		t.Fatalf("%d messages; want %d", len(got), recentMessages)
	}
	for i, tick := range got {
		if want := uint64(recentMessages + 99 - i); tick != want {
			t.Fatalf("message %d has tick %d; want %d", i, tick, want)
		}
	}
	for tick := range uint64(2 * recentTurn) {
		publish(tick, "k:a:b:"+strings.Repeat("c", recentBytes/recentTurn))
	}
	if n := len(read()); n != recentTurn {
		t.Errorf("%d large messages; want %d", n, recentTurn)
	}
	if err := client.XAdd(t.Context(), &redis.XAddArgs{Stream: b.key(":journal"), Values: []string{"p", "rubbish"}}).Err(); err != nil {
		t.Fatal(err)
	}
	if n := len(read()); n < recentTurn {
		t.Errorf("%d messages beside one that can't be read; want it left out", n)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	var errs []string
	for _, err := range b.Recent(ended) {
		errs = append(errs, fmt.Sprint(err))
	}
	if len(errs) != 1 || !strings.Contains(errs[0], "bus: read the journal") {
		t.Errorf("got %q; want one error", errs)
	}
}
