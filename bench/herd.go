package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"
)

// herdOptions are the flags of herd.
type herdOptions struct {
	pods, goroutines, keys, rounds int
	load, within                   time.Duration
	suite                          string
	redis                          string
	json                           bool
}

func herdFlags(args []string) (herdOptions, error) {
	var o herdOptions
	flags := flag.NewFlagSet("herd", flag.ContinueOnError)
	flags.StringVar(&o.suite, "suite", suiteCallers, "callers: many callers of a key; start: a fleet that starts together (default 30 pods, 100 keys, 3 rounds); stall: a pod that dies during a load")
	flags.IntVar(&o.pods, "pods", 4, "processes; always 1 without Redis")
	flags.IntVar(&o.goroutines, "goroutines", 10_000, "callers, in all pods together")
	flags.IntVar(&o.keys, "keys", 1, "keys that they read in a round")
	flags.IntVar(&o.rounds, "rounds", 20, "rounds of each kind")
	flags.DurationVar(&o.load, "load", 20*time.Millisecond, "how long the loader takes")
	flags.DurationVar(&o.within, "within", 0, "fail unless the median cold round is answered within this; 0: any time will do")
	flags.StringVar(&o.redis, "redis", "auto", "auto: start one; none; or its host:port")
	flags.BoolVar(&o.json, "json", false, "print JSON")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	set := make(map[string]bool)
	flags.Visit(func(f *flag.Flag) { set[f.Name] = true })
	if o.suite == suiteStart {
		for name, value := range map[string]struct {
			at *int
			n  int
		}{"pods": {&o.pods, 30}, "keys": {&o.keys, 100}, "rounds": {&o.rounds, 3}} {
			if !set[name] {
				*value.at = value.n
			}
		}
	}
	if o.suite != suiteCallers {
		o.goroutines = o.pods * o.keys
	}
	if o.suite != suiteCallers && o.redis == "none" || o.suite == suiteStall && o.pods < 2 {
		return o, errors.New("herd: -suite start and stall need Redis, and stall at least two -pods")
	}
	if !slices.Contains([]string{suiteCallers, suiteStart, suiteStall}, o.suite) {
		return o, fmt.Errorf("herd: -suite %q: want %s, %s or %s", o.suite, suiteCallers, suiteStart, suiteStall)
	}
	if o.redis == "none" {
		o.pods = 1
	}
	if o.pods < 1 || o.keys < 1 || o.rounds < 1 || o.goroutines < o.pods*o.keys || o.load < 0 || flags.NArg() > 0 {
		return o, errors.New("herd: -pods, -keys and -rounds are at least 1, -goroutines at least -pods × -keys, -load at least 0; nothing follows the flags")
	}
	return o, nil
}

// The suites of herd.
const (
	suiteCallers = "callers"
	suiteStart   = "start"
	suiteStall   = "stall"
)

// herdReport is what a herd measured.
type herdReport struct {
	Pods       int        `json:"pods"`
	Goroutines int        `json:"goroutines"`
	Keys       int        `json:"keys"`
	LoadMS     float64    `json:"load_ms"`
	Redis      bool       `json:"redis"`
	Kinds      []herdKind `json:"kinds"`
}

// herdKind is the rounds of one kind.
type herdKind struct {
	Name     string  `json:"name"`
	Rounds   int     `json:"rounds"`
	LoadsMin uint64  `json:"loads_min"` // of a round, in all pods
	LoadsMax uint64  `json:"loads_max"`
	Old      uint64  `json:"old_answers"` // in all rounds
	P50MS    float64 `json:"answered_p50_ms"`
	MaxMS    float64 `json:"answered_max_ms"`

	answered []time.Duration
}

// The kinds of round.
const (
	bare            = "no cache"
	cold            = "cold"
	invalidatedAll  = "invalidated, all heard"
	invalidatedOnce = "invalidated, at once"
)

func herdCommand(ctx context.Context, args []string, out io.Writer) error {
	o, err := herdFlags(args)
	if err != nil {
		return err
	}
	switch o.suite {
	case suiteStart:
		return herdLife(ctx, o, out, herdStart)
	case suiteStall:
		return herdLife(ctx, o, out, herdStall)
	}
	r, err := herd(ctx, o)
	if err != nil {
		return err
	}
	return errors.Join(report(out, o.json, r), r.verdict(o.within))
}

// herdLife runs a suite in which pods start or end.
func herdLife[R interface {
	print(p *printer)
	verdict() error
}](ctx context.Context, o herdOptions, out io.Writer, suite func(context.Context, herdOptions, string) (R, error)) (err error) {
	s, err := newServers()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	addr, err := s.redis(o.redis)
	if err != nil {
		return err
	}
	r, err := suite(ctx, o, addr)
	if err != nil {
		return err
	}
	return errors.Join(report(out, o.json, r), r.verdict())
}

// herd runs the rounds on pods of its own.
func herd(ctx context.Context, o herdOptions) (r *herdReport, err error) {
	s, err := newServers()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	addr, err := s.redis(o.redis)
	if err != nil {
		return nil, err
	}
	configs := make([]podConfig, o.pods)
	for i := range configs {
		configs[i].Herd = &herdPodConfig{
			Number: i, Redis: addr, Cache: "herd-" + strconv.FormatInt(time.Now().UnixNano(), 36),
			Goroutines: o.goroutines / o.pods, Load: o.load,
		}
		configs[i].Herd.Cache = configs[0].Herd.Cache
		if i < o.goroutines%o.pods {
			configs[i].Herd.Goroutines++
		}
	}
	f, err := startFleet(ctx, configs, func(int, message) {})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.stop()) }()
	run := &herdRun{fleet: f, options: o}
	return run.all(ctx, addr != "")
}

// A herdRun releases a fleet again and again.
type herdRun struct {
	fleet   fleet
	options herdOptions
	ids     []string // of the last cold round
}

func (r *herdRun) all(ctx context.Context, redis bool) (*herdReport, error) {
	o := r.options
	report := &herdReport{Pods: o.pods, Goroutines: o.goroutines, Keys: o.keys, LoadMS: milliseconds(o.load), Redis: redis}
	kinds := []*herdKind{{Name: bare}, {Name: cold}, {Name: invalidatedAll}}
	if o.pods > 1 { // one pod has heard when Invalidate returns
		kinds = append(kinds, &herdKind{Name: invalidatedOnce})
	}
	for round := -1; round < o.rounds; round++ { // the first warms up: connections, scripts, stacks
		for _, kind := range kinds {
			counted := kind
			if round < 0 {
				counted = &herdKind{Name: kind.Name}
			}
			if err := r.round(ctx, round, counted); err != nil {
				return nil, fmt.Errorf("herd: round %d, %s: %w", round, kind.Name, err)
			}
		}
	}
	for _, kind := range kinds {
		kind.P50MS, kind.MaxMS = milliseconds(percentile(kind.answered, 0.5)), milliseconds(percentile(kind.answered, 1))
		report.Kinds = append(report.Kinds, *kind)
	}
	return report, nil
}

// round runs one round and adds it to kind. One during which the wall clock was set is run again, with new keys if it is cold.
func (r *herdRun) round(ctx context.Context, round int, kind *herdKind) error {
	for attempt := range 3 {
		if kind.Name == cold {
			r.ids = make([]string, r.options.keys)
			for i := range r.ids {
				r.ids[i] = fmt.Sprintf("%d-%d-%d", round, attempt, i)
			}
		}
		if err := r.prepare(ctx, kind.Name); err != nil {
			return err
		}
		answers, began, took, err := r.release(ctx)
		if err != nil {
			return err
		}
		var last int64
		for _, a := range answers {
			last = max(last, a.Last)
		}
		answered := time.Duration(last - began.UnixNano())
		if answered < r.options.load && !invalidatedLate(kind.Name) || answered < 0 || answered > took+time.Millisecond {
			continue // the wall clock was set
		}
		kind.add(answers, answered)
		return nil
	}
	return errors.New("the machine's clock is set all the time")
}

// invalidatedLate says whether all goroutines may be answered before the load has ended: by old values.
func invalidatedLate(kind string) bool { return kind == invalidatedOnce }

// prepare parks the goroutines and, if the kind says so, invalidates what they will read.
func (r *herdRun) prepare(ctx context.Context, kind string) error {
	heard, err := callAll[uint64](ctx, r.fleet, "applied", nil)
	if err != nil {
		return err
	}
	if _, err := callAll[string](ctx, r.fleet, "arm", herdArm{IDs: r.ids, Old: time.Now().UnixNano(), Bare: kind == bare}); err != nil {
		return err
	}
	if kind == cold || kind == bare {
		return nil
	}
	if err := r.fleet[0].call(ctx, "invalidate", r.ids, nil); err != nil {
		return err
	}
	if kind == invalidatedOnce {
		return nil
	}
	return r.fleet.each(func(p *pod) error {
		return p.call(ctx, "heard", heard[p.number]+uint64(len(r.ids)), nil)
	})
}

// release lets the goroutines of all pods go. took is how long that was by a clock that nobody sets.
func (r *herdRun) release(ctx context.Context) (answers []herdAnswer, began time.Time, took time.Duration, err error) {
	answers = make([]herdAnswer, len(r.fleet))
	errs := make([]error, len(r.fleet))
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for i, p := range r.fleet {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			errs[i] = p.call(ctx, "go", nil, &answers[i])
		})
	}
	ready.Wait()
	began = time.Now()
	close(start)
	done.Wait()
	return answers, began, time.Since(began), errors.Join(errs...)
}

func (k *herdKind) add(answers []herdAnswer, answered time.Duration) {
	var loads uint64
	for _, a := range answers {
		loads += a.Loads
		k.Old += a.Old
	}
	if k.Rounds == 0 {
		k.LoadsMin = loads
	}
	k.LoadsMin, k.LoadsMax = min(k.LoadsMin, loads), max(k.LoadsMax, loads)
	k.Rounds++
	k.answered = append(k.answered, answered)
}

// verdict is an error where a round broke what the cache promises, or missed the time asked for.
func (r *herdReport) verdict(within time.Duration) error {
	var errs []error
	for _, k := range r.Kinds {
		want := uint64(r.Keys)
		if k.Name == bare {
			want = 0
		}
		if k.LoadsMin != want || k.LoadsMax != want {
			errs = append(errs, fmt.Errorf("herd: %s: %d to %d loads a round; want %d", k.Name, k.LoadsMin, k.LoadsMax, want))
		}
		if k.Old > 0 && k.Name != invalidatedOnce {
			errs = append(errs, fmt.Errorf("herd: %s: %d old answers; want 0", k.Name, k.Old))
		}
		if k.Name == cold && within > 0 && k.P50MS > milliseconds(within) {
			errs = append(errs, fmt.Errorf("herd: %s: answered in %.1f ms; want %s", k.Name, k.P50MS, within))
		}
	}
	return errors.Join(errs...)
}

func (r *herdReport) print(p *printer) {
	redis := "without Redis"
	if r.Redis {
		redis = "with Redis"
	}
	p.printf("%d goroutines in %s %s, %s a round, a load takes %g ms\n",
		r.Goroutines, count(r.Pods, "process", "es"), redis, count(r.Keys, "key", "s"), r.LoadMS)
	p.table(func(t *printer) {
		t.printf("\trounds\tloads a round\tanswered p50\tmax\told\t\n")
		for _, k := range r.Kinds {
			loads := strconv.FormatUint(k.LoadsMin, 10)
			if k.LoadsMax != k.LoadsMin {
				loads += "–" + strconv.FormatUint(k.LoadsMax, 10)
			}
			t.printf("%s\t%d\t%s\t%.1f ms\t%.1f ms\t%d\t\n", k.Name, k.Rounds, loads, k.P50MS, k.MaxMS, k.Old)
		}
	})
}
