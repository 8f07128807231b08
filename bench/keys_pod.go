package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// keysPodConfig makes a pod the other client of Redis: it reads keys of its own.
type keysPodConfig struct {
	Redis string `json:"redis"`
	Keys  int    `json:"keys"`
}

// keysPod is the other client.
type keysPod struct {
	client *redis.Client
	keys   int
}

const keysConns = 4 // of the other client; each waits for one answer at a time

func newKeysPod(ctx context.Context, cfg keysPodConfig) (*keysPod, error) {
	p := &keysPod{client: redis.NewClient(&redis.Options{Addr: cfg.Redis, PoolSize: keysConns, MinIdleConns: keysConns}), keys: cfg.Keys}
	pipe := p.client.Pipeline()
	for i := range p.keys {
		pipe.Set(ctx, p.key(i), "a value of another service", 0)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		_ = p.client.Close()
		return nil, err
	}
	return p, nil
}

func (p *keysPod) key(i int) string { return fmt.Sprint("neighbour:", i) }

// A keysWindow is a time during which the other client reads.
type keysWindow struct {
	For  time.Duration `json:"for"`
	Rate int           `json:"rate"` // reads a second
}

// keysLatencies are its reads.
type keysLatencies struct {
	Reads int           `json:"reads"`
	P50   time.Duration `json:"p50"`
	P99   time.Duration `json:"p99"`
	Max   time.Duration `json:"max"`
}

func (p *keysPod) handle(ctx context.Context, m message) (any, error) {
	var w keysWindow
	if err := json.Unmarshal(m.Data, &w); err != nil {
		return nil, err
	}
	var wg sync.WaitGroup
	took := make([][]time.Duration, keysConns)
	errs := make([]error, keysConns)
	for i := range keysConns {
		wg.Go(func() { took[i], errs[i] = p.read(ctx, w) })
	}
	wg.Wait()
	var all []time.Duration
	for i := range keysConns {
		if errs[i] != nil {
			return nil, errs[i]
		}
		all = append(all, took[i]...)
	}
	return keysLatencies{Reads: len(all), P50: percentile(all, 0.5), P99: percentile(all, 0.99), Max: percentile(all, 1)}, nil
}

// read is one connection. Its reads come at times of their own, so that they meet a page of a scan at any moment of it.
func (p *keysPod) read(ctx context.Context, w keysWindow) (took []time.Duration, err error) {
	mean := float64(keysConns) * float64(time.Second) / float64(w.Rate)
	for end := time.Now().Add(w.For); time.Now().Before(end); {
		time.Sleep(time.Duration(rand.ExpFloat64() * mean))
		began := time.Now()
		if err := p.client.Get(ctx, p.key(rand.IntN(p.keys))).Err(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}

func (p *keysPod) push(message) error { return nil }

func (p *keysPod) close(context.Context) { _ = p.client.Close() }
