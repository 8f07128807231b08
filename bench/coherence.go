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
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// coherenceOptions are the flags of coherence.
type coherenceOptions struct {
	duration                  time.Duration
	pods, clients, scale      int
	hot, readers              int
	redis, postgres, sabotage string
	json                      bool
}

func coherenceFlags(args []string) (coherenceOptions, error) {
	var o coherenceOptions
	flags := flag.NewFlagSet("coherence", flag.ContinueOnError)
	flags.DurationVar(&o.duration, "for", 5*time.Second, "how long pgbench writes, in whole seconds")
	flags.IntVar(&o.pods, "pods", 3, "processes that read; the first one follows the feed")
	flags.IntVar(&o.clients, "clients", 8, "of pgbench")
	flags.IntVar(&o.scale, "scale", 1, "of pgbench: 100,000 accounts each")
	flags.IntVar(&o.hot, "hot", 200, "accounts that are written and read most")
	flags.IntVar(&o.readers, "readers", 4, "goroutines of each pod that read")
	flags.StringVar(&o.redis, "redis", "auto", "auto: start one; or its host:port")
	flags.StringVar(&o.postgres, "postgres", "auto", "auto: start one; or the URL of a database whose pgbench tables may be made anew")
	flags.StringVar(&o.sabotage, "sabotage", "", "drop, late or keep: break the cache, to see the checks fail")
	flags.BoolVar(&o.json, "json", false, "print JSON")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.duration < time.Second || o.pods < 2 || o.clients < 1 || o.scale < 1 || o.hot < 1 || o.hot > o.accounts() || o.readers < 1 || flags.NArg() > 0 {
		return o, errors.New("coherence: -for is at least 1s, -pods at least 2, -clients, -scale, -hot and -readers at least 1; nothing follows the flags")
	}
	if o.redis == "none" || !slices.Contains([]string{"", sabotageDrop, sabotageLate, sabotageKeep}, o.sabotage) {
		return o, errors.New("coherence: -redis is auto or an address, -sabotage drop, late or keep")
	}
	return o, nil
}

func (o coherenceOptions) accounts() int { return o.scale * accountsPerScale }

func coherenceCommand(ctx context.Context, args []string, out io.Writer) error {
	o, err := coherenceFlags(args)
	if err != nil {
		return err
	}
	r, err := coherence(ctx, o)
	if err != nil {
		return err
	}
	return errors.Join(report(out, o.json, r), r.verdict())
}

// coherence starts what is missing and runs once.
func coherence(ctx context.Context, o coherenceOptions) (r *coherenceReport, err error) {
	s, err := newServers()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	redis, err := s.redis(o.redis)
	if err != nil {
		return nil, err
	}
	url, err := s.postgres(o.postgres)
	if err != nil {
		return nil, err
	}
	run := &coherenceRun{
		options: o, redis: redis, bench: pgbench{url: url, dir: s.dir, clients: o.clients},
		cache: "coherence-" + strconv.FormatInt(time.Now().UnixNano(), 36),
	}
	if err := run.bench.fill(ctx, o.scale); err != nil {
		return nil, err
	}
	if err := run.startPods(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, run.fleet.stop()) }()
	return run.all(ctx)
}

// A coherenceRun is one load and the checks after it.
type coherenceRun struct {
	options coherenceOptions
	redis   string
	cache   string
	bench   pgbench
	fleet   fleet
	pods    atomic.Pointer[fleet] // the fleet, for pushed
	probes  []time.Duration
	unseen  int // probes that a pod did not see in time
}

func (r *coherenceRun) startPods(ctx context.Context) error {
	configs := make([]podConfig, r.options.pods)
	for i := range configs {
		configs[i].Coherence = &coherencePodConfig{
			Number: i, Redis: r.redis, Postgres: r.bench.url, Cache: r.cache, Follows: i == 0, Others: r.options.pods - 1,
			Accounts: r.options.accounts(), Hot: r.options.hot, Readers: r.options.readers, Sabotage: r.options.sabotage,
		}
	}
	// The saboteur that keeps spares the follower's pod: the others' checks are to find it.
	if r.options.sabotage == sabotageKeep {
		configs[0].Coherence.Sabotage = ""
	}
	var err error
	r.fleet, err = startFleet(ctx, configs, r.pushed)
	if err != nil {
		return err
	}
	r.pods.Store(&r.fleet)
	if err := r.fleet[0].call(ctx, "follow", nil, nil); err != nil {
		return errors.Join(err, r.fleet.stop())
	}
	return nil
}

// pushed hands the follower's floors to the other pods, and their acknowledgements to the follower's.
func (r *coherenceRun) pushed(from int, m message) {
	pods := r.pods.Load()
	if pods == nil {
		return // nothing is said before the feed is followed
	}
	to := (*pods)[:1]
	if from == 0 {
		to = (*pods)[1:]
	}
	for _, p := range to {
		_ = p.send(m.Kind, m.Data) // a pod that is gone fails its next call
	}
}

func (r *coherenceRun) all(ctx context.Context) (*coherenceReport, error) {
	if _, err := callAll[string](ctx, r.fleet, "read", nil); err != nil {
		return nil, err
	}
	transactions, err := r.load(ctx)
	if err != nil {
		return nil, err
	}
	drained, err := r.drain(ctx)
	if err != nil {
		return nil, err
	}
	pods, err := callAll[podCounts](ctx, r.fleet, "stop", nil)
	if err != nil {
		return nil, err
	}
	report := newCoherenceReport(r.options, transactions, pods)
	report.DrainMS = milliseconds(drained)
	report.Probes, report.Unseen = len(r.probes), r.unseen
	report.ProbeP50MS, report.ProbeMaxMS = milliseconds(percentile(r.probes, 0.5)), milliseconds(percentile(r.probes, 1))
	return report, r.compare(ctx, report)
}

// load runs pgbench and the probe until both have ended.
func (r *coherenceRun) load(ctx context.Context) (transactions int, err error) {
	var wg sync.WaitGroup
	ended := make(chan struct{})
	var probeErr error
	wg.Go(func() { probeErr = r.probe(ctx, ended) })
	transactions, err = r.bench.load(ctx, r.options.duration, r.options.hot)
	close(ended)
	wg.Wait()
	return transactions, errors.Join(err, probeErr)
}

const probeEvery = 50 * time.Millisecond

// probe commits a change of its own now and then and has every pod say when it sees it.
func (r *coherenceRun) probe(ctx context.Context, ended <-chan struct{}) error {
	conn, err := pgx.Connect(ctx, r.bench.url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ended:
			return nil
		case <-tick.C:
		}
		b := probe{Account: 1 + n%r.options.hot}
		err := conn.QueryRow(ctx, `UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = $1 RETURNING version`, b.Account).Scan(&b.Version)
		if err != nil {
			return fmt.Errorf("probe: %w", err)
		}
		b.Committed = time.Now().UnixNano()
		seen, err := callAll[time.Duration](ctx, r.fleet, "probe", b)
		if err != nil {
			return err
		}
		for _, took := range seen {
			if took < 0 {
				r.unseen++
			} else {
				r.probes = append(r.probes, took)
			}
		}
	}
}

// drain waits until everything committed by now is invalidated in Redis and in every pod.
func (r *coherenceRun) drain(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	conn, err := pgx.Connect(ctx, r.bench.url)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(ctx) }()
	var end string
	if err := conn.QueryRow(ctx, `SELECT pg_current_wal_lsn()::text`).Scan(&end); err != nil {
		return 0, fmt.Errorf("end of the log: %w", err)
	}
	if err := r.fleet[0].call(ctx, "drain", end, nil); err != nil {
		return 0, err
	}
	fences, err := callAll[uint64](ctx, r.fleet, "fences", nil)
	if err != nil {
		return 0, err
	}
	if err := r.fleet[0].call(ctx, "fence", nil, nil); err != nil { // one message behind all others
		return 0, err
	}
	err = r.fleet.each(func(p *pod) error { return p.call(ctx, "fenced", fences[p.number]+1, nil) })
	return time.Since(began), err
}
