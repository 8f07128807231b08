package tier_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/tier"
)

// heldConn brings nothing while its network is held.
type heldConn struct {
	net.Conn
	held  *atomic.Bool
	until atomic.Int64 // of the next Read, in Unix ns; 0: for ever
}

func (c *heldConn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

func (c *heldConn) SetReadDeadline(t time.Time) error {
	if c.until.Store(0); !t.IsZero() {
		c.until.Store(t.UnixNano())
	}
	return c.Conn.SetReadDeadline(t)
}

func (c *heldConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	for c.held.Load() {
		if until := c.until.Load(); until != 0 && time.Now().UnixNano() > until {
			return 0, os.ErrDeadlineExceeded
		}
		time.Sleep(time.Millisecond)
	}
	return n, err
}

// newPodOfApp is a pod of the user app, whose network can be held.
func newPodOfApp(t *testing.T, addr string, src *source, held *atomic.Bool) pod {
	t.Helper()
	client := redis.NewClient(&redis.Options{
		Addr: addr, Username: "app", Password: "any", ContextTimeoutEnabled: true,
		Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			for held.Load() {
				select {
				case <-ctx.Done():
					return nil, ctx.Err()
				case <-time.After(time.Millisecond):
				}
			}
			conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &heldConn{Conn: conn, held: held}, nil
		},
	})
	t.Cleanup(func() { _ = client.Close() })
	c := openCache(t, tier.Config{Redis: client, RemoteTimeout: 2 * time.Second})
	return pod{cache: c, Space: newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.CDC("feed"), Load: src.load})}
}

// A user who may not run INFO, as one without the dangerous commands, does not learn that Redis was started again from an older dump. While a pod
// is cut off, others invalidate under numbers that it has heard with other contents.
func TestRestartIsNoticedWithoutINFO(t *testing.T) {
	for user, rule := range map[string]string{"may run INFO": "+info", "may not": "-info"} {
		t.Run(user, func(t *testing.T) {
			server := servertest.StartRedis(t, "--user", "app", "on", "nopass", "~*", "&*", "+@all", "-@dangerous", rule)
			src := &source{}
			var never, held atomic.Bool
			a, b := newPodOfApp(t, server.Addr, src, &never), newPodOfApp(t, server.Addr, src, &held)
			invalidate := func(p pod, ids ...string) {
				for _, id := range ids {
					if err := p.Invalidate(t.Context(), id); err != nil {
						t.Fatal(err)
					}
				}
			}
			some := func(what string, n int) (ids []string) {
				for i := range n {
					ids = append(ids, fmt.Sprint(what, i))
				}
				return ids
			}
			invalidate(a, some("before", 50)...)
			if err := connect(t, server.Addr).Save(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			invalidate(a, some("forgotten", 30)...)
			rows := some("row", 20)
			for _, id := range rows {
				b.want(t, id, 0)
			}
			eventually(t, "the pod has heard all", func() bool {
				h := b.cache.Health(t.Context())
				return h.L1.Trusted && h.Bus.Heard+h.Bus.Replayed >= 80
			})
			told := strings.Contains(strings.Join(b.cache.Health(t.Context()).Problems, "\n"), "INFO")
			if told != (rule == "-info") {
				t.Errorf("health says that INFO is refused: %v", told)
			}
			held.Store(true)
			server.Kill()
			server.Start()
			eventually(t, "Redis is back", func() bool { return a.Invalidate(t.Context(), "first") == nil })
			versions := make(map[string]int)
			for _, id := range rows {
				versions[id] = src.write(id)
				invalidate(a, id)
			}
			invalidate(a, some("after", 40)...)
			eventually(t, "what was proven before has run out", func() bool { return !b.cache.Health(t.Context()).L1.Trusted })
			held.Store(false)
			eventually(t, "the pod is fresh", func() bool { return b.cache.Health(t.Context()).L1.Trusted })
			for _, id := range rows {
				b.want(t, id, versions[id])
			}
		})
	}
}
