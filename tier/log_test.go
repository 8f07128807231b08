package tier_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/remote"
	"github.com/tandem-cache/tandem/tier"
)

// logLines is a slog.Handler that keeps lines.
type logLines struct {
	mu   sync.Mutex // guards list
	list []string
}

func (*logLines) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }
func (l *logLines) WithAttrs([]slog.Attr) slog.Handler         { return l }
func (l *logLines) WithGroup(string) slog.Handler              { return l }

func (l *logLines) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := r.Level.String() + " " + r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	l.list = append(l.list, text)
	return nil
}

func (l *logLines) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := l.list
	l.list = nil
	return taken
}

// with returns the lines that have all of texts in them.
func with(list []string, texts ...string) (found []string) {
	for _, line := range list {
		has := true
		for _, text := range texts {
			has = has && strings.Contains(line, text)
		}
		if has {
			found = append(found, line)
		}
	}
	return found
}

// A refusing is a network whose server can refuse connections, as one that has died does.
type refusing struct {
	redis *miniredis.Miniredis

	mu    sync.Mutex // guards the fields below
	shut  bool
	conns []net.Conn
}

func (g *refusing) dial(context.Context, string, string) (net.Conn, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return nil, errors.New("connection refused")
	}
	conn, err := g.redis.Dial()
	if err == nil {
		g.conns = append(g.conns, conn)
	}
	return conn, err
}

func (g *refusing) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
	for _, c := range g.conns {
		_ = c.Close()
	}
	g.conns = nil
}

func (g *refusing) open() { g.mu.Lock(); g.shut = false; g.mu.Unlock() }

// An outage is a few lines a pod: that it began, of each part, and that it is over, with how long it took.
func TestOutageIsAFewLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := miniredis.NewMiniRedis()
		t.Cleanup(server.Close)
		g, src := &refusing{redis: server}, &source{}
		var logs [3]logLines
		var pods [3]pod
		for i := range pods {
			client := redis.NewClient(&redis.Options{
				Addr: "127.0.0.1:1", Dialer: g.dial, Protocol: 2, DisableIdentity: true, ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1,
			})
			t.Cleanup(func() { _ = client.Close() })
			c := openCache(t, tier.Config{Redis: client, Logger: slog.New(&logs[i])})
			pods[i] = pod{cache: c, Space: newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.CDC("feed"), Load: src.load})}
		}
		read := func(seconds int) {
			for n := range seconds {
				for _, p := range pods {
					for k := range 10 {
						p.want(t, fmt.Sprint("k", n, k), 0)
					}
				}
				time.Sleep(time.Second)
			}
		}
		read(5)
		for i := range logs {
			logs[i].take()
		}
		const outage = 20
		g.close()
		read(outage)
		g.open()
		read(5)
		for i := range logs {
			list := logs[i].take()
			if len(list) > 10 {
				t.Errorf("%d lines of an outage of %d s; want 10 at most:\n%s", len(list), outage, strings.Join(list, "\n"))
			}
			for _, texts := range [][]string{
				{"WARN", "bus: cannot catch up"},
				{"INFO", "bus: back", "for=", "replayed="},
				{"WARN", "bus: subscription lost"},
				{"INFO", "bus: subscribed again"},
				{"WARN", "tier: L1 is not trusted"},
				{"INFO", "tier: L1 is trusted again"},
			} {
				if n := len(with(list, texts...)); n != 1 {
					t.Errorf("%d lines with %q; want 1:\n%s", n, texts, strings.Join(list, "\n"))
				}
			}
			if len(with(list, "INFO")) < 3 {
				t.Errorf("nothing says that it is over:\n%s", strings.Join(list, "\n"))
			}
		}
	})
}

// A feed that falls silent is a line, and so is its return.
func TestSilentFeedIsALine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logLines
		c := openCache(t, tier.Config{Logger: slog.New(&log)})
		newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.CDC("feed"), Load: (&source{}).load})
		f, err := c.Feed("feed")
		if err != nil {
			t.Fatal(err)
		}
		report(t, f, true, 0, 60)
		if list := log.take(); len(list) > 0 {
			t.Errorf("a feed that is fresh from the start: %q", list)
		}
		time.Sleep(tier.DefaultFeedLimit + 10*time.Second)
		report(t, f, true, 0, 5)
		list := log.take()
		if len(list) != 2 || len(with(list[:1], "WARN tier: the feed is not fresh", "feed=feed")) != 1 || len(with(list[1:], "INFO tier: the feed is fresh again", "for=1")) != 1 {
			t.Errorf("got\n%s", strings.Join(list, "\n"))
		}
		time.Sleep(2*tier.DefaultFeedLimit + 31*time.Second)
		if list := log.take(); len(list) != 3 { // it begins, and each 30 s
			t.Errorf("got\n%s", strings.Join(list, "\n"))
		}
	})
}

// A value that can't be stored is a line a minute, not one a read.
func TestRefusedValueIsALineAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logLines
		c := openCache(t, tier.Config{Logger: slog.New(&log)})
		s := newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.TTL(time.Minute), Load: func(ctx context.Context, _ string) (int, error) {
			for i := range remote.MaxNames + 1 {
				tier.DependsOn(ctx, "row", fmt.Sprint(i))
			}
			return 1, nil
		}})
		for range 10 {
			if _, err := s.Get(t.Context(), "k"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if list := with(log.take(), "cannot be stored"); len(list) != 1 {
			t.Errorf("%d lines for ten reads; want 1:\n%s", len(list), strings.Join(list, "\n"))
		}
	})
}
