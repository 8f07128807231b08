package tier_test

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/tier"
)

// frozen is a connection that brings nothing more once a subscription on it is confirmed, while on.
type frozen struct {
	net.Conn
	on *atomic.Bool
}

func (c frozen) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		text := string(b[:n])
		if err != nil || !c.on.Load() || !strings.Contains(text, "$7\r\nmessage\r\n") && !strings.Contains(text, "pong") {
			return n, err
		}
	}
}

// Each subscription freezes once it is confirmed: reads stay right, by the journal, and health, the metric and the log say so. So they do of the end.
func TestHealthWarnsOfAFrozenPubSub(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	var on atomic.Bool
	client := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true, Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return frozen{conn, &on}, nil
	}})
	t.Cleanup(func() { _ = client.Close() })
	src := &source{}
	c, log := logged(t, tier.Config{Redis: client, RemoteTimeout: 2 * time.Second, MaxStaleness: time.Second})
	p := pod{cache: c, Space: newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.CDC("feed"), Load: src.load})}
	other := newPodOf(t, addr, src, tier.Config{})
	heard(t, other, p)
	const text, gauge = "messages come from the journal alone since 20", "tandem_bus_unheard"
	invalidating := func(ok func() bool) func() bool {
		return func() bool {
			if err := other.Invalidate(t.Context(), "k"); err != nil {
				t.Fatal(err)
			}
			return ok()
		}
	}
	if tells(p.warnings(t), text) || metric(t, c, gauge) != 0 {
		t.Errorf("got the warnings %q and the metric %v before it froze", p.warnings(t), metric(t, c, gauge))
	}
	on.Store(true)
	eventually(t, "a warning", invalidating(func() bool { return tells(p.warnings(t), text, "pub/sub is not heard", "up to 1s late") }))
	if n := metric(t, c, gauge); n != 1 {
		t.Errorf("%s is %v; want 1", gauge, n)
	}
	v := src.write("k")
	if err := other.Invalidate(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the write is seen", func() bool { got, err := p.Get(t.Context(), "k"); return err == nil && got == v })
	on.Store(false)
	eventually(t, "no warning", invalidating(func() bool { return !tells(p.warnings(t), text) }))
	if n := metric(t, c, gauge); n != 0 {
		t.Errorf("%s is %v; want 0", gauge, n)
	}
	if begun, ended := log.count("level=WARN", "pub/sub brings nothing"), log.count("level=INFO", "pub/sub is heard again"); begun != 1 || ended != 1 {
		t.Errorf("%d lines about the beginning, %d about the end; want 1 and 1:\n%s", begun, ended, log)
	}
}
