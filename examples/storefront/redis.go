package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// A redisServer is where the pods find Redis.
type redisServer struct {
	options *redis.Options
	what    string

	embedded *miniredis.Miniredis // nil: a real one
	stop     context.CancelFunc
	ticking  sync.WaitGroup
}

// openRedis returns the Redis that cfg names or, without one, starts one in this process. A Redis that is down is only logged:
// the pods do without it until it is back.
func openRedis(ctx context.Context, cfg config) (*redisServer, error) {
	if cfg.redisURL == "" {
		return embedRedis()
	}
	options, err := redis.ParseURL(cfg.redisURL)
	if err != nil {
		return nil, fmt.Errorf("REDIS_URL: %w", err)
	}
	r := &redisServer{options: options, what: "Redis at " + options.Addr, stop: func() {}}
	client := r.connect()
	defer func() { _ = client.Close() }()
	if err := client.Ping(ctx).Err(); err != nil {
		cfg.log.WarnContext(ctx, "storefront: REDIS_URL: Redis does not answer, the pods do without it until it does", "addr", options.Addr, "error", err)
	}
	return r, nil
}

func embedRedis() (*redisServer, error) {
	server, err := miniredis.Run() // on a free loopback port
	if err != nil {
		return nil, fmt.Errorf("embedded Redis: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &redisServer{
		options: &redis.Options{Addr: server.Addr()}, what: "an embedded Redis",
		embedded: server, stop: stop,
	}
	r.ticking.Go(func() { r.tick(ctx) })
	return r, nil
}

// tick makes time pass in the embedded Redis, where nothing expires by itself.
func (r *redisServer) tick(ctx context.Context) {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			now := time.Now()
			r.embedded.FastForward(now.Sub(last))
			last = now
		}
	}
}

// connect returns a client, as each pod has its own. The caller closes it.
func (r *redisServer) connect() *redis.Client {
	options := *r.options
	return redis.NewClient(&options)
}

func (r *redisServer) close() {
	r.stop()
	r.ticking.Wait()
	if r.embedded != nil {
		r.embedded.Close()
	}
}
