package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// fanoutBar is how many names a second one follower has to bring to all pods.
const fanoutBar = 100_000

// fanoutOptions are the flags of fanout.
type fanoutOptions struct {
	pods, rate, batch, keys int
	duration                time.Duration
	redis, profiles         string
	json                    bool
}

func fanoutFlags(args []string) (fanoutOptions, error) {
	var o fanoutOptions
	flags := flag.NewFlagSet("fanout", flag.ContinueOnError)
	flags.IntVar(&o.pods, "pods", 8, "processes that hear, beside the one that follows")
	flags.IntVar(&o.rate, "rate", 0, "names a second; 0: as many as the follower can")
	flags.IntVar(&o.batch, "batch", 500, "names of one call of Feed.Invalidate; a cdc.Follower's has 500")
	flags.IntVar(&o.keys, "keys", 1_000_000, "different names")
	flags.DurationVar(&o.duration, "for", 10*time.Second, "how long the follower invalidates")
	flags.StringVar(&o.redis, "redis", "auto", "auto: start one; or its host:port")
	flags.StringVar(&o.profiles, "profiles", "", "a directory for CPU profiles of the follower and of pod 0")
	flags.BoolVar(&o.json, "json", false, "print JSON")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.pods < 1 || o.rate < 0 || o.batch < 1 || o.keys < o.batch || o.duration <= 0 || o.redis == "none" || flags.NArg() > 0 {
		return o, errors.New("fanout: -pods and -batch are at least 1, -keys at least -batch, -rate at least 0, -for above 0, -redis auto or an address; nothing follows the flags")
	}
	return o, nil
}

// fanoutReport is what fanout measured.
type fanoutReport struct {
	Pods       int     `json:"pods"`
	Batch      int     `json:"batch"`
	Rate       int     `json:"rate,omitempty"` // asked for; 0: as fast as can be
	Names      uint64  `json:"names"`
	Seconds    float64 `json:"seconds"`          // until the last pod had applied the last name
	PerSecond  float64 `json:"names_per_second"` // Names / Seconds
	Probes     int     `json:"probes"`
	DelayP50MS float64 `json:"delay_p50_ms"` // from a call's return until the last pod had applied its names
	DelayP99MS float64 `json:"delay_p99_ms"`
	DelayMaxMS float64 `json:"delay_max_ms"`
	Resyncs    uint64  `json:"resyncs"` // of pods that lost messages for good

	// Processor time for a name, in µs. Pods is the mean of one.
	FollowerCPU float64 `json:"follower_cpu_us"`
	PodCPU      float64 `json:"pod_cpu_us"`
	RedisCPU    float64 `json:"redis_cpu_us"`
}

func fanoutCommand(ctx context.Context, args []string, out io.Writer) error {
	o, err := fanoutFlags(args)
	if err != nil {
		return err
	}
	r, err := fanout(ctx, o)
	if err != nil {
		return err
	}
	return errors.Join(report(out, o.json, r), r.verdict())
}

// fanout runs the follower and its pods once. The follower is the process behind the last pod.
func fanout(ctx context.Context, o fanoutOptions) (r *fanoutReport, err error) {
	s, err := newServers()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	addr, err := s.redis(o.redis)
	if err != nil {
		return nil, err
	}
	run := &fanoutRun{options: o, server: redis.NewClient(&redis.Options{Addr: addr}), lasts: make(map[uint64]*fanoutProbe)}
	defer func() { _ = run.server.Close() }()
	configs := make([]podConfig, o.pods+1)
	cache := "fanout-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	for i := range configs {
		configs[i].Fanout = &fanoutPodConfig{Redis: addr, Cache: cache}
		if i == o.pods {
			configs[i].Fanout.Keys = o.keys
		}
		if o.profiles != "" && (i == 0 || i == o.pods) {
			configs[i].Fanout.Profile = fmt.Sprintf("%s/%s.pprof", o.profiles, map[bool]string{true: "follower", false: "pod"}[i == o.pods])
		}
	}
	f, err := startFleet(ctx, configs, run.pushed)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.stop()) }()
	run.fleet.Store(&f)
	return run.measure(ctx)
}

// A fanoutRun is one load.
type fanoutRun struct {
	options fanoutOptions
	server  *redis.Client
	fleet   atomic.Pointer[fleet]

	mu     sync.Mutex // guards the fields below
	lasts  map[uint64]*fanoutProbe
	delays []time.Duration
}

// A fanoutProbe is a call that returned, on its way through the pods.
type fanoutProbe struct {
	Sent  uint64        `json:"sent"`  // names up to and including that call
	Acked int64         `json:"acked"` // Unix ns
	Delay time.Duration `json:"delay"` // a pod's answer, or the highest so far

	answers int
}

// pushed hands the follower's probes to the pods, and gathers what they say.
func (r *fanoutRun) pushed(from int, m message) {
	var p fanoutProbe
	if err := json.Unmarshal(m.Data, &p); err != nil {
		return // the run ends with too few probes
	}
	if from == r.options.pods {
		for _, pod := range (*r.fleet.Load())[:from] {
			_ = pod.send(m.Kind, m.Data) // a pod that is gone fails its next call
		}
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.lasts[p.Sent]
	if last == nil {
		last = &fanoutProbe{}
		r.lasts[p.Sent] = last
	}
	last.Delay = max(last.Delay, p.Delay)
	if last.answers++; last.answers == r.options.pods {
		r.delays = append(r.delays, last.Delay)
		delete(r.lasts, p.Sent)
	}
}

func (r *fanoutRun) measure(ctx context.Context) (*fanoutReport, error) {
	o, f := r.options, *r.fleet.Load()
	before, err := processorTime(ctx, f, r.server)
	if err != nil {
		return nil, err
	}
	var sent fanoutSent
	load := fanoutLoad{For: o.duration, Rate: o.rate, Batch: o.batch}
	if err := f[o.pods].call(ctx, "load", load, &sent); err != nil {
		return nil, err
	}
	reached, err := callAll[fanoutReached](ctx, f[:o.pods], "reach", sent.Names)
	if err != nil {
		return nil, err
	}
	after, err := processorTime(ctx, f, r.server)
	if err != nil {
		return nil, err
	}
	report := &fanoutReport{Pods: o.pods, Batch: o.batch, Rate: o.rate, Names: sent.Names}
	last := int64(0)
	for i, p := range reached {
		last = max(last, p.At)
		report.Resyncs += p.Resyncs
		report.PodCPU += (after[i] - before[i]) / float64(o.pods)
	}
	report.Seconds = time.Duration(last - sent.Began).Seconds()
	report.PerSecond = float64(sent.Names) / report.Seconds
	perName := 1e6 / float64(sent.Names)
	report.PodCPU *= perName
	report.FollowerCPU, report.RedisCPU = (after[o.pods]-before[o.pods])*perName, (after[o.pods+1]-before[o.pods+1])*perName
	r.mu.Lock()
	defer r.mu.Unlock()
	report.Probes = len(r.delays)
	report.DelayP50MS, report.DelayP99MS = milliseconds(percentile(r.delays, 0.5)), milliseconds(percentile(r.delays, 0.99))
	report.DelayMaxMS = milliseconds(percentile(r.delays, 1))
	return report, nil
}

// verdict is an error where names came too slowly, or not by themselves.
func (r *fanoutReport) verdict() error {
	var errs []error
	want := float64(fanoutBar)
	if r.Rate > 0 {
		want = min(want, 0.95*float64(r.Rate))
	}
	if r.PerSecond < want {
		errs = append(errs, fmt.Errorf("fanout: %.0f names a second; want %.0f", r.PerSecond, want))
	}
	if r.Resyncs > 0 {
		errs = append(errs, fmt.Errorf("fanout: pods lost messages for good, %d times", r.Resyncs))
	}
	if r.Probes == 0 {
		errs = append(errs, errors.New("fanout: no probe came back from all pods"))
	}
	return errors.Join(errs...)
}

func (r *fanoutReport) print(p *printer) {
	p.printf("%d pods: %d names in %.1f s, %d a call: %.0f names a second, all applied by all pods; %d resyncs\n",
		r.Pods, r.Names, r.Seconds, r.Batch, r.PerSecond, r.Resyncs)
	p.printf("from the return of a call until the last pod had applied it: p50 %.1f ms, p99 %.1f ms, max %.1f ms (%d calls)\n",
		r.DelayP50MS, r.DelayP99MS, r.DelayMaxMS, r.Probes)
	p.printf("processor time of a name: follower %.2f µs, each pod %.2f µs, Redis %.2f µs\n", r.FollowerCPU, r.PodCPU, r.RedisCPU)
}
