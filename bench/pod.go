package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/tier"
)

// A role is what a pod does.
type role interface {
	// handle does what a message asks and answers. One runs at a time, in a goroutine of its own.
	handle(ctx context.Context, m message) (any, error)
	// push takes a message that nobody waits for, one at a time and in order. It must not wait for other messages.
	push(m message) error
	// close ends the role, once no handle runs.
	close(ctx context.Context)
}

// podConfig is the first message that a pod gets, as "start".
type podConfig struct {
	Herd      *herdPodConfig      `json:"herd,omitempty"`
	Coherence *coherencePodConfig `json:"coherence,omitempty"`
	Fanout    *fanoutPodConfig    `json:"fanout,omitempty"`
	KeysOther *keysPodConfig      `json:"keys_other,omitempty"`
	CDC       *cdcPodConfig       `json:"cdc,omitempty"`
	Life      *lifePodConfig      `json:"life,omitempty"`
}

// closeTimeout bounds the end of a pod's role.
const closeTimeout = 30 * time.Second

// servePod is the life of a pod: it does what in says until in ends, which it also does when the program dies.
func servePod(in io.Reader, out io.Writer) error {
	ctx, stop := context.WithCancel(context.Background())
	w := &wire{out: out}
	var r role
	var handling sync.WaitGroup
	err := receive(in, func(m message) (err error) {
		switch {
		case r == nil:
			made, err := newRole(ctx, m, w)
			if err != nil { // made is a nil of some type, and r stays nil
				return w.send(kindError, err.Error())
			}
			r = made
			return w.send(m.Kind, "started")
		case isPush(m.Kind):
			return r.push(m)
		}
		handling.Go(func() { answer(ctx, r, m, w) })
		return nil
	})
	stop()
	handling.Wait()
	if r != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		r.close(ctx)
	}
	return err
}

// answer lets the role handle a message. That the program is gone shows when in ends.
func answer(ctx context.Context, r role, m message, w *wire) {
	data, err := r.handle(ctx, m)
	if err != nil {
		_ = w.send(kindError, fmt.Sprintf("%s: %v", m.Kind, err))
		return
	}
	_ = w.send(m.Kind, data)
}

func newRole(ctx context.Context, m message, w *wire) (role, error) {
	var cfg podConfig
	if err := json.Unmarshal(m.Data, &cfg); err != nil {
		return nil, err
	}
	switch {
	case cfg.Herd != nil:
		return newHerdPod(ctx, *cfg.Herd)
	case cfg.Coherence != nil:
		return newCoherencePod(ctx, *cfg.Coherence, w)
	case cfg.Fanout != nil:
		return newFanoutPod(ctx, *cfg.Fanout, w)
	case cfg.CDC != nil:
		return newCDCPod(ctx, *cfg.CDC)
	case cfg.Life != nil:
		return newLifePod(*cfg.Life), nil
	case cfg.KeysOther != nil:
		return newKeysPod(ctx, *cfg.KeysOther)
	}
	return nil, errors.New("no role")
}

// podCache is a pod's cache with its connection and its metrics.
type podCache struct {
	*tier.Cache
	redis   *redis.Client // nil: L1 alone
	metrics *prometheus.Registry
}

// openCache opens a cache that hears the bus. Redis gets seconds for each call: on a machine that runs all pods, the
// databases and the load, the default would measure the machine. No call is sent twice: counts of applied names rest on that.
func openCache(ctx context.Context, name, addr string, l1 int64) (*podCache, error) {
	c := &podCache{metrics: prometheus.NewRegistry()}
	cfg := tier.Config{Name: name, L1Bytes: l1, RemoteTimeout: 5 * time.Second}
	if addr != "" {
		c.redis = redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1})
		cfg.Redis = c.redis
	}
	var err error
	if c.Cache, err = tier.Open(ctx, cfg); err != nil {
		return nil, err
	}
	if h := c.Health(ctx); !h.L1.Trusted {
		c.close(ctx)
		return nil, fmt.Errorf("the cache does not hear the bus: %v", h.Problems)
	}
	return c, c.metrics.Register(c.Cache)
}

func (c *podCache) close(ctx context.Context) {
	_ = c.Close(ctx) // a loader that hangs ends with the process
	if c.redis != nil {
		_ = c.redis.Close()
	}
}

// counter sums the values of a metric whose labels include all of want, given as name, value, name, value, ….
func (c *podCache) counter(metric string, want ...string) (sum uint64) {
	families, err := c.metrics.Gather()
	if err != nil {
		panic("bug: " + err.Error()) // the cache's own metrics don't fit together
	}
	for _, family := range families {
		if family.GetName() != metric {
			continue
		}
		for _, m := range family.GetMetric() {
			labels := make(map[string]string)
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			matches := true
			for i := 0; i < len(want); i += 2 {
				matches = matches && labels[want[i]] == want[i+1]
			}
			if matches {
				sum += uint64(m.GetCounter().GetValue())
			}
		}
	}
	return sum
}

// applied is the number of names that this pod has applied as invalidated, by origin: a feed, or "api".
func (c *podCache) applied(origin string) uint64 {
	return c.counter("tandem_invalidations_total", "origin", origin)
}

// patience is a time that only a broken machine needs.
const patience = 2 * time.Minute

// await polls until done is true, for patience at most.
func await(ctx context.Context, what string, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, context.Cause(ctx))
		case <-tick.C:
		}
	}
	return nil
}
