package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// maxStartLoads is how many loads a key may cost a fleet that starts together.
const maxStartLoads = 1.05

// A startReport is what fleets that started together have measured.
type startReport struct {
	Pods   int         `json:"pods"`
	Keys   int         `json:"keys"`
	LoadMS float64     `json:"load_ms"`
	Rounds []startKind `json:"rounds"`
}

// A startKind is one start.
type startKind struct {
	Name     string  `json:"name"` // cold, or warm
	Loads    uint64  `json:"loads"`
	LoadsKey float64 `json:"loads_a_key"`
	Failed   uint64  `json:"failed"`
	TookMS   float64 `json:"answered_ms"` // from the word to start until the last pod has all values
}

// herdStart opens the caches of all pods simultaneously, each of which reads all keys in parallel: with nothing in L2, and then with all values.
func herdStart(ctx context.Context, o herdOptions, addr string) (r *startReport, err error) {
	configs := make([]podConfig, o.pods)
	for i := range configs {
		configs[i].Life = &lifePodConfig{Redis: addr, Load: o.load}
	}
	f, err := startFleet(ctx, configs, func(int, message) {})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.stop()) }()
	r = &startReport{Pods: o.pods, Keys: o.keys, LoadMS: milliseconds(o.load)}
	for range o.rounds {
		name := "start-" + strconv.FormatInt(time.Now().UnixNano(), 36)
		for _, kind := range []string{"cold", "warm"} {
			k, err := startOnce(ctx, f, name, o.keys)
			if err != nil {
				return nil, fmt.Errorf("start, %s: %w", kind, err)
			}
			k.Name = kind
			r.Rounds = append(r.Rounds, k)
		}
	}
	return r, nil
}

func startOnce(ctx context.Context, f fleet, name string, keys int) (k startKind, err error) {
	began := time.Now()
	answers, err := callAll[lifeAnswer](ctx, f, "all", fmt.Sprint(name, " ", keys))
	if err != nil {
		return k, err
	}
	for _, a := range answers {
		k.Loads += a.Loads
		k.Failed += a.Failed
		k.TookMS = max(k.TookMS, milliseconds(time.Duration(a.Last-began.UnixNano())))
	}
	k.LoadsKey = float64(k.Loads) / float64(keys)
	_, err = callAll[string](ctx, f, "shut", "")
	return k, err
}

func (r *startReport) verdict() error {
	var errs []error
	for _, k := range r.Rounds {
		if most := map[string]float64{"cold": maxStartLoads}[k.Name]; k.LoadsKey > most {
			errs = append(errs, fmt.Errorf("herd: %s start: %.2f loads a key; want at most %.2f", k.Name, k.LoadsKey, most))
		}
		if k.Failed > 0 {
			errs = append(errs, fmt.Errorf("herd: %s start: %d reads failed", k.Name, k.Failed))
		}
	}
	return errors.Join(errs...)
}

func (r *startReport) print(p *printer) {
	p.printf("%s start together and read %s, a load takes %g ms\n", count(r.Pods, "process", "es"), count(r.Keys, "key", "s"), r.LoadMS)
	p.table(func(t *printer) {
		t.printf("L2\tloads\ta key\tfailed\tanswered\t\n")
		for _, k := range r.Rounds {
			t.printf("%s\t%d\t%.2f\t%d\t%.0f ms\t\n", k.Name, k.Loads, k.LoadsKey, k.Failed, k.TookMS)
		}
	})
}
