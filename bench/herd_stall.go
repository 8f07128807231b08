package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// The bar of a stall: minStall, or so many loads, if that is more.
const (
	minStall   = 300 * time.Millisecond
	stallLoads = 8
)

// A stallReport is how long others waited for what a pod was loading when it died.
type stallReport struct {
	Pods   int         `json:"pods"`
	LoadMS float64     `json:"load_ms"`
	BarMS  float64     `json:"bar_ms"`
	Kinds  []stallKind `json:"kinds"`
}

// A stallKind is the rounds of one end.
type stallKind struct {
	Signal string  `json:"signal"`
	Rounds int     `json:"rounds"`
	P50MS  float64 `json:"stall_p50_ms"`
	P99MS  float64 `json:"stall_p99_ms"`

	stalls []time.Duration
}

// herdStall ends a pod in the middle of a load for which the others wait, again and again.
func herdStall(ctx context.Context, o herdOptions, addr string) (r *stallReport, err error) {
	cfg := podConfig{Life: &lifePodConfig{Redis: addr, Load: o.load}}
	configs := make([]podConfig, o.pods-1)
	for i := range configs {
		configs[i] = cfg
	}
	f, err := startFleet(ctx, configs, func(int, message) {})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.stop()) }()
	name := "stall-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	if _, err := callAll[string](ctx, f, "open", name); err != nil {
		return nil, err
	}
	for i := range 8 { // what a load takes is known from here on
		if _, err := callAll[int64](ctx, f, "get", fmt.Sprint("warm", i)); err != nil {
			return nil, err
		}
	}
	r = &stallReport{Pods: o.pods, LoadMS: milliseconds(o.load), BarMS: milliseconds(max(minStall, stallLoads*o.load))}
	for _, s := range []struct {
		name   string
		signal syscall.Signal
	}{{"SIGKILL", syscall.SIGKILL}, {"SIGSTOP", syscall.SIGSTOP}, {"SIGTERM", syscall.SIGTERM}} {
		kind := stallKind{Signal: s.name, Rounds: o.rounds}
		for round := range o.rounds {
			stall, err := stallOnce(ctx, f, cfg, name, fmt.Sprint(s.name, round), s.signal)
			if err != nil {
				return nil, fmt.Errorf("stall, %s: %w", s.name, err)
			}
			kind.stalls = append(kind.stalls, stall)
		}
		kind.P50MS, kind.P99MS = milliseconds(percentile(kind.stalls, 0.5)), milliseconds(percentile(kind.stalls, 0.99))
		r.Kinds = append(r.Kinds, kind)
	}
	return r, nil
}

// stallOnce starts a pod, ends it in the middle of a load, and returns how long after that the last of the others had its value.
func stallOnce(ctx context.Context, f fleet, cfg podConfig, cache, id string, signal syscall.Signal) (time.Duration, error) {
	victim, err := startPod(len(f), func(int, message) {})
	if err != nil {
		return 0, err
	}
	defer func() {
		_ = victim.cmd.Process.Kill()
		<-victim.gone
	}()
	if err := victim.call(ctx, "start", cfg, nil); err != nil {
		return 0, err
	}
	if err := victim.call(ctx, "open", cache, nil); err != nil {
		return 0, err
	}
	if err := victim.call(ctx, "get", "warm0", nil); err != nil { // from L2, as a pod does that has served for a while
		return 0, err
	}
	if err := victim.call(ctx, "begin", id, nil); err != nil {
		return 0, err
	}
	var answers []int64
	var reading sync.WaitGroup
	reading.Go(func() { answers, err = callAll[int64](ctx, f, "get", id) })
	time.Sleep(time.Duration(rand.Int64N(int64(cfg.Life.Load)/2 + 1)))
	ended := time.Now()
	kill := victim.cmd.Process.Signal(signal)
	reading.Wait()
	var last int64
	for _, a := range answers {
		last = max(last, a)
	}
	return max(0, time.Duration(last-ended.UnixNano())), errors.Join(kill, err)
}

func (r *stallReport) verdict() error {
	var errs []error
	for _, k := range r.Kinds {
		if k.P99MS > r.BarMS {
			errs = append(errs, fmt.Errorf("herd: a pod's %s stalled others for %.0f ms at p99; want at most %.0f", k.Signal, k.P99MS, r.BarMS))
		}
	}
	return errors.Join(errs...)
}

func (r *stallReport) print(p *printer) {
	p.printf("%s, one of which ends while it loads what the others wait for; a load takes %g ms, the bar is %g ms\n", count(r.Pods, "process", "es"), r.LoadMS, r.BarMS)
	p.table(func(t *printer) {
		t.printf("\trounds\tstall p50\tp99\t\n")
		for _, k := range r.Kinds {
			t.printf("%s\t%d\t%.0f ms\t%.0f ms\t\n", k.Signal, k.Rounds, k.P50MS, k.P99MS)
		}
	})
}
