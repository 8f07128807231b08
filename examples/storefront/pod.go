package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/tier"
)

// drainTimeout is how long a pod that stops lets requests finish.
const drainTimeout = 2 * time.Second

// podConfig is what a pod is made of. All fields but limit are required.
type podConfig struct {
	name    string
	addr    string // host:port; port 0: any free one
	redis   *redis.Client
	limit   time.Duration // of a call to Redis
	store   store
	billing *billingClient
	log     *slog.Logger
}

// A pod is one instance of the service. In production it would be the whole process; here three share one.
type pod struct {
	name      string
	url       string
	cfg       podConfig
	cache     *tier.Cache
	followers map[string]*cdc.Follower // by feed
	server    *http.Server
	log       *slog.Logger

	stopFollowers context.CancelFunc
	following     sync.WaitGroup
	serving       sync.WaitGroup
}

// startPod returns a pod that serves. It owns cfg.redis from then on, also after an error.
func startPod(ctx context.Context, cfg podConfig) (*pod, error) {
	p := &pod{
		name: cfg.name, cfg: cfg, log: cfg.log.With("pod", cfg.name),
		followers:     make(map[string]*cdc.Follower),
		stopFollowers: func() {},
	}
	if err := p.start(ctx); err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		return nil, fmt.Errorf("%s: %w", cfg.name, errors.Join(err, p.close(ctx)))
	}
	return p, nil
}

func (p *pod) start(ctx context.Context) error {
	var err error
	p.cache, err = tier.Open(ctx, tier.Config{Name: "storefront", Redis: p.cfg.redis, RemoteTimeout: p.cfg.limit, Logger: p.log})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	if err := p.addDomains(mux); err != nil {
		return err
	}
	p.addOperations(mux)
	if err := p.follow(ctx); err != nil {
		return err
	}
	return p.serve(ctx, mux)
}

// addDomains opens the domain caches.
func (p *pod) addDomains(mux *http.ServeMux) error {
	orders, err1 := newOrders(p.cache, p.cfg.store)
	catalog, err2 := newCatalog(p.cache, p.cfg.store)
	invoices, err3 := newInvoices(p.cache, p.cfg.billing)
	mapping, err4 := newMapping(p.cache, p.cfg.store)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	orders.register(mux)
	catalog.register(mux)
	invoices.register(mux)
	mapping.register(mux)
	return nil
}

// addOperations mounts what watches the pod.
func (p *pod) addOperations(mux *http.ServeMux) {
	health := p.cache.HealthHandler()
	mux.Handle("GET /health", health)
	mux.Handle("GET /health/", health)
	mux.Handle("GET /health/sf-events", eventsHealth(p.cache))
	mux.Handle("GET /explain", p.cache.ExplainHandler()) // names identifiers: in production, not where users get
	registry := prometheus.NewRegistry()
	registry.MustRegister(p.cache)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
}

// follow starts a follower for each feed. All pods do; one is active, the others stand by to take over.
func (p *pod) follow(ctx context.Context) error {
	for name, routes := range p.cfg.store.Feeds() {
		feed, err := p.cache.Feed(name)
		if err != nil {
			return err
		}
		source, err := p.cfg.store.Source(name, tablesOf(routes))
		if err != nil {
			return err
		}
		p.followers[name], err = cdc.NewFollower(cdc.FollowerConfig{
			Source: source, Feed: feed, Routes: routes, Logger: p.log.With("feed", name),
		})
		if err != nil {
			return err
		}
	}
	ctx, p.stopFollowers = context.WithCancel(context.WithoutCancel(ctx)) // until close: after the last request
	for name, follower := range p.followers {
		p.following.Go(func() {
			if err := follower.Run(ctx); err != nil {
				p.log.Error("storefront: a follower ended", "feed", name, "error", err)
			}
		})
	}
	return nil
}

func (p *pod) serve(ctx context.Context, mux *http.ServeMux) error {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", p.cfg.addr)
	if err != nil {
		return fmt.Errorf("%w (choose another port with -port)", err)
	}
	p.url = "http://" + listener.Addr().String()
	p.server = &http.Server{
		Handler:           named(p.name, mux),
		ReadHeaderTimeout: 5 * time.Second,
		ErrorLog:          slog.NewLogLogger(p.log.Handler(), slog.LevelWarn),
	}
	p.serving.Go(func() {
		if err := p.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			p.log.Error("storefront: the server ended", "error", err)
		}
	})
	return nil
}

func (p *pod) port() string {
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(p.url, "http://")) // of a listener's address
	return port
}

// close stops what uses the cache, then the cache, then what the cache uses.
func (p *pod) close(ctx context.Context) error {
	var errs []error
	if p.server != nil {
		errs = append(errs, p.drain(ctx))
	}
	p.stopFollowers()
	p.following.Wait() // bounded: a stream's end is
	if p.cache != nil {
		errs = append(errs, p.cache.Close(ctx))
	}
	errs = append(errs, p.cfg.redis.Close())
	return errors.Join(errs...)
}

// drain lets requests finish, and cuts those that take too long.
func (p *pod) drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	err := p.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = p.server.Close()
	}
	p.serving.Wait()
	return err
}
