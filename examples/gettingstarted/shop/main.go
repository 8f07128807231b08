// Command shop is a service with a cache, from docs/getting-started.md: Redis, a feed from PostgreSQL, health and metrics.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/tier"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "where to listen")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr, os.Getenv("REDIS_URL"), os.Getenv("DATABASE_URL")); err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, addr, redisURL, databaseURL string) error {
	options, err := redis.ParseURL(redisURL)
	if err != nil {
		return err
	}
	options.ContextTimeoutEnabled = true
	client := redis.NewClient(options) // one for the process
	defer client.Close()
	pool, err := pgxpool.New(ctx, databaseURL)
	if err != nil {
		return err
	}
	defer pool.Close()

	cache, err := tier.Open(ctx, tier.Config{Name: "shop", Redis: client})
	if err != nil {
		return err
	}
	defer closeCache(cache)
	baskets, err := newBaskets(cache, database{pool})
	if err != nil {
		return err
	}

	follower, err := newFollower(cache, databaseURL)
	if err != nil {
		return err
	}
	following, stopFollowing := context.WithCancel(context.WithoutCancel(ctx))
	var background sync.WaitGroup
	background.Go(func() {
		if err := follower.Run(following); err != nil {
			log.Print(err)
		}
	})
	defer background.Wait()
	defer stopFollowing() // after the last request

	return serve(ctx, addr, handler(cache, baskets))
}

// handler is what the pod answers.
func handler(cache *tier.Cache, baskets *tier.Space[*Basket]) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /baskets/{id}", func(w http.ResponseWriter, r *http.Request) {
		basket, err := baskets.Get(r.Context(), tier.ID(r.PathValue("id")))
		switch {
		case errors.Is(err, tier.ErrNotFound):
			http.Error(w, "no such basket", http.StatusNotFound)
		case err != nil:
			log.Print(err)
			http.Error(w, "try again", http.StatusServiceUnavailable)
		default:
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(basket)
		}
	})
	mux.Handle("GET /health", cache.HealthHandler())
	mux.Handle("GET /health/", cache.HealthHandler())
	registry := prometheus.NewRegistry()
	registry.MustRegister(cache)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return mux
}

// serve answers requests until ctx ends, and then finishes those under way.
func serve(ctx context.Context, addr string, h http.Handler) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	log.Println("serving on", listener.Addr())
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return server.Shutdown(ctx)
}

func closeCache(cache *tier.Cache) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := cache.Close(ctx); err != nil {
		log.Print(err)
	}
}
