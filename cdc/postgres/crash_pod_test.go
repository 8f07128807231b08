package postgres_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/tier"
)

const (
	crashFeed  = "items-feed"
	itemSpace  = "shop:item"  // id → version of the row; stands on its key alone
	shelfSpace = "shop:shelf" // id → sum of the versions on it; stands on tags of its rows
)

// crashPod reads items and shelves through a cache. Its keys are "item 1", "shelf 2".
type crashPod struct {
	spaces map[string]*tier.Space[int]
	gets   atomic.Int64 // reads of L2

	mu   sync.Mutex // guards conn
	conn *pgx.Conn
}

func connect(t *testing.T, addr string) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// openCache opens a cache that waits for Redis, however busy the machine is.
func openCache(t *testing.T, name string, client *redis.Client) *tier.Cache {
	t.Helper()
	cache, err := tier.Open(t.Context(), tier.Config{
		Name: name, Redis: client, RemoteTimeout: patience, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := cache.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return cache
}

func openPod(t *testing.T, d doom) *crashPod {
	t.Helper()
	p := &crashPod{conn: session(t, d.Postgres)}
	client := connect(t, d.Redis)
	client.AddHook(countGets{&p.gets})
	cache := openCache(t, d.Name, client)
	p.spaces = map[string]*tier.Space[int]{
		"item":  openSpace(t, cache, itemSpace, p.item),
		"shelf": openSpace(t, cache, shelfSpace, p.shelf),
	}
	return p
}

func openSpace(t *testing.T, cache *tier.Cache, name string, load func(context.Context, string) (int, error)) *tier.Space[int] {
	t.Helper()
	sp, err := tier.NewSpace(cache, tier.SpaceConfig[int]{Name: name, Strategy: tier.CDC(crashFeed), Load: load})
	if err != nil {
		t.Fatal(err)
	}
	return sp
}

func (p *crashPod) item(ctx context.Context, id string) (version int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	err = p.conn.QueryRow(ctx, `SELECT version FROM items WHERE id = $1`, id).Scan(&version)
	return version, err
}

func (p *crashPod) shelf(ctx context.Context, id string) (sum int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	rows, err := p.conn.Query(ctx, `SELECT id::text, version FROM items WHERE shelf = $1`, id)
	if err != nil {
		return 0, err
	}
	var item string
	var version int
	_, err = pgx.ForEachRow(rows, []any{&item, &version}, func() error {
		tier.DependsOn(ctx, "item", item)
		sum += version
		return nil
	})
	return sum, err
}

func (p *crashPod) get(t *testing.T, key string) int {
	t.Helper()
	space, id, _ := strings.Cut(key, " ")
	v, err := p.spaces[space].Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// peek says what the pod has cached; local: in L1.
func (p *crashPod) peek(t *testing.T, key string) (v int, local, ok bool) {
	t.Helper()
	space, id, _ := strings.Cut(key, " ")
	before := p.gets.Load()
	v, ok = p.spaces[space].Peek(t.Context(), id)
	return v, ok && p.gets.Load() == before, ok
}

// countGets is a redis.Hook.
type countGets struct{ n *atomic.Int64 }

func (countGets) DialHook(next redis.DialHook) redis.DialHook { return next }
func (c countGets) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "get" {
			c.n.Add(1)
		}
		return next(ctx, cmd)
	}
}

func (countGets) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// warm reads everything until it is in the pod's L1 and in L2.
func (l *life) warm(p *crashPod) {
	l.t.Helper()
	for _, key := range slices.Concat(others, outdated) {
		space, id, _ := strings.Cut(key, " ")
		for end := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
			p.get(l.t, key)
			_, local, _ := p.peek(l.t, key)
			raw := l.look.Get(l.t.Context(), l.Name+":shop:"+space+":"+id).Val()
			if local && strings.HasPrefix(raw, "V") {
				break
			}
			if time.Now().After(end) {
				l.t.Fatalf("%s is in L1: %t, in L2: %.1q; want both", key, local, raw)
			}
		}
	}
}

// truth is what the table says.
func (l *life) truth(key string) int {
	l.t.Helper()
	space, id, _ := strings.Cut(key, " ")
	column := map[string]string{"item": "id", "shelf": "shelf"}[space]
	var v int
	err := l.db.conn.QueryRow(l.t.Context(), `SELECT sum(version) FROM items WHERE `+column+` = `+id).Scan(&v)
	if err != nil {
		l.t.Fatal(err)
	}
	return v
}

// stale lists what the pods, in L1 or else in L2, have older than the table.
func (l *life) stale(pods []*crashPod, keys []string) (list []string) {
	l.t.Helper()
	for i, p := range pods {
		for _, key := range keys {
			if v, _, ok := p.peek(l.t, key); ok && v < l.truth(key) {
				list = append(list, fmt.Sprintf("pod %d: %s", i+1, key))
			}
		}
	}
	return list
}

// settle waits until nothing is stale.
func (l *life) settle(pods []*crashPod, keys []string) {
	l.t.Helper()
	var list []string
	for end := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		if list = l.stale(pods, keys); len(list) == 0 {
			return
		}
		if time.Now().After(end) {
			l.t.Fatalf("stale: %q", list)
		}
	}
}

// untouched asserts that the pods kept in L1 what the change didn't concern: what
// is not stale is so because of the change, not of a flush.
func (l *life) untouched() {
	l.t.Helper()
	for i, p := range l.pods[:2] {
		for _, key := range others {
			if _, local, _ := p.peek(l.t, key); !local {
				l.t.Errorf("pod %d: %s is not in L1 any more", i+1, key)
			}
		}
	}
}

// current asserts that every pod reads what is in the table.
func (l *life) current() {
	l.t.Helper()
	for i, p := range l.pods {
		for _, key := range slices.Concat(others, outdated) {
			if got, want := p.get(l.t, key), l.truth(key); got != want {
				l.t.Errorf("pod %d: %s: got %d; want %d", i+1, key, got, want)
			}
		}
	}
}
