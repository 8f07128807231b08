package tier_test

import (
	"cmp"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/tier"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(calmed{m}) }

// calmed lets go-redis end its dials to servers that are gone, before leaks are looked for: five attempts, 100 ms apart, in a
// goroutine that closing the client does not end.
type calmed struct{ *testing.M }

func (c calmed) Run() int {
	code := c.M.Run()
	time.Sleep(time.Second)
	return code
}

// A source is a database of strings that counts its reads. Its zero value has version 0 of everything.
type source struct {
	mu      sync.Mutex // guards the fields below
	version map[string]int
	reads   map[string]int
	hook    func(id string, version int) // runs after a read, before the loader returns
}

func (s *source) write(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.version == nil {
		s.version = make(map[string]int)
	}
	s.version[id]++
	return s.version[id]
}

// load reads the version of id, and depends on row id of the entity "row".
func (s *source) load(ctx context.Context, id string) (int, error) {
	s.mu.Lock()
	if s.reads == nil {
		s.reads = make(map[string]int)
	}
	s.reads[id]++
	version, hook := s.version[id], s.hook
	s.mu.Unlock()
	tier.DependsOn(ctx, "row", id)
	if hook != nil {
		hook(id, version)
	}
	return version, nil
}

func (s *source) onRead(hook func(id string, version int)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = hook
}

func (s *source) count(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads[id]
}

// A pod is a cache with one space over a source.
type pod struct {
	*tier.Space[int]
	cache *tier.Cache
}

var quiet = slog.New(slog.DiscardHandler)

func openCache(t *testing.T, cfg tier.Config) *tier.Cache {
	t.Helper()
	cfg.Name, cfg.Logger = "shop", cmp.Or(cfg.Logger, quiet)
	c, err := tier.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return c
}

func newSpace[V any](t *testing.T, c *tier.Cache, cfg tier.SpaceConfig[V]) *tier.Space[V] {
	t.Helper()
	s, err := tier.NewSpace(c, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newPod opens a pod on the Redis at addr, or without one when addr is empty.
func newPod(t *testing.T, addr string, src *source) pod {
	t.Helper()
	return newPodOf(t, addr, src, tier.Config{})
}

func newPodOf(t *testing.T, addr string, src *source, cfg tier.Config) pod {
	t.Helper()
	cfg.RemoteTimeout = cmp.Or(cfg.RemoteTimeout, 2*time.Second) // a slow machine is not a failing Redis
	if addr != "" {
		cfg.Redis = connectPod(t, addr)
	}
	c := openCache(t, cfg)
	return pod{cache: c, Space: newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.CDC("feed"), Load: src.load})}
}

// connectPod connects a pod: a test looks at Redis, and breaks it, by connect.
func connectPod(t *testing.T, addr string) *redis.Client {
	t.Helper()
	name, password := servertest.User()
	client := redis.NewClient(&redis.Options{Addr: addr, Username: name, Password: password})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func connect(t *testing.T, addr string) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: addr})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func (p pod) want(t *testing.T, id string, version int) {
	t.Helper()
	got, err := p.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if got != version {
		t.Errorf("got version %d of %q; want %d", got, id, version)
	}
}

// eventually fails the test when cond does not come true in time.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !cond(); time.Sleep(time.Millisecond) { // what comes true costs no more on a busy machine
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// withAndWithout runs a test on L1 alone and on a real Redis.
func withAndWithout(t *testing.T, test func(t *testing.T, addr string)) {
	t.Run("L1", func(t *testing.T) { test(t, "") })
	t.Run("redis", func(t *testing.T) { test(t, servertest.StartRedis(t).Addr) })
}

// ways are the ways in which a test invalidates row id.
var ways = map[string]func(p pod, ctx context.Context, id string) error{
	"Invalidate":    func(p pod, ctx context.Context, id string) error { return p.Invalidate(ctx, id) },
	"InvalidateTag": func(p pod, ctx context.Context, id string) error { return p.cache.InvalidateTag(ctx, "row", id) },
	"Entity":        func(p pod, ctx context.Context, _ string) error { return p.cache.Invalidate(ctx, tier.Entity("row")) },
	"Flush":         func(p pod, ctx context.Context, _ string) error { return p.Flush(ctx) },
	"Feed.Flush": func(p pod, ctx context.Context, _ string) error {
		f, err := p.cache.Feed("feed")
		if err != nil {
			return err
		}
		return f.Flush(ctx)
	},
}

func inEachWay(t *testing.T, test func(t *testing.T, invalidate func(p pod, ctx context.Context, id string) error)) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) { test(t, way) })
	}
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error; want one with %q", parts)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("got %q; want it to have %q", err, part)
		}
	}
}
