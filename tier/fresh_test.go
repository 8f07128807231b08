package tier_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
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
	c := &linkConn{Conn: conn, link: l, sent: make(chan []byte, 64), closed: make(chan struct{})}
	go c.send()
	return c, nil
}

// A linkConn has a buffer for what is written, as the kernel has: miniredis answers the beginning of a long pipeline before it has read the
// end, and on a pipe without a buffer both would wait until the write fails.
type linkConn struct {
	net.Conn
	link *link
	sent chan []byte

	mu       sync.Mutex // guards deadline
	deadline time.Time
	once     sync.Once
	closed   chan struct{}
}

// send writes what is in the buffer until the connection is closed.
func (c *linkConn) send() {
	for {
		select {
		case b := <-c.sent:
			_, _ = c.Conn.Write(b) // the reader finds out
		case <-c.closed:
			return
		}
	}
}

func (c *linkConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetWriteDeadline does nothing: a write into the buffer does not wait.
func (c *linkConn) SetWriteDeadline(time.Time) error { return nil }

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
	select {
	case c.sent <- bytes.Clone(b):
		return len(b), nil
	case <-c.closed:
		return 0, net.ErrClosed
	}
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
	return newLinkedPodWith(t, l, src, tier.Config{})
}

// newCalmPod is one that proves its freshness rarely. Each proof runs a script of miniredis, and minutes of virtual time have many.
func newCalmPod(t *testing.T, l *link, src *source) pod {
	t.Helper()
	return newLinkedPodWith(t, l, src, tier.Config{MaxStaleness: 9 * time.Second})
}

func newLinkedPodWith(t *testing.T, l *link, src *source, cfg tier.Config) pod {
	t.Helper()
	cfg.Redis = newLinkedClient(t, l)
	c := openCache(t, cfg)
	return pod{cache: c, Space: newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.CDC("feed"), Load: src.load})}
}

func newLinkedClient(t *testing.T, l *link) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{
		Addr: "127.0.0.1:1", Dialer: l.dial, Protocol: 2, DisableIdentity: true, ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1,
	})
	t.Cleanup(func() { _ = client.Close() })
	return client
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

// A caller who comes while the pod cannot prove anything does not take what a load has read long before.
func TestUntrustedJoinerTakesNothingOld(t *testing.T) {
	onLinks(t, func(t *testing.T, a, b pod, linkOfB *link, src *source) {
		linkOfB.sever()
		time.Sleep(2 * tier.DefaultMaxStaleness)
		var early sync.WaitGroup
		src.onRead(func(string, int) { time.Sleep(9 * time.Second) })
		early.Go(func() { b.want(t, "k", 0) })
		time.Sleep(time.Second)
		src.onRead(nil)
		v := src.write("k")
		if err := a.Invalidate(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		b.want(t, "k", v)
		early.Wait()
		linkOfB.mend()
	})
}

// A stepper is a hook of a client that fails GETs and pipelines while it is told to, and calls back once before the counter is read.
type stepper struct {
	failing atomic.Bool
	before  atomic.Pointer[func()]
}

func (*stepper) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s *stepper) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		args := cmd.Args()
		if cmd.Name() == "get" && s.failing.Load() {
			return errors.New("refused")
		}
		if len(args) > 5 && args[3] == "shop:{tick}" && args[5] == "read" {
			if step := s.before.Swap(nil); step != nil {
				(*step)()
			}
		}
		return next(ctx, cmd)
	}
}

func (s *stepper) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if !s.failing.Load() {
			return next(ctx, cmds)
		}
		err := errors.New("refused")
		for _, cmd := range cmds {
			cmd.SetErr(err)
		}
		return err
	}
}

// The counter is lost and made anew below what b has heard. What b loads without a lease before it has raised the counter is flushed.
func TestLoadDuringAResyncIsFlushed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := miniredis.NewMiniRedis()
		t.Cleanup(server.Close)
		src, steps := &source{}, &stepper{}
		client := newLinkedClient(t, &link{redis: server})
		client.AddHook(steps)
		c := openCache(t, tier.Config{Redis: client})
		b := pod{cache: c, Space: newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.CDC("feed"), Load: src.load})}
		server.HSet("shop:{tick}", "last", strconv.FormatInt(time.Now().Add(5*time.Hour).UnixMicro(), 10))
		if err := b.Invalidate(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait() // nobody of b reads the counter now, and the next to do so is its resync
		server.FlushAll()
		a := newLinkedPod(t, &link{redis: server}, src)

		var early sync.WaitGroup
		var v int
		read, release, stepped := make(chan struct{}), make(chan struct{}), make(chan struct{})
		src.onRead(func(string, int) { close(read); <-release })
		step := func() {
			defer close(stepped)
			steps.failing.Store(true)
			early.Go(func() { b.want(t, "k", 0) })
			<-read
			src.onRead(nil)
			steps.failing.Store(false)
			v = src.write("k")
			if err := a.Invalidate(t.Context(), "k"); err != nil {
				t.Error(err)
			}
		}
		steps.before.Store(&step)
		select { // in the resync
		case <-stepped:
		case <-time.After(time.Minute):
			t.Fatal("the counter was not read: the resync was over before the test was ready")
		}
		time.Sleep(3 * time.Second) // and what it missed
		close(release)
		early.Wait()
		b.want(t, "k", v)
	})
}
