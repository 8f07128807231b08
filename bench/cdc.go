package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// What the feed of PostgreSQL has to reach on two cores.
const (
	cdcBulkBar = 100_000 // changes a second of one bulk update
	cdcCalmBar = 5.0     // ms from a commit until another pod has evicted, p99
)

// cdcOptions are the flags of cdc.
type cdcOptions struct {
	sources            []string
	changes, pods      int
	rounds, calm, rate int
	redis, postgres    string
	profiles           string
	json               bool
}

func cdcFlags(args []string) (cdcOptions, error) {
	var o cdcOptions
	var sources string
	flags := flag.NewFlagSet("cdc", flag.ContinueOnError)
	flags.StringVar(&sources, "sources", strings.Join(cdcSourceNames, ","), "which, separated by commas")
	flags.IntVar(&o.changes, "changes", 200_000, "that wait for the follower in a round, each of another row")
	flags.IntVar(&o.pods, "pods", 2, "processes that hear, beside the one that follows")
	flags.IntVar(&o.rounds, "rounds", 3, "of each shape; the figures are medians")
	flags.IntVar(&o.calm, "calm", 1000, "changes whose way to another pod is timed, one by one")
	flags.IntVar(&o.rate, "rate", 100, "of those, a second")
	flags.StringVar(&o.redis, "redis", "auto", "auto: start one; or its host:port")
	flags.StringVar(&o.postgres, "postgres", "auto", "auto: start one; or the URL of a database in which the table, slot and publication tandem_bench_cdc may be made anew")
	flags.StringVar(&o.profiles, "profiles", "", "a directory for a CPU profile of the follower")
	flags.BoolVar(&o.json, "json", false, "print JSON")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.sources = strings.Split(sources, ",")
	for _, name := range o.sources {
		if !slices.Contains(cdcSourceNames, name) {
			return o, fmt.Errorf("cdc: -sources %q: there are %s", name, strings.Join(cdcSourceNames, ", "))
		}
	}
	if o.changes < cdcWatched || o.pods < 1 || o.rounds < 1 || o.calm < 1 || o.rate < 1 || o.redis == "none" || flags.NArg() > 0 {
		return o, fmt.Errorf("cdc: -changes is at least %d, all other numbers at least 1, -redis auto or an address; nothing follows the flags", cdcWatched)
	}
	return o, nil
}

// cdcReport is what cdc measured.
type cdcReport struct {
	Changes int      `json:"changes"`
	Pods    int      `json:"pods"`
	Rounds  int      `json:"rounds"`
	Rows    []cdcRow `json:"rows"`
	Calm    []cdcLag `json:"calm"`
}

// A cdcRow is the way of a backlog through the follower: medians of rounds.
type cdcRow struct {
	Source    string  `json:"source"`
	Shape     string  `json:"shape"`
	PerSecond float64 `json:"changes_per_second"` // from the follower's start until the checkpoint and all pods had passed the last change

	// Processor time for a change, in µs. PodCPU is the mean of one pod.
	FollowerCPU float64 `json:"follower_cpu_us"`
	PodCPU      float64 `json:"pod_cpu_us"`
	RedisCPU    float64 `json:"redis_cpu_us"`
}

// A cdcLag is the way of single changes.
type cdcLag struct {
	Source  string  `json:"source"`
	Changes int     `json:"changes"`
	P50MS   float64 `json:"p50_ms"`
	P99MS   float64 `json:"p99_ms"`
	MaxMS   float64 `json:"max_ms"`
}

func cdcCommand(ctx context.Context, args []string, out io.Writer) error {
	o, err := cdcFlags(args)
	if err != nil {
		return err
	}
	r, err := cdcBench(ctx, o)
	if err != nil {
		return err
	}
	return errors.Join(report(out, o.json, r), r.verdict())
}

// cdcBench measures one source after the other, each with a Redis and pods of its own.
func cdcBench(ctx context.Context, o cdcOptions) (*cdcReport, error) {
	r := &cdcReport{Changes: o.changes, Pods: o.pods, Rounds: o.rounds}
	for _, name := range o.sources {
		if err := r.measure(ctx, name, o); err != nil {
			return nil, fmt.Errorf("cdc: %s: %w", name, err)
		}
	}
	return r, nil
}

func (r *cdcReport) measure(ctx context.Context, name string, o cdcOptions) (err error) {
	s, err := newServers()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	addr, err := s.redis(o.redis)
	if err != nil {
		return err
	}
	source, err := openCDCSource(ctx, name, s, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.close()) }()
	configs := make([]podConfig, o.pods+1)
	cache := "cdc-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	for i := range configs {
		configs[i].CDC = &cdcPodConfig{Redis: addr, Cache: cache, IDs: source.ids()}
	}
	configs[o.pods].CDC.Source = source.config()
	configs[o.pods].CDC.Profile = o.profiles
	f, err := startFleet(ctx, configs, func(int, message) {})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.stop()) }()
	run := &cdcRun{options: o, source: source, fleet: f, server: redis.NewClient(&redis.Options{Addr: addr})}
	defer func() { _ = run.server.Close() }()
	rows, err := run.rounds(ctx, name)
	if err != nil {
		return err
	}
	lag, err := run.calm(ctx, name)
	r.Rows, r.Calm = append(r.Rows, rows...), append(r.Calm, lag)
	return err
}

// A cdcRun is one source with its fleet. The follower is the process behind the last pod.
type cdcRun struct {
	options cdcOptions
	source  cdcSource
	fleet   fleet
	server  *redis.Client
}

func (r *cdcRun) follower() *pod { return r.fleet[r.options.pods] }

// rounds measures each shape, the shapes in turns.
func (r *cdcRun) rounds(ctx context.Context, name string) ([]cdcRow, error) {
	if err := r.follower().call(ctx, "follow", nil, nil); err != nil { // so that there is a checkpoint
		return nil, err
	}
	if err := r.follower().call(ctx, "leave", nil, nil); err != nil {
		return nil, err
	}
	all := make(map[string][]cdcRow)
	for range r.options.rounds {
		for _, shape := range r.source.shapes() {
			row, err := r.drain(ctx, shape)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", shape, err)
			}
			all[shape] = append(all[shape], row)
		}
	}
	var rows []cdcRow
	for _, shape := range r.source.shapes() {
		of := func(field func(cdcRow) float64) float64 {
			var values []float64
			for _, row := range all[shape] {
				values = append(values, field(row))
			}
			return median(values)
		}
		rows = append(rows, cdcRow{
			Source: name, Shape: shape,
			PerSecond:   of(func(r cdcRow) float64 { return r.PerSecond }),
			FollowerCPU: of(func(r cdcRow) float64 { return r.FollowerCPU }),
			PodCPU:      of(func(r cdcRow) float64 { return r.PodCPU }),
			RedisCPU:    of(func(r cdcRow) float64 { return r.RedisCPU }),
		})
	}
	return rows, nil
}

// drain makes a backlog of changes, each of a row whose entry L2 and the first pod's L1 hold, and times its way through the follower.
func (r *cdcRun) drain(ctx context.Context, shape string) (cdcRow, error) {
	n, f := r.options.changes, r.fleet
	if err := f[0].call(ctx, "fill", n, nil); err != nil {
		return cdcRow{}, err
	}
	if err := r.source.change(ctx, shape, n); err != nil {
		return cdcRow{}, err
	}
	if _, err := callAll[any](ctx, f, "mark", nil); err != nil {
		return cdcRow{}, err
	}
	before, err := processorTime(ctx, f, r.server)
	if err != nil {
		return cdcRow{}, err
	}
	var began int64
	if err := r.follower().call(ctx, "follow", nil, &began); err != nil {
		return cdcRow{}, err
	}
	ends, err := callAll[int64](ctx, f, "drained", n)
	if err != nil {
		return cdcRow{}, err
	}
	after, err := processorTime(ctx, f, r.server)
	if err != nil {
		return cdcRow{}, err
	}
	if err := r.follower().call(ctx, "leave", nil, nil); err != nil {
		return cdcRow{}, err
	}
	row := cdcRow{PerSecond: float64(n) / time.Duration(slices.Max(ends)-began).Seconds()}
	perChange := 1e6 / float64(n)
	for i := range r.options.pods {
		row.PodCPU += (after[i] - before[i]) * perChange / float64(r.options.pods)
	}
	row.FollowerCPU = (after[r.options.pods] - before[r.options.pods]) * perChange
	row.RedisCPU = (after[r.options.pods+1] - before[r.options.pods+1]) * perChange
	return row, nil
}

// calm times single changes while nothing else happens.
func (r *cdcRun) calm(ctx context.Context, name string) (cdcLag, error) {
	if _, err := callAll[any](ctx, r.fleet, "mark", nil); err != nil {
		return cdcLag{}, err
	}
	if err := r.follower().call(ctx, "follow", nil, nil); err != nil {
		return cdcLag{}, err
	}
	if err := r.source.touch(ctx, 1); err != nil { // a server that starts to send may first have to read what it has sent before
		return cdcLag{}, err
	}
	if _, err := callAll[int64](ctx, r.fleet, "drained", 1); err != nil {
		return cdcLag{}, err
	}
	if err := r.fleet[0].call(ctx, "fill", cdcWatched, nil); err != nil {
		return cdcLag{}, err
	}
	var seen []int64
	var watching sync.WaitGroup
	var watchErr error
	watching.Go(func() { watchErr = r.fleet[0].call(ctx, "watch", r.options.calm, &seen) })
	committed, err := r.touch(ctx)
	watching.Wait()
	if err := errors.Join(err, watchErr); err != nil {
		return cdcLag{}, err
	}
	took := make([]time.Duration, len(seen))
	for i := range seen {
		took[i] = time.Duration(seen[i] - committed[i])
	}
	return cdcLag{
		Source: name, Changes: len(took),
		P50MS: milliseconds(percentile(took, 0.5)), P99MS: milliseconds(percentile(took, 0.99)), MaxMS: milliseconds(percentile(took, 1)),
	}, r.follower().call(ctx, "leave", nil, nil)
}

// touch changes the watched rows in turn and says when each was committed, in Unix ns.
func (r *cdcRun) touch(ctx context.Context) (committed []int64, err error) {
	tick := time.NewTicker(time.Second / time.Duration(r.options.rate))
	defer tick.Stop()
	for i := range r.options.calm {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return committed, ctx.Err()
		}
		if err := r.source.touch(ctx, i%cdcWatched+1); err != nil {
			return committed, err
		}
		committed = append(committed, time.Now().UnixNano())
	}
	return committed, nil
}

// verdict is an error where PostgreSQL's feed missed its bars.
func (r *cdcReport) verdict() error {
	var errs []error
	for _, row := range r.Rows {
		if row.Source == cdcPostgres && row.Shape == shapeBulk && row.PerSecond < cdcBulkBar {
			errs = append(errs, fmt.Errorf("cdc: %s, %s: %.0f changes a second; want %d", row.Source, row.Shape, row.PerSecond, cdcBulkBar))
		}
	}
	for _, lag := range r.Calm {
		if lag.P99MS >= cdcCalmBar {
			errs = append(errs, fmt.Errorf("cdc: %s: p99 of %.1f ms from commit to eviction; want less than %.0f ms", lag.Source, lag.P99MS, cdcCalmBar))
		}
	}
	return errors.Join(errs...)
}

func (r *cdcReport) print(p *printer) {
	p.printf("A backlog of %d changes, each of another row, through router, deletes, broadcast and checkpoint; collapse is off;\n", r.Changes)
	p.printf("%s hear; medians of %s. Processor time of a change in µs.\n\n", count(r.Pods, "pod", "s"), count(r.Rounds, "round", "s"))
	p.table(func(p *printer) {
		p.printf("source\tshape\tchanges/s\tfollower\teach pod\tRedis\t\n")
		for _, row := range r.Rows {
			p.printf("%s\t%s\t%.0f\t%.2f\t%.2f\t%.2f\t\n", row.Source, row.Shape, row.PerSecond, row.FollowerCPU, row.PodCPU, row.RedisCPU)
		}
	})
	p.printf("\nFrom commit until a read on another pod finds its entry evicted, single changes, nothing else going on:\n\n")
	p.table(func(p *printer) {
		p.printf("source\tchanges\tp50\tp99\tmax\t\n")
		for _, lag := range r.Calm {
			p.printf("%s\t%d\t%.1f ms\t%.1f ms\t%.1f ms\t\n", lag.Source, lag.Changes, lag.P50MS, lag.P99MS, lag.MaxMS)
		}
	})
}
