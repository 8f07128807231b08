package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/ristretto/v2"

	"github.com/tandem-cache/tandem/tier"
)

// hitBar is how many times the cost of a bare ristretto's hit and one look at the clock an L1 hit may cost.
const hitBar = 1.5

// ringAllocs is what ristretto allocates a read, when its policy keeps up: one list of 64 keys for each 64 reads. Above it comes
// what else the process does meanwhile.
const ringAllocs = 1.0/64 + 0.01

// hitOptions are the flags of hit.
type hitOptions struct {
	keys  []int
	pairs int
	slice time.Duration
	json  bool
}

func hitFlags(args []string) (hitOptions, error) {
	var o hitOptions
	var keys string
	flags := flag.NewFlagSet("hit", flag.ContinueOnError)
	flags.StringVar(&keys, "keys", "1,1000,100000", "counts of keys, each measured by itself")
	flags.IntVar(&o.pairs, "pairs", 21, "slices of each side; the two alternate")
	flags.DurationVar(&o.slice, "slice", 50*time.Millisecond, "about how long a slice takes")
	flags.BoolVar(&o.json, "json", false, "print JSON")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	for text := range strings.SplitSeq(keys, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return o, fmt.Errorf("hit: -keys %q: want counts of at least 1, separated by commas", keys)
		}
		o.keys = append(o.keys, n)
	}
	if o.pairs < 1 || o.slice <= 0 || flags.NArg() > 0 {
		return o, errors.New("hit: -pairs is at least 1, -slice above 0; nothing follows the flags")
	}
	return o, nil
}

// hitReport is what hit measured.
type hitReport struct {
	Bar  float64  `json:"bar"` // Ratio may be at most this
	Rows []hitRow `json:"rows"`
}

// hitRow is one comparison.
type hitRow struct {
	Keys       int     `json:"keys"`
	Goroutines int     `json:"goroutines"`
	TierNS     float64 `json:"tier_ns"`      // a hit, median of the slices; of one goroutine
	BareNS     float64 `json:"ristretto_ns"` // ristretto and the clock
	Ratio      float64 `json:"ratio"`        // median of the pairs' ratios
	TierAllocs float64 `json:"tier_allocs"`  // a hit
	BareAllocs float64 `json:"ristretto_allocs"`
}

func hitCommand(ctx context.Context, args []string, out io.Writer) error {
	o, err := hitFlags(args)
	if err != nil {
		return err
	}
	r := &hitReport{Bar: hitBar}
	for _, keys := range o.keys {
		rows, err := compareHits(ctx, o, keys)
		if err != nil {
			return err
		}
		r.Rows = append(r.Rows, rows...)
	}
	return errors.Join(report(out, o.json, r), r.verdict())
}

// compareHits measures one count of keys, with one goroutine and, where there are several, with as many as cores.
func compareHits(ctx context.Context, o hitOptions, keys int) ([]hitRow, error) {
	ids, order := hitKeys(keys)
	a, err := openTierHits(ctx, ids)
	if err != nil {
		return nil, err
	}
	defer a.close()
	b, err := openBareHits(ids)
	if err != nil {
		return nil, err
	}
	defer b.close()
	var rows []hitRow
	for _, goroutines := range []int{1, runtime.GOMAXPROCS(0)} {
		if len(rows) > 0 && goroutines == 1 {
			break
		}
		row, err := interleave(ctx, o, hitPair{a: a, b: b, ids: ids, order: order, goroutines: goroutines})
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// hitKeys returns the keys, and the order in which both sides read them: at random, so that neither the machine nor ristretto
// is helped by neighbours.
func hitKeys(count int) (ids []string, order []int32) {
	ids = make([]string, count)
	for i := range ids {
		ids[i] = fmt.Sprintf("acc_%07d", i)
	}
	order = make([]int32, max(1<<16, count))
	random := rand.New(rand.NewPCG(1, 2))
	for i := range order {
		order[i] = random.Int32N(int32(count))
	}
	return ids, order
}

// hitValue is what both sides hold pointers to.
type hitValue struct{ N int }

// A hitSide reads n keys in the given order, from one goroutine, and returns how many were there. It uses each value.
type hitSide interface {
	read(ids []string, order []int32, n int) (found int)
}

// tierHits are L1 hits through Get.
type tierHits struct {
	cache *podCache
	space *tier.Space[*hitValue]
	loads atomic.Int64
}

func openTierHits(ctx context.Context, ids []string) (h *tierHits, err error) {
	h = &tierHits{}
	if h.cache, err = openCache(ctx, "hit", "", int64(len(ids)+1000)*1000); err != nil {
		return nil, err
	}
	h.space, err = tier.NewSpace(h.cache.Cache, tier.SpaceConfig[*hitValue]{
		Name: "hit:value", Strategy: tier.TTL(24 * time.Hour),
		Load: func(context.Context, string) (*hitValue, error) {
			h.loads.Add(1)
			return &hitValue{N: 1}, nil
		},
	})
	if err == nil {
		err = h.fill(ctx, ids)
	}
	if err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

// fill reads all keys, by copies, until none is loaded any more.
func (h *tierHits) fill(ctx context.Context, ids []string) error {
	for range 10 {
		before := h.loads.Load()
		for _, id := range ids {
			if _, err := h.space.Get(ctx, strings.Clone(id)); err != nil { // the identifier of a read is never the one in L1
				return err
			}
		}
		if h.loads.Load() == before {
			return nil
		}
	}
	return fmt.Errorf("hit: L1 does not hold %d keys", len(ids))
}

func (h *tierHits) read(ids []string, order []int32, n int) (found int) {
	ctx := context.Background()
	for i, at := 0, 0; i < n; i++ {
		v, _ := h.space.Get(ctx, ids[order[at]])
		found += v.N
		if at++; at == len(order) {
			at = 0
		}
	}
	return found
}

func (h *tierHits) close() { h.cache.close(context.Background()) }

// bareHits are hits of a ristretto with string keys, and a look at the clock each.
type bareHits struct {
	cache *ristretto.Cache[string, *hitValue]
	start time.Time
}

func openBareHits(ids []string) (*bareHits, error) {
	cache, err := ristretto.NewCache(&ristretto.Config[string, *hitValue]{
		NumCounters: int64(10*len(ids) + 1000), MaxCost: int64(len(ids) + 1000), BufferItems: 64, IgnoreInternalCost: true,
	})
	if err != nil {
		return nil, err
	}
	for i, id := range ids {
		cache.Set(strings.Clone(id), &hitValue{N: 1}, 1)
		if i%1000 == 0 {
			cache.Wait() // or it drops some
		}
	}
	cache.Wait()
	return &bareHits{cache: cache, start: time.Now()}, nil
}

func (h *bareHits) read(ids []string, order []int32, n int) (found int) {
	var now time.Duration
	for i, at := 0, 0; i < n; i++ {
		v, ok := h.cache.Get(ids[order[at]])
		now = time.Since(h.start)
		if ok && now != 0 {
			found += v.N
		}
		if at++; at == len(order) {
			at = 0
		}
	}
	return found
}

func (h *bareHits) close() { h.cache.Close() }

// A hitPair is two sides to compare.
type hitPair struct {
	a, b       hitSide
	ids        []string
	order      []int32
	goroutines int
}

// interleave measures a slice of one, then of the other, and so on, beginning with either in turn.
func interleave(ctx context.Context, o hitOptions, p hitPair) (hitRow, error) {
	row := hitRow{Keys: len(p.ids), Goroutines: p.goroutines}
	runtime.GC() // what filling left behind
	n := 1000
	for { // find a slice's length
		s, err := p.slice(p.b, n)
		if err != nil {
			return row, err
		}
		if took := time.Duration(s.ns * float64(n)); took >= o.slice/2 {
			n = max(n/2, int(float64(n)*float64(o.slice)/float64(took)))
			break
		}
		n *= 2
	}
	var as, bs, ratios []float64
	for i := range o.pairs {
		if err := ctx.Err(); err != nil {
			return row, err
		}
		first, second := p.a, p.b
		if i%2 == 1 {
			first, second = second, first
		}
		a, err := p.slice(first, n)
		if err != nil {
			return row, err
		}
		b, err := p.slice(second, n)
		if err != nil {
			return row, err
		}
		if i%2 == 1 {
			a, b = b, a
		}
		as, bs, ratios = append(as, a.ns), append(bs, b.ns), append(ratios, a.ns/b.ns)
		row.TierAllocs = max(row.TierAllocs, a.allocs)
		row.BareAllocs = max(row.BareAllocs, b.allocs)
	}
	row.TierNS, row.BareNS, row.Ratio = median(as), median(bs), median(ratios)
	return row, nil
}

// A hitSlice is what a hit cost in one slice.
type hitSlice struct {
	ns     float64 // of a goroutine
	allocs float64 // of the whole process, so that a few of others' show, far behind the point
}

// slice lets each goroutine read n keys, each from another place of the order.
func (p hitPair) slice(side hitSide, n int) (hitSlice, error) {
	var before, after runtime.MemStats
	var wg sync.WaitGroup
	var found atomic.Int64
	start := make(chan struct{})
	for g := range p.goroutines {
		at := g * len(p.order) / p.goroutines
		order := p.order[at:]
		wg.Go(func() {
			<-start
			found.Add(int64(side.read(p.ids, order, n)))
		})
	}
	runtime.ReadMemStats(&before)
	began := time.Now()
	close(start)
	wg.Wait()
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	reads := n * p.goroutines
	if found.Load() != int64(reads) {
		return hitSlice{}, fmt.Errorf("hit: %T: %d of %d reads found their key", side, found.Load(), reads)
	}
	return hitSlice{ns: float64(took.Nanoseconds()) / float64(n), allocs: float64(after.Mallocs-before.Mallocs) / float64(reads)}, nil
}

// verdict is an error where a hit allocates or costs too much.
func (r *hitReport) verdict() error {
	var errs []error
	for _, row := range r.Rows {
		if row.Ratio > r.Bar {
			errs = append(errs, fmt.Errorf("hit: keys=%d goroutines=%d: %.2f times a bare ristretto and the clock; want at most %.1f", row.Keys, row.Goroutines, row.Ratio, r.Bar))
		}
		if row.TierAllocs > ringAllocs {
			errs = append(errs, fmt.Errorf("hit: keys=%d goroutines=%d: %.2f allocations a hit; want 0", row.Keys, row.Goroutines, row.TierAllocs))
		}
	}
	return errors.Join(errs...)
}

func (r *hitReport) print(p *printer) {
	p.table(func(t *printer) {
		t.printf("keys\tgoroutines\ttier\tristretto + clock\tratio\ttier allocs\tristretto allocs\t\n")
		for _, row := range r.Rows {
			t.printf("%d\t%d\t%.1f ns\t%.1f ns\t%.2f\t%.2f\t%.2f\t\n",
				row.Keys, row.Goroutines, row.TierNS, row.BareNS, row.Ratio, row.TierAllocs, row.BareAllocs)
		}
	})
}
