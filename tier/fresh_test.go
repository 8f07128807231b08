package tier_test

import (
	"context"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/tier"
)

// A link is a network that can be cut: its connections stay open and carry nothing.
type link struct {
	mu    sync.Mutex // guards cut
	cut   chan struct{}
	redis *miniredis.Miniredis
}

// sever cuts the link until mend is called.
func (l *link) sever() { l.mu.Lock(); l.cut = make(chan struct{}); l.mu.Unlock() }

func (l *link) mend() { l.mu.Lock(); close(l.cut); l.cut = nil; l.mu.Unlock() }

func (l *link) dial(context.Context, string, string) (net.Conn, error) {
	conn, err := l.redis.Dial()
	if err != nil {
		return nil, err
	}
	return &linkConn{Conn: conn, link: l, closed: make(chan struct{})}, nil
}

type linkConn struct {
	net.Conn
	link *link

	mu       sync.Mutex // guards deadline
	deadline time.Time
	once     sync.Once
	closed   chan struct{}
}

func (c *linkConn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *linkConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	c.deadline = t
	c.mu.Unlock()
	return c.Conn.SetReadDeadline(t)
}

// Write goes nowhere while the link is cut.
func (c *linkConn) Write(b []byte) (int, error) {
	c.link.mu.Lock()
	cut := c.link.cut
	c.link.mu.Unlock()
	if cut != nil {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// Read holds what came until the link is mended, or the deadline is over.
func (c *linkConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.link.mu.Lock()
	cut := c.link.cut
	c.link.mu.Unlock()
	if cut == nil || err != nil {
		return n, err
	}
	c.mu.Lock()
	deadline := c.deadline
	c.mu.Unlock()
	var expired <-chan time.Time
	if !deadline.IsZero() {
		expired = time.After(time.Until(deadline))
	}
	select {
	case <-cut:
		return n, err
	case <-expired:
		return 0, os.ErrDeadlineExceeded
	case <-c.closed:
		return 0, net.ErrClosed
	}
}

func (c *linkConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// newLinkedPod opens a pod of a virtual network. Its pool is closed before the bubble ends.
func newLinkedPod(t *testing.T, l *link, src *source) pod {
	t.Helper()
	client := redis.NewClient(&redis.Options{
		Addr: "127.0.0.1:1", Dialer: l.dial, Protocol: 2, DisableIdentity: true, ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1,
	})
	t.Cleanup(func() { _ = client.Close() })
	c := openCache(t, tier.Config{Redis: client})
	return pod{cache: c, Space: newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.CDC("feed"), Load: src.load})}
}

func onLinks(t *testing.T, test func(t *testing.T, a, b pod, linkOfB *link, src *source)) {
	synctest.Test(t, func(t *testing.T) {
		server := miniredis.NewMiniRedis()
		t.Cleanup(server.Close)
		src := &source{}
		linkOfB := &link{redis: server}
		a, b := newLinkedPod(t, &link{redis: server}, src), newLinkedPod(t, linkOfB, src)
		test(t, a, b, linkOfB, src)
	})
}

// A pod that was cut off, or paused, does not answer from L1 on waking: it has heard nothing for longer than MaxStaleness. Up to
// then it may answer.
func TestUnprovenL1IsSilent(t *testing.T) {
	onLinks(t, func(t *testing.T, a, b pod, linkOfB *link, src *source) {
		b.want(t, "k", 0)
		linkOfB.sever()
		v := src.write("k")
		if err := a.Invalidate(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		b.want(t, "k", 0) // not yet MaxStaleness ago
		time.Sleep(tier.DefaultMaxStaleness)
		if b.cache.Health(t.Context()).L1.Trusted {
			t.Error("trusted without a proof younger than MaxStaleness")
		}
		b.want(t, "k", v)
		time.Sleep(time.Minute)
		linkOfB.mend()
		b.want(t, "k", v)
	})
}

// A pod that can prove that it has heard everything answers from L1, however long nothing happens.
func TestQuietPodIsTrusted(t *testing.T) {
	onLinks(t, func(t *testing.T, _, b pod, _ *link, src *source) {
		b.want(t, "k", 0)
		for range 30 {
			time.Sleep(time.Second)
			if !b.cache.Health(t.Context()).L1.Trusted {
				t.Fatal("not trusted, though Redis answers")
			}
			b.want(t, "k", 0)
		}
		if n := src.count("k"); n != 1 {
			t.Errorf("%d loads; want 1", n)
		}
	})
}
