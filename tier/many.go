package tier

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tandem-cache/tandem/local"
	"github.com/tandem-cache/tandem/remote"
)

// A Result is what GetMany has for one identifier: a value or an error.
type Result[V any] struct {
	ID    string
	Value V
	Err   error // as Get returns it
}

// GetMany is Get for many identifiers at once; the results are in the order of ids, which may repeat. What L1 lacks is asked of L2 in one
// round trip a shard and 512 identifiers, and what L2 lacks is loaded by LoadMany in one call for as many; without a LoadMany, by Load,
// each for itself. Loads are shared with those of Get. An identifier that fails does not fail others.
//
// Large values take more round trips, each with its own RemoteTimeout: one brings about 2 MiB, by the mean size of those that this pod has
// lately read from or written to L2 in this space. A pod that knows of none asks for 8 first, then for 64.
func (s *Space[V]) GetMany(ctx context.Context, ids []string) []Result[V] {
	results := make([]Result[V], len(ids))
	answers := s.core.readMany(ctx, ids, s.load)
	for i, a := range answers {
		results[i] = Result[V]{ID: ids[i], Err: a.err}
		if a.err == nil {
			results[i].Value, results[i].Err = s.value(a.entry)
		}
	}
	return results
}

// An answer is what a read of many has for one identifier.
type answer struct {
	entry *local.Entry
	err   error
}

func (sp *space) readMany(ctx context.Context, ids []string, load loader) []answer {
	c := sp.cache
	came := c.arrive()
	answers := make([]answer, len(ids))
	var open []int
	for i, id := range ids {
		switch e := sp.hit(id); {
		case e != nil:
			answers[i].entry = e
		case load == nil:
			answers[i].err = sp.noLoader(id)
		default:
			if err := checkID(id); err != nil {
				answers[i].err = fmt.Errorf("tier: get %s: %w", shown(sp.key(id)), err)
				continue
			}
			open = append(open, i)
		}
	}
	for round := 0; len(open) > 0; round++ {
		open = sp.readRound(ctx, came, ids, load, open, answers, round == 0)
	}
	if d := c.dependenciesOf(ctx); d != nil {
		for _, a := range answers {
			d.takeAnswer(a, came.at, c.cfg.MaxStaleness)
		}
	}
	return answers
}

// readRound joins a flight for each open identifier and returns those that have to go round once more, as space.read explains.
func (sp *space) readRound(ctx context.Context, came arrival, ids []string, load loader, open []int, answers []answer, first bool) (again []int) {
	c := sp.cache
	legs, led := make(map[int]*flight, len(open)), make([]*flight, 0, len(open))
	for _, i := range open {
		e, f, lead, err := c.join(ctx, sp, ids[i], load)
		switch {
		case err != nil:
			answers[i].err = fmt.Errorf("tier: get %s: %w", shown(sp.key(ids[i])), err)
			continue
		case e != nil:
			sp.stats.l1Hits.inc()
			answers[i].entry = e
			continue
		case lead && f.private:
			go c.fly(f)
		case lead:
			led = append(led, f)
		case first:
			sp.stats.joined.Inc()
		}
		legs[i] = f
	}
	for batch := range slices.Chunk(led, maxBatch) {
		c.flights.together(batch)
		go c.flyMany(batch)
	}
	for _, i := range open {
		f := legs[i]
		if f == nil {
			continue
		}
		err := f.wait(ctx)
		c.flights.leave(c.dependenciesOf(ctx), f)
		switch {
		case err != nil:
			answers[i].err = fmt.Errorf("tier: get %s: %w", shown(sp.key(ids[i])), err)
		case f.err != nil:
			answers[i].err = f.err
		case !c.serves(f, came):
			again = append(again, i)
		default:
			answers[i].entry = f.entry
		}
	}
	return again
}

// flyMany runs flights of one space that began together. Those that another pod loads go on by themselves.
func (c *Cache) flyMany(flights []*flight) {
	began := time.Now()
	var apart sync.WaitGroup
	defer func() {
		apart.Wait()
		for _, f := range flights {
			f.cancel(nil)
			c.flying.Done()
		}
	}()
	leased := func(m miss) {
		c.flights.apart(m.flight)
		apart.Go(func() { c.land(began, []*flight{m.flight}, []fetched{c.fetchLeased(m.flight.ctx, m.flight, m.dead)}) })
	}
	lone := func(f *flight) {
		c.flights.apart(f)
		apart.Go(func() { c.land(began, []*flight{f}, []fetched{c.loadAlone(f.ctx, f)}) })
	}
	missing, alone := c.fetchMany(began, flights)
	if flights[0].space.loadMany != nil {
		missing, alone = partStuck(missing, alone, leased, lone)
		c.loadBatch(began, missing, alone, leased)
		return
	}
	for _, m := range missing {
		leased(m)
	}
	for _, f := range alone {
		lone(f)
	}
}

// loadBatch loads in one call the flights that get a lease and those that go without. The others go to leased: somebody else holds the
// lease, or has filled meanwhile.
func (c *Cache) loadBatch(began time.Time, missing []miss, alone []*flight, leased func(miss)) {
	if c.remote != nil && len(alone) > 0 && c.inGrace(alone[0]) {
		for _, f := range alone {
			missing = append(missing, miss{flight: f})
		}
		alone = nil
	}
	flights := slices.Clone(alone)
	for _, m := range missing {
		flights = append(flights, m.flight)
	}
	if len(flights) == 0 {
		return
	}
	ctx, sp := flights[0].ctx, flights[0].space
	waiting, cancel := sp.patience(ctx)
	release, err := c.takePlace(waiting, flights[0], nil)
	cancel()
	if err != nil {
		gots := make([]fetched, len(flights))
		for i := range gots {
			gots[i] = flights[i].noPlace(err)
		}
		c.land(began, flights, gots)
		return
	}
	life := sp.leaseLife(0)
	flights, leases, tick := c.leaseMany(ctx, life, missing, alone, leased)
	if len(flights) == 0 {
		release()
		return
	}
	c.renew(ctx, leases, life)
	c.land(began, flights, c.loadMany(flights, leases, tick, release))
}

// leaseMany asks for the leases of those that miss in L2. It returns what is to be loaded, with a lease for each, nil for none.
func (c *Cache) leaseMany(ctx context.Context, life time.Duration, missing []miss, alone []*flight, leased func(miss)) (flights []*flight, leases []*lease, tick uint64) {
	flights, leases = slices.Clone(alone), make([]*lease, len(alone))
	if len(missing) == 0 {
		return flights, leases, 0
	}
	asks := make([]remote.Ask, len(missing))
	for i, m := range missing {
		asks[i] = remote.Ask{Hold: remote.Hold{Key: m.flight.key(), Token: c.pod.NewToken()}, Dead: m.dead, Life: life}
	}
	asked := time.Now()
	for i, answer := range c.remoteAcquire(ctx, asks) {
		f := missing[i].flight
		if answer.Err == nil && !answer.Granted {
			leased(missing[i])
			continue
		}
		tick = max(tick, answer.Tick)
		flights = append(flights, f)
		// After an error the lease may have been granted; see fetchLeased.
		leases = append(leases, &lease{space: f.space, hold: asks[i].Hold, asked: asked, unfilled: answer.Err != nil})
	}
	return flights, leases, tick
}

// loadMany runs LoadMany for flights.
func (c *Cache) loadMany(flights []*flight, leases []*lease, tick uint64, release func()) []fetched {
	sp := flights[0].space
	ctx, cancel := sp.loadContext(flights[0].ctx)
	defer cancel()
	for range flights {
		sp.stats.loads.Inc()
	}
	began := c.beginReading(tick)
	gots := make([]fetched, len(flights))
	for i, r := range c.runBatch(ctx, flights, began.tick, release) {
		gots[i] = sp.made(flights[i].id, began, r, leases[i])
	}
	return gots
}

func keysOf(flights []*flight) []string {
	keys := make([]string, len(flights))
	for i, f := range flights {
		keys[i] = f.key()
	}
	return keys
}
