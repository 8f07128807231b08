package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/tier"
)

// lifePodConfig is what a pod is made of that starts, or is killed. Its cache has the defaults: they are what is measured.
type lifePodConfig struct {
	Redis string        `json:"redis"`
	Load  time.Duration `json:"load"`
}

// A lifePod opens a cache when it is told to.
type lifePod struct {
	cfg    lifePodConfig
	client *redis.Client
	cache  *tier.Cache // nil: not open
	values *tier.Space[int]
	loads  atomic.Uint64
	begun  chan string // the identifiers of loads that have begun; nobody may read it
}

func newLifePod(cfg lifePodConfig) *lifePod {
	return &lifePod{cfg: cfg, begun: make(chan string, 1024)}
}

func (p *lifePod) load(ctx context.Context, id string) (int, error) {
	p.loads.Add(1)
	select {
	case p.begun <- id:
	default:
	}
	select {
	case <-time.After(p.cfg.Load):
		return 1, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (p *lifePod) handle(ctx context.Context, m message) (any, error) {
	var text string
	if err := json.Unmarshal(m.Data, &text); err != nil {
		return nil, err
	}
	switch m.Kind {
	case "open":
		return "open", p.open(ctx, text)
	case "shut":
		p.shut(ctx)
		return "shut", nil
	case "all": // opens, and reads all identifiers simultaneously
		name, keys, _ := cutLast(text)
		return p.all(ctx, name, keys)
	case "get":
		_, err := p.values.Get(ctx, text)
		return time.Now().UnixNano(), err
	case "begin": // returns when the load has begun
		go func() { _, _ = p.values.Get(context.WithoutCancel(ctx), text) }()
		for {
			select {
			case id := <-p.begun:
				if id == text {
					return "begun", nil
				}
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
	}
	return nil, errors.New("unknown")
}

// cutLast splits "name 100".
func cutLast(text string) (name string, n int, err error) {
	_, err = fmt.Sscanf(text, "%s %d", &name, &n)
	return name, n, err
}

func (p *lifePod) open(ctx context.Context, name string) error {
	p.client = redis.NewClient(&redis.Options{Addr: p.cfg.Redis})
	var err error
	if p.cache, err = tier.Open(ctx, tier.Config{Name: name, Redis: p.client, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		return err
	}
	p.values, err = tier.NewSpace(p.cache, tier.SpaceConfig[int]{Name: herdSpace, Strategy: tier.TTL(time.Hour), Load: p.load})
	return err
}

func (p *lifePod) shut(ctx context.Context) {
	if p.cache != nil {
		_ = p.cache.Close(ctx)
		_ = p.client.Close()
		p.cache = nil
	}
}

// lifeAnswer is what a start was in one pod.
type lifeAnswer struct {
	Loads  uint64 `json:"loads"`
	Failed uint64 `json:"failed"`
	Last   int64  `json:"last"` // Unix ns, when the last read was answered
}

func (p *lifePod) all(ctx context.Context, name string, keys int) (lifeAnswer, error) {
	if err := p.open(ctx, name); err != nil {
		return lifeAnswer{}, err
	}
	before := p.loads.Load()
	var failed atomic.Uint64
	var reads sync.WaitGroup
	for i := range keys {
		reads.Go(func() {
			if _, err := p.values.Get(ctx, strconv.Itoa(i)); err != nil {
				failed.Add(1)
			}
		})
	}
	reads.Wait()
	return lifeAnswer{Loads: p.loads.Load() - before, Failed: failed.Load(), Last: time.Now().UnixNano()}, nil
}

func (p *lifePod) push(m message) error { return fmt.Errorf("%s: unknown", m.Kind) }

func (p *lifePod) close(ctx context.Context) { p.shut(ctx) }
