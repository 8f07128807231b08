package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"sync"
	"time"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/tier"
)

const (
	cdcSpace   = "bench:row"
	cdcFeed    = "rows"
	cdcWatched = 100 // rows whose single changes are timed, in turns
)

// cdcPodConfig is what a process of cdc is made of.
type cdcPodConfig struct {
	Redis   string           `json:"redis"`
	Cache   string           `json:"cache"`
	IDs     string           `json:"ids"`               // format of the identifier of row %d
	Source  *cdcSourceConfig `json:"source,omitempty"`  // of the one that follows
	Profile string           `json:"profile,omitempty"` // a directory
}

// A cdcPod hears invalidations and holds entries, or follows the feed.
type cdcPod struct {
	cfg    cdcPodConfig
	cache  *podCache
	rows   *tier.Space[int64]
	marked uint64 // names applied at the last mark

	mu     sync.Mutex       // guards the field below
	loaded map[string]int64 // when each row was last loaded by Get, Unix ns

	// Of the one that follows.
	source   cdc.Source
	feed     *tier.Feed
	follower *cdc.Follower // nil: not now
	stop     context.CancelFunc
	running  sync.WaitGroup
	profile  *os.File
}

func newCDCPod(ctx context.Context, cfg cdcPodConfig) (_ *cdcPod, err error) {
	p := &cdcPod{cfg: cfg, loaded: make(map[string]int64)}
	if p.cache, err = openCache(ctx, cfg.Cache, cfg.Redis, 0); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			p.cache.close(ctx)
		}
	}()
	p.rows, err = tier.NewSpace(p.cache.Cache, tier.SpaceConfig[int64]{
		Name: cdcSpace, Strategy: tier.CDC(cdcFeed), Load: p.load,
		LoadMany: func(_ context.Context, b *tier.Batch[int64]) error {
			for _, id := range b.IDs() {
				b.Set(id, 1)
			}
			return nil
		},
	})
	if err != nil || cfg.Source == nil {
		return p, err
	}
	if p.feed, err = p.cache.Feed(cdcFeed); err != nil {
		return nil, err
	}
	if p.source, err = cfg.Source.open(); err != nil {
		return nil, err
	}
	if cfg.Profile != "" {
		if p.profile, err = os.Create(filepath.Join(cfg.Profile, cfg.Source.Name+".pprof")); err != nil {
			return nil, err
		}
		err = pprof.StartCPUProfile(p.profile)
	}
	return p, err
}

func (p *cdcPod) load(_ context.Context, id string) (int64, error) {
	now := time.Now().UnixNano()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.loaded[id] = now
	return now, nil
}

func (p *cdcPod) id(i int) string { return fmt.Sprintf(p.cfg.IDs, i) }

func (p *cdcPod) lastLoad(id string) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.loaded[id]
}

func (p *cdcPod) handle(ctx context.Context, m message) (any, error) {
	n := 0
	if len(m.Data) > 0 {
		if err := json.Unmarshal(m.Data, &n); err != nil {
			return nil, err
		}
	}
	switch m.Kind {
	case "cpu":
		return cpuSeconds()
	case "fill":
		return nil, p.fill(ctx, n)
	case "mark":
		p.marked = p.cache.applied(cdcFeed)
		return nil, nil
	case "drained":
		return p.drained(ctx, n)
	case "follow":
		return p.follow(ctx)
	case "leave":
		return nil, p.leave()
	case "watch":
		return p.watch(ctx, n)
	}
	return nil, errors.New("unknown")
}

func (*cdcPod) push(message) error { return errors.New("unknown") }

// fill reads the first n rows, so that L2 and this pod's L1 hold them.
func (p *cdcPod) fill(ctx context.Context, n int) error {
	ids := make([]string, 0, 512)
	for i := 1; i <= n; i++ {
		if ids = append(ids, p.id(i)); len(ids) < cap(ids) && i < n {
			continue
		}
		for i, r := range p.rows.GetMany(ctx, ids) {
			if r.Err != nil {
				return fmt.Errorf("fill %s: %w", ids[i], r.Err)
			}
		}
		ids = ids[:0]
	}
	return nil
}

// drained returns when this pod has applied n names since the mark and, where it follows, the checkpoint is behind them.
func (p *cdcPod) drained(ctx context.Context, n int) (at int64, err error) {
	err = await(ctx, "apply all changes", func() bool { return p.cache.applied(cdcFeed)-p.marked >= uint64(n) })
	if err == nil && p.follower != nil {
		err = await(ctx, "move the checkpoint", func() bool { return p.follower.Stats().Events >= uint64(n) })
	}
	return time.Now().UnixNano(), err
}

// follow starts a follower, waits until it has caught up, and says when it started it.
func (p *cdcPod) follow(ctx context.Context) (began int64, err error) {
	if p.source == nil || p.follower != nil {
		return 0, errors.New("this pod follows nothing, or already")
	}
	p.follower, err = cdc.NewFollower(cdc.FollowerConfig{
		Source: p.source, Feed: p.feed, Logger: quiet(), Collapse: -1,
		Rewind: 1, // or the server would decode the last 30 s again, at each start
		Routes: cdc.Routes{p.cfg.Source.Entity: {
			Rules: []cdc.Rule{{Names: []string{tier.Key(cdcSpace, "{"+p.cfg.Source.Column+"}")}}},
			All:   []string{tier.SpaceName(cdcSpace)},
		}},
	})
	if err != nil {
		return 0, err
	}
	runs, stop := context.WithCancel(context.WithoutCancel(ctx))
	p.stop = stop
	began = time.Now().UnixNano()
	p.running.Go(func() { _ = p.follower.Run(runs) }) // fails only when it runs already
	return began, await(ctx, "follow the feed", func() bool {
		stats := p.follower.Stats()
		return stats.Connected && stats.Position != ""
	})
}

func (p *cdcPod) leave() error {
	if p.follower == nil {
		return errors.New("this pod does not follow")
	}
	p.stop()
	p.running.Wait()
	p.follower = nil
	return nil
}

// watch reads the watched rows in turn, each until it is loaded anew, n times in all, and says when that was.
//
// A load is the proof that neither L1 nor L2 had the entry. It begins one round trip to L2 after L1 had lost it: the delay is rather too long
// than too short.
func (p *cdcPod) watch(ctx context.Context, n int) (seen []int64, err error) {
	before := make([]int64, cdcWatched)
	for i := range n {
		id := p.id(i%cdcWatched + 1)
		deadline := time.Now().Add(patience)
		for p.lastLoad(id) == before[i%cdcWatched] {
			if _, err := p.rows.Get(ctx, id); err != nil {
				return nil, err
			}
			if time.Now().After(deadline) {
				return nil, fmt.Errorf("change %d, of row %s, did not arrive in %s", i+1, id, patience)
			}
			time.Sleep(50 * time.Microsecond)
		}
		before[i%cdcWatched] = p.lastLoad(id)
		seen = append(seen, before[i%cdcWatched])
	}
	return seen, nil
}

func (p *cdcPod) close(ctx context.Context) {
	if p.follower != nil {
		_ = p.leave()
	}
	if p.profile != nil {
		pprof.StopCPUProfile()
		_ = p.profile.Close()
	}
	p.cache.close(ctx)
}
