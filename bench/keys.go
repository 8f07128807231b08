package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/remote"
	"github.com/tandem-cache/tandem/tier"
)

// keysBar is by how much an operation on keys may raise the p99 of other clients.
const keysBar = 2

// keysOptions are the flags of keys.
type keysOptions struct {
	keys, rate, sample, reads, bytes int
	window                           time.Duration
	redis, only                      string
	json                             bool
}

func keysFlags(args []string) (keysOptions, error) {
	var o keysOptions
	flags := flag.NewFlagSet("keys", flag.ContinueOnError)
	flags.IntVar(&o.keys, "keys", 1_000_000, "entries in Redis")
	flags.IntVar(&o.rate, "rate", tier.DefaultKeyRate, "KeyQuery.Rate: keys a second")
	flags.IntVar(&o.sample, "sample", 100, "KeyQuery.Sample of the sampled usage")
	flags.IntVar(&o.reads, "reads", 1000, "GETs a second of the other client")
	flags.IntVar(&o.bytes, "bytes", 200, "size of a value")
	flags.DurationVar(&o.window, "window", 2*time.Second, "how long the other client reads for one p99")
	flags.StringVar(&o.redis, "redis", "auto", "auto: start one; or its host:port, which must be empty")
	flags.StringVar(&o.only, "only", "", "the operations whose name contains this; all others are left out")
	flags.BoolVar(&o.json, "json", false, "print JSON")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.keys < 1 || o.rate < 1 || o.sample < 1 || o.reads < 1 || o.bytes < 1 || o.window <= 0 || o.redis == "none" || flags.NArg() > 0 {
		return o, errors.New("keys: all numbers are at least 1, -window is above 0, -redis auto or an address; nothing follows the flags")
	}
	return o, nil
}

// keysReport is what keys measured.
type keysReport struct {
	Keys int       `json:"keys"`
	Rate int       `json:"rate"`
	Rows []keysRow `json:"operations"`
}

// A keysRow is what the other client had of an operation.
type keysRow struct {
	Name  string    `json:"name"`
	Found int       `json:"found"` // entries of L2 that the operation told of
	Idle  keysReads `json:"idle"`  // while it was held up
	Busy  keysReads `json:"busy"`
	Ratio float64   `json:"ratio"` // of the two p99
}

// keysReads are medians of windows.
type keysReads struct {
	Windows int     `json:"windows"`
	P50MS   float64 `json:"p50_ms"`
	P99MS   float64 `json:"p99_ms"`
	MaxMS   float64 `json:"max_ms"` // of the windows' longest reads
}

func keysCommand(ctx context.Context, args []string, out io.Writer) error {
	o, err := keysFlags(args)
	if err != nil {
		return err
	}
	r, err := keys(ctx, o)
	if err != nil {
		return err
	}
	return errors.Join(report(out, o.json, r), r.verdict())
}

// A keysRun is one run.
type keysRun struct {
	options keysOptions
	server  *redis.Client
	cache   *podCache
	name    string
	other   *pod
}

func keys(ctx context.Context, o keysOptions) (r *keysReport, err error) {
	s, err := newServers()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	addr, err := s.redis(o.redis)
	if err != nil {
		return nil, err
	}
	run := &keysRun{options: o, name: "keys-" + strconv.FormatInt(time.Now().UnixNano(), 36)}
	run.server = redis.NewClient(&redis.Options{Addr: addr})
	defer func() { _ = run.server.Close() }()
	if run.cache, err = openCache(ctx, run.name, addr, 1<<20); err != nil {
		return nil, err
	}
	defer run.cache.close(context.WithoutCancel(ctx))
	f, err := startFleet(ctx, []podConfig{{KeysOther: &keysPodConfig{Redis: addr, Keys: 1000}}}, func(int, message) {})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.stop()) }()
	run.other = f[0]
	return run.measure(ctx)
}

// A keysOperation is what an operator does; it returns how many entries it found.
type keysOperation struct {
	name string
	do   func(context.Context, tier.KeyQuery) (int, error)
	q    tier.KeyQuery
}

func (r *keysRun) operations() []keysOperation {
	c := r.cache
	usage := func(ctx context.Context, q tier.KeyQuery) (int, error) {
		u, err := c.Usage(ctx, q)
		return u.L2.Keys, err
	}
	remove := func(ctx context.Context, q tier.KeyQuery) (int, error) {
		n, err := c.Delete(ctx, q)
		return n.L2, err
	}
	return []keysOperation{
		{"count", func(ctx context.Context, q tier.KeyQuery) (int, error) {
			n, err := c.Count(ctx, q)
			return n.L2, err
		}, tier.KeyQuery{Pattern: "bench:*"}},
		{"usage, exact", usage, tier.KeyQuery{Pattern: "bench:*"}},
		{fmt.Sprintf("usage, each %dth", r.options.sample), usage, tier.KeyQuery{Pattern: "bench:*", Sample: r.options.sample}},
		{"delete, key by key", remove, tier.KeyQuery{Pattern: "bench:item:?*"}},
		{"delete, by space", remove, tier.KeyQuery{Pattern: "bench:*"}},
	}
}

func (r *keysRun) measure(ctx context.Context) (*keysReport, error) {
	report := &keysReport{Keys: r.options.keys, Rate: r.options.rate}
	for _, op := range r.operations() {
		if !strings.Contains(op.name, r.options.only) {
			continue
		}
		if err := r.fill(ctx); err != nil {
			return nil, err
		}
		row, err := r.during(ctx, op)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", op.name, err)
		}
		report.Rows = append(report.Rows, row)
	}
	return report, nil
}

// look lets the other client read for a window.
func (r *keysRun) look(ctx context.Context) (l keysLatencies, err error) {
	err = r.other.call(ctx, "read", keysWindow{For: r.options.window, Rate: r.options.reads}, &l)
	return l, err
}

// during runs an operation and lets the other client read, in turn while it is held up and while it goes on: whatever else the machine does
// meets both. A last window, in which the operation ended, does not count.
func (r *keysRun) during(ctx context.Context, op keysOperation) (row keysRow, err error) {
	running := r.start(ctx, op)
	var idle, busy []keysLatencies
	for turn := 0; !running.ended(); turn++ {
		before, err := r.lookHeld(ctx, running, turn)
		if err != nil {
			return row, errors.Join(err, running.end())
		}
		after, err := r.look(ctx)
		if err != nil {
			return row, errors.Join(err, running.end())
		}
		idle = append(idle, before...)
		if !running.ended() || len(busy) == 0 {
			busy = append(busy, after)
		}
	}
	if err := running.end(); err != nil {
		return row, err
	}
	if running.found != r.options.keys {
		return row, fmt.Errorf("found %d of %d entries", running.found, r.options.keys)
	}
	row = keysRow{Name: op.name, Found: running.found, Idle: readsOf(idle), Busy: readsOf(busy)}
	row.Ratio = row.Busy.P99MS / row.Idle.P99MS
	return row, nil
}

// lookHeld lets the other client read while the operation is held up, before each second window.
func (r *keysRun) lookHeld(ctx context.Context, running *keysRunning, turn int) ([]keysLatencies, error) {
	if turn%2 == 1 {
		return nil, nil
	}
	release := running.hold()
	if release == nil {
		return nil, nil
	}
	defer release()
	l, err := r.look(ctx)
	return []keysLatencies{l}, err
}

// A keysRunning is an operation under way.
type keysRunning struct {
	holds  chan chan struct{} // taken by the operation, which waits until what it took is closed
	cancel context.CancelFunc
	done   chan struct{} // closed when the operation has ended; then the fields below are set
	found  int
	err    error
}

func (r *keysRun) start(ctx context.Context, op keysOperation) *keysRunning {
	ctx, cancel := context.WithCancel(ctx)
	k := &keysRunning{holds: make(chan chan struct{}), cancel: cancel, done: make(chan struct{})}
	op.q.Rate = r.options.rate
	op.q.Progress = func(tier.KeyProgress) {
		select {
		case held := <-k.holds:
			<-held
		default:
		}
	}
	go func() {
		defer close(k.done)
		k.found, k.err = op.do(ctx, op.q)
	}()
	return k
}

// hold makes the operation wait until release is called. After its end release is nil.
func (k *keysRunning) hold() (release func()) {
	held := make(chan struct{})
	select {
	case k.holds <- held:
		return func() { close(held) }
	case <-k.done:
		return nil
	}
}

func (k *keysRunning) ended() bool {
	select {
	case <-k.done:
		return true
	default:
		return false
	}
}

// end stops the operation.
func (k *keysRunning) end() error {
	k.cancel()
	<-k.done
	return k.err
}

func readsOf(windows []keysLatencies) keysReads {
	var p50, p99, longest []float64
	for _, l := range windows {
		p50, p99, longest = append(p50, milliseconds(l.P50)), append(p99, milliseconds(l.P99)), append(longest, milliseconds(l.Max))
	}
	return keysReads{Windows: len(windows), P50MS: median(p50), P99MS: median(p99), MaxMS: median(longest)}
}

// fill stores what is missing of the entries, as loads of other pods would have.
func (r *keysRun) fill(ctx context.Context) error {
	value, err := (&remote.Envelope{
		Token: remote.NewToken(), Codec: remote.MsgPack{}.Name(), Written: time.Now(), Payload: make([]byte, r.options.bytes),
	}).AppendTo(nil)
	if err != nil {
		return err
	}
	const batch = 10_000
	for from := 0; from < r.options.keys; from += batch {
		pipe := r.server.Pipeline()
		for i := from; i < min(from+batch, r.options.keys); i++ {
			pipe.SetNX(ctx, fmt.Sprintf("%s:bench:item:%d", r.name, i), value, 0)
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return fmt.Errorf("fill: %w", err)
		}
	}
	return nil
}

// verdict is an error where other clients waited too long.
func (r *keysReport) verdict() error {
	var errs []error
	for _, row := range r.Rows {
		if row.Ratio > keysBar {
			errs = append(errs, fmt.Errorf("keys: during %s the p99 of other clients is %.3f ms, %.1f times that of idle: at most %d times", row.Name, row.Busy.P99MS, row.Ratio, keysBar))
		}
	}
	return errors.Join(errs...)
}

func (r *keysReport) print(p *printer) {
	p.printf("%d entries, %d keys a second; GETs of another client in ms, medians of windows while the operation is held up and while it runs\n", r.Keys, r.Rate)
	p.table(func(p *printer) {
		p.printf("\tfound\twindows\tp50\t\tp99\t\tp99 ratio\tlongest\t\t\n")
		for _, row := range r.Rows {
			p.printf("%s\t%d\t%d\t%.3f\t%.3f\t%.3f\t%.3f\t%.2f\t%.2f\t%.2f\t\n", row.Name, row.Found, row.Busy.Windows,
				row.Idle.P50MS, row.Busy.P50MS, row.Idle.P99MS, row.Busy.P99MS, row.Ratio, row.Idle.MaxMS, row.Busy.MaxMS)
		}
	})
}
