package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"runtime/pprof"
	"strings"
	"sync"
	"time"

	"github.com/tandem-cache/tandem/tier"
)

// fanoutPodConfig is what a process of fanout is made of.
type fanoutPodConfig struct {
	Redis   string `json:"redis"`
	Cache   string `json:"cache"`
	Keys    int    `json:"keys,omitempty"`    // of the one that invalidates: how many different names
	Profile string `json:"profile,omitempty"` // a file
}

const (
	fanoutSpace = "fan:item"
	fanoutFeed  = "items"
)

// fanoutLoad asks the follower for invalidations.
type fanoutLoad struct {
	For   time.Duration `json:"for"`
	Rate  int           `json:"rate"`
	Batch int           `json:"batch"`
}

// fanoutSent is what it did.
type fanoutSent struct {
	Began int64  `json:"began"` // Unix ns
	Names uint64 `json:"names"`
}

// fanoutReached says when a pod had applied all names.
type fanoutReached struct {
	At      int64  `json:"at"` // Unix ns
	Resyncs uint64 `json:"resyncs"`
}

// A fanoutPod hears invalidations, or makes them.
type fanoutPod struct {
	cfg     fanoutPodConfig
	cache   *podCache
	feed    *tier.Feed
	names   []string // to invalidate
	out     *wire
	health  http.Handler
	probes  chan fanoutProbe
	resyncs uint64 // before the load
	stop    context.CancelFunc
	wg      sync.WaitGroup // the goroutine that answers probes
	profile *os.File       // nil: none
}

// probeQueue bounds the probes that a pod has not answered; further ones are lost.
const probeQueue = 1024

func newFanoutPod(ctx context.Context, cfg fanoutPodConfig, out *wire) (_ *fanoutPod, err error) {
	ctx, stop := context.WithCancel(ctx)
	p := &fanoutPod{cfg: cfg, out: out, stop: stop, probes: make(chan fanoutProbe, probeQueue), names: fanoutNames(cfg.Keys)}
	defer func() {
		if err != nil {
			stop()
		}
	}()
	if p.cache, err = openCache(ctx, cfg.Cache, cfg.Redis, 0); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			p.cache.close(ctx)
		}
	}()
	_, err = tier.NewSpace(p.cache.Cache, tier.SpaceConfig[int]{Name: fanoutSpace, Strategy: tier.CDC(fanoutFeed)})
	if err != nil {
		return nil, err
	}
	if p.feed, err = p.cache.Feed(fanoutFeed); err != nil {
		return nil, err
	}
	if cfg.Profile != "" {
		if p.profile, err = os.Create(cfg.Profile); err != nil {
			return nil, err
		}
		if err := pprof.StartCPUProfile(p.profile); err != nil {
			return nil, err
		}
	}
	p.health = p.cache.HealthHandler()
	p.resyncs = p.cache.counter("tandem_bus_resyncs_total")
	p.wg.Go(func() { p.answerProbes(ctx) })
	return p, nil
}

func (p *fanoutPod) handle(ctx context.Context, m message) (any, error) {
	switch m.Kind {
	case "cpu":
		return cpuSeconds()
	case "load":
		var load fanoutLoad
		if err := json.Unmarshal(m.Data, &load); err != nil {
			return nil, err
		}
		return p.load(ctx, load)
	case "reach":
		var names uint64
		if err := json.Unmarshal(m.Data, &names); err != nil {
			return nil, err
		}
		err := await(ctx, "apply all names", func() bool { return p.applied() >= names })
		return fanoutReached{At: time.Now().UnixNano(), Resyncs: p.cache.counter("tandem_bus_resyncs_total") - p.resyncs}, err
	}
	return nil, errors.New("unknown")
}

// push takes a probe.
func (p *fanoutPod) push(m message) error {
	var probe fanoutProbe
	if err := json.Unmarshal(m.Data, &probe); err != nil {
		return err
	}
	select {
	case p.probes <- probe:
	default:
	}
	return nil
}

// applied is the number of names that this pod has applied, as its health tells: gathering all metrics each time would cost more
// than what is measured.
func (p *fanoutPod) applied() uint64 {
	var body answerBody
	p.health.ServeHTTP(&body, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/health/fan/cache"}})
	var health struct {
		Metrics struct{ Invalidations uint64 }
	}
	if err := json.Unmarshal(body.Bytes(), &health); err != nil {
		panic("bug: " + err.Error()) // the cache's own health is no JSON
	}
	return health.Metrics.Invalidations
}

// answerBody is a response of which only the body counts.
type answerBody struct{ bytes.Buffer }

func (*answerBody) Header() http.Header { return http.Header{} }
func (*answerBody) WriteHeader(int)     {}

// answerProbes says for each probe how long after its call this pod had applied the call's names. It looks each millisecond, and
// only while it was asked: looking all the time would be a part of what is measured.
func (p *fanoutPod) answerProbes(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case probe := <-p.probes:
			if await(ctx, "apply a probe", func() bool { return p.applied() >= probe.Sent }) != nil {
				return // the program ends, or its call to reach fails the same way
			}
			probe.Delay = time.Duration(time.Now().UnixNano() - probe.Acked)
			_ = p.out.send("push-probe", probe)
		}
	}
}

const fanoutProbeEvery = 100 * time.Millisecond

// fanoutNames returns names in an order by chance. They lie in memory one after the other, as those that a follower has just made
// do: fetching a million strings from all over the memory would be a part of what is measured.
func fanoutNames(count int) []string {
	var all strings.Builder
	ends := make([]int, count)
	for i, id := range rand.Perm(count) {
		all.WriteString(tier.Key(fanoutSpace, fmt.Sprintf("acc_%07d", id)))
		ends[i] = all.Len()
	}
	names := make([]string, count)
	begin := 0
	for i, end := range ends {
		names[i], begin = all.String()[begin:end], end
	}
	return names
}

// load invalidates names at random until its time is over.
func (p *fanoutPod) load(ctx context.Context, load fanoutLoad) (fanoutSent, error) {
	began, probed := time.Now(), time.Time{}
	sent := fanoutSent{Began: began.UnixNano()}
	for time.Since(began) < load.For {
		if load.Rate > 0 {
			due := time.Duration(float64(sent.Names) / float64(load.Rate) * float64(time.Second))
			time.Sleep(due - time.Since(began))
		}
		at := int(sent.Names) % (len(p.names) - load.Batch + 1)
		if err := p.feed.Invalidate(ctx, p.names[at:at+load.Batch]...); err != nil {
			return sent, err
		}
		sent.Names += uint64(load.Batch)
		if now := time.Now(); now.Sub(probed) > fanoutProbeEvery {
			probed = now
			if err := p.out.send("push-probe", fanoutProbe{Sent: sent.Names, Acked: now.UnixNano()}); err != nil {
				return sent, err
			}
		}
	}
	return sent, nil
}

func (p *fanoutPod) close(ctx context.Context) {
	p.stop()
	p.wg.Wait()
	if p.profile != nil {
		pprof.StopCPUProfile()
		_ = p.profile.Close()
	}
	p.cache.close(ctx)
}
