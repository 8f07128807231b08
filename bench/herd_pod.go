package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tandem-cache/tandem/tier"
)

// herdPodConfig is what a pod of a herd is made of.
type herdPodConfig struct {
	Number     int           `json:"number"`
	Redis      string        `json:"redis"` // empty: none
	Cache      string        `json:"cache"`
	Goroutines int           `json:"goroutines"`
	Load       time.Duration `json:"load"`
}

const herdSpace = "herd:value"

// herdValue is what the loader makes: a new one each time.
type herdValue struct {
	Pod    int
	Serial uint64
	At     int64 // Unix ns, when the load ended
}

// herdArm asks for goroutines that read ids, and old values to be told from new ones by when they were loaded.
type herdArm struct {
	IDs  []string `json:"ids"`
	Old  int64    `json:"old"`  // Unix ns: what was loaded before is old
	Bare bool     `json:"bare"` // no cache: one timer of the loader's time for all
}

// herdAnswer is what a round was in one pod.
type herdAnswer struct {
	Last  int64  `json:"last"`  // Unix ns, when the last goroutine had its value
	Loads uint64 `json:"loads"` // started during the round
	Old   uint64 `json:"old"`   // goroutines that got an old value
}

// A herdPod reads with many goroutines at once.
type herdPod struct {
	cfg    herdPodConfig
	cache  *podCache
	values *tier.Space[*herdValue]
	loads  atomic.Uint64
	round  *herdRound // nil: not armed
}

// A herdRound is a crowd of parked goroutines.
type herdRound struct {
	release chan struct{} // closed to let them go
	bare    chan struct{} // closed by a timer when there is no cache to ask; nil: ask the cache
	done    sync.WaitGroup
	loads   uint64 // before the round
	old     atomic.Uint64
	failed  atomic.Pointer[error] // the last goroutine's that failed
}

func newHerdPod(ctx context.Context, cfg herdPodConfig) (*herdPod, error) {
	p := &herdPod{cfg: cfg}
	var err error
	if p.cache, err = openCache(ctx, cfg.Cache, cfg.Redis, 0); err != nil {
		return nil, err
	}
	p.values, err = tier.NewSpace(p.cache.Cache, tier.SpaceConfig[*herdValue]{
		Name: herdSpace, Strategy: tier.TTL(time.Hour), Load: p.load,
	})
	if err != nil {
		p.cache.close(ctx)
		return nil, err
	}
	return p, nil
}

func (p *herdPod) load(ctx context.Context, _ string) (*herdValue, error) {
	n := p.loads.Add(1)
	if p.cfg.Load > 0 {
		select {
		case <-time.After(p.cfg.Load):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return &herdValue{Pod: p.cfg.Number, Serial: n, At: time.Now().UnixNano()}, nil
}

func (p *herdPod) handle(ctx context.Context, m message) (any, error) {
	switch m.Kind {
	case "arm":
		var arm herdArm
		if err := json.Unmarshal(m.Data, &arm); err != nil {
			return nil, err
		}
		return "armed", p.arm(ctx, arm)
	case "go":
		return p.run()
	case "invalidate":
		var ids []string
		if err := json.Unmarshal(m.Data, &ids); err != nil {
			return nil, err
		}
		return "invalidated", p.values.Invalidate(ctx, ids...)
	case "applied":
		return p.cache.applied("api"), nil
	case "heard":
		var count uint64
		if err := json.Unmarshal(m.Data, &count); err != nil {
			return nil, err
		}
		return "heard", await(ctx, "hear the invalidation", func() bool { return p.cache.applied("api") >= count })
	}
	return nil, errors.New("unknown")
}

func (p *herdPod) push(m message) error { return fmt.Errorf("%s: unknown", m.Kind) }

// arm parks the goroutines. When it returns, each is about to wait for the release, or waits.
func (p *herdPod) arm(ctx context.Context, arm herdArm) error {
	if p.round != nil {
		return errors.New("armed already")
	}
	r := &herdRound{release: make(chan struct{}), loads: p.loads.Load()}
	if arm.Bare {
		r.bare = make(chan struct{})
	}
	var parked sync.WaitGroup
	parked.Add(p.cfg.Goroutines)
	for i := range p.cfg.Goroutines {
		r.done.Go(func() {
			parked.Done()
			<-r.release
			if r.bare != nil {
				<-r.bare
				return
			}
			v, err := p.values.Get(ctx, arm.IDs[i%len(arm.IDs)])
			switch {
			case err != nil:
				r.failed.Store(&err)
			case v.At < arm.Old:
				r.old.Add(1)
			}
		})
	}
	parked.Wait()
	p.round = r
	return nil
}

// run releases the goroutines and waits for all of them.
func (p *herdPod) run() (herdAnswer, error) {
	r := p.round
	if r == nil {
		return herdAnswer{}, errors.New("not armed")
	}
	p.round = nil
	if r.bare != nil {
		time.AfterFunc(p.cfg.Load, func() { close(r.bare) })
	}
	close(r.release)
	r.done.Wait()
	last := time.Now().UnixNano()
	if err := r.failed.Load(); err != nil {
		return herdAnswer{}, fmt.Errorf("a goroutine failed: %w", *err)
	}
	return herdAnswer{Last: last, Loads: p.loads.Load() - r.loads, Old: r.old.Load()}, nil
}

func (p *herdPod) close(ctx context.Context) {
	if p.round != nil { // the program died between the two
		_, _ = p.run()
	}
	p.cache.close(ctx)
}
