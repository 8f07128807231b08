package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tandem-cache/tandem/tier"
)

// The rows: those of the shelves, then those that only the program's probe writes.
const (
	shelves    = 10
	shelfRows  = 40
	probeRows  = 4
	rows       = shelfRows + probeRows
	readEvery  = 4 * time.Millisecond
	readBurst  = 6
	probeEvery = 2 * time.Millisecond // reads of all probe rows
	writeEvery = 150 * time.Millisecond
	callLimit  = 3 * time.Second // a reader's patience
	spanLimit  = time.Second     // of one line of reads
)

// A pod reads and writes.
type pod struct {
	cfg     childConfig
	cache   *tier.Cache
	db      *pgxpool.Pool
	history *history
	items   *tier.Space[versionsValue]
	shelves *tier.Space[versionsValue]
	pages   *tier.Space[versionsValue] // made from a shelf and an item, through the cache

	reads, errors, loads, writes atomic.Int64 // since the last report
}

// versionsValue is what the cache holds: the rows that a value was made of.
type versionsValue struct {
	IDs      []int
	Versions []int64
}

func (v versionsValue) versions() versions {
	list := make(versions, len(v.IDs))
	for i := range v.IDs {
		list[i] = rowVersion{v.IDs[i], v.Versions[i]}
	}
	return list
}

func servePod(ctx context.Context, cfg childConfig, h *history, out io.Writer) error {
	pool, err := pgxpool.ParseConfig(cfg.Postgres)
	if err != nil {
		return err
	}
	pool.MaxConns = 6
	p := &pod{cfg: cfg, history: h}
	if p.db, err = pgxpool.NewWithConfig(ctx, pool); err != nil {
		return err
	}
	defer p.db.Close()
	cache, client, err := openCache(ctx, cfg.Redis, h)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	p.cache = cache
	defer func() { _ = cache.Close(context.Background()) }()
	if err := p.makeSpaces(); err != nil {
		return err
	}
	say(out, "ready")
	var wg sync.WaitGroup
	for n := range 2 {
		wg.Go(func() { p.read(ctx, p.random(n)) })
	}
	wg.Go(func() { p.probe(ctx) })
	wg.Go(func() { p.write(ctx, p.random(9)) })
	wg.Go(func() { p.report(ctx, out) })
	wg.Wait()
	return nil
}

func (p *pod) random(n int) *rand.Rand { return rand.New(rand.NewPCG(p.cfg.Seed, uint64(n))) }

func (p *pod) makeSpaces() (err error) {
	for _, space := range []struct {
		of  **tier.Space[versionsValue]
		cfg tier.SpaceConfig[versionsValue]
	}{
		{&p.items, tier.SpaceConfig[versionsValue]{Name: itemSpace, Load: p.loadItem, LoadMany: p.loadItems}},
		{&p.shelves, tier.SpaceConfig[versionsValue]{Name: shelfSpace, Load: p.loadShelf}},
		{&p.pages, tier.SpaceConfig[versionsValue]{Name: pageSpace, Load: p.loadPage}},
	} {
		space.cfg.Strategy = tier.CDC(feedName)
		if *space.of, err = tier.NewSpace(p.cache, space.cfg); err != nil {
			return err
		}
	}
	return nil
}

func (p *pod) loadItem(ctx context.Context, id string) (versionsValue, error) {
	return p.load(ctx, []string{"i" + id}, `SELECT id, version FROM items WHERE id = $1`, id)
}

// loadItems loads several by one query.
func (p *pod) loadItems(ctx context.Context, b *tier.Batch[versionsValue]) error {
	keys := make([]string, len(b.IDs()))
	for i, id := range b.IDs() {
		keys[i] = "i" + id
	}
	v, err := p.load(ctx, keys, `SELECT id, version FROM items WHERE id = ANY ($1)`, b.IDs())
	if err != nil {
		return err
	}
	for i, row := range v.IDs {
		b.Set(strconv.Itoa(row), versionsValue{IDs: []int{row}, Versions: v.Versions[i : i+1]})
	}
	return nil
}

// loadPage makes a page of a shelf and an item.
func (p *pod) loadPage(ctx context.Context, id string) (page versionsValue, err error) {
	for _, of := range []*tier.Space[versionsValue]{p.shelves, p.items} {
		v, err := of.Get(ctx, id)
		if err != nil {
			return page, err
		}
		page.IDs, page.Versions = append(page.IDs, v.IDs...), append(page.Versions, v.Versions...)
	}
	return page, nil
}

// loadShelf makes a value of several rows: their tags are all that outdates it.
func (p *pod) loadShelf(ctx context.Context, id string) (versionsValue, error) {
	v, err := p.load(ctx, []string{"s" + id}, `SELECT id, version FROM items WHERE shelf = $1 ORDER BY id`, id)
	for _, row := range v.IDs {
		tier.DependsOn(ctx, "item", strconv.Itoa(row))
	}
	return v, err
}

// load reads the source. Some loads go on after they have read: what they read may be outdated before they return.
func (p *pod) load(ctx context.Context, keys []string, query string, arg any) (v versionsValue, err error) {
	marked(ctx, fromSource)
	p.loads.Add(1)
	begin := now()
	rows, err := p.db.Query(ctx, query, arg)
	if err != nil {
		return v, err
	}
	var row int
	var version int64
	_, err = pgx.ForEachRow(rows, []any{&row, &version}, func() error {
		v.IDs, v.Versions = append(v.IDs, row), append(v.Versions, version)
		return nil
	})
	if rand.N(4) == 0 {
		time.Sleep(rand.N(30 * time.Millisecond))
	}
	for _, key := range keys {
		p.history.write(false, "L", int64(begin), int64(now()), key)
	}
	return v, err
}

func (p *pod) report(ctx context.Context, out io.Writer) {
	for tick := time.NewTicker(time.Second); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			say(out, p.reads.Swap(0), p.errors.Swap(0), p.loads.Swap(0), p.writes.Swap(0))
		}
	}
}

// every calls do until ctx ends.
func every(ctx context.Context, pause time.Duration, do func()) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do()
		}
	}
}

// read reads items and shelves at random.
func (p *pod) read(ctx context.Context, random *rand.Rand) {
	r := &reader{pod: p, spans: make(map[string]*reads)}
	defer r.flush()
	every(ctx, readEvery, func() {
		for range readBurst {
			switch random.IntN(9) {
			case 0, 1:
				r.read(ctx, p.shelves, "s", 1+random.IntN(shelves))
			case 2:
				r.read(ctx, p.pages, "p", 1+random.IntN(shelves))
			case 3:
				first := 1 + random.IntN(shelfRows-3)
				r.read(ctx, p.items, "i", first, first+1, first+2)
			default:
				r.read(ctx, p.items, "i", 1+random.IntN(shelfRows))
			}
		}
	})
}

// probe keeps reading the few rows that show how soon a commit is seen.
func (p *pod) probe(ctx context.Context) {
	r := &reader{pod: p, spans: make(map[string]*reads)}
	defer r.flush()
	every(ctx, probeEvery, func() {
		for id := range probeRows {
			r.read(ctx, p.items, "i", shelfRows+1+id)
		}
	})
}

// A reader belongs to one goroutine. It joins reads of a key that got the same into one line, which keeps what the checks need: the last
// begin is the hardest on an old version, the first end shows when a new one was seen.
type reader struct {
	pod   *pod
	spans map[string]*reads // by key
}

func (r *reader) read(ctx context.Context, space *tier.Space[versionsValue], kind string, ids ...int) {
	m := &mark{tier: fromMemory}
	limited, cancel := context.WithTimeout(context.WithValue(ctx, markKey{}, m), callLimit)
	defer cancel()
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = strconv.Itoa(id)
	}
	text := texts[0]
	if kind == "i" && r.pod.cfg.sabotaged(sabotageHerd) && rand.N(200) == 0 {
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = r.pod.loadItem(ctx, text) })
		_, _ = r.pod.loadItem(ctx, text)
		wg.Wait()
	}
	begin := now()
	if len(ids) > 1 {
		for _, result := range space.GetMany(limited, texts) {
			r.note(m, kind+result.ID, begin, result.Value, result.Err)
		}
		return
	}
	v, err := space.Get(limited, text)
	r.note(m, kind+text, begin, v, err)
}

func (r *reader) note(m *mark, key string, begin instant, v versionsValue, err error) {
	end := now()
	r.pod.reads.Add(1)
	if err != nil {
		r.pod.errors.Add(1)
		return
	}
	s := r.spans[key]
	got := v.versions()
	if s != nil && s.tier == m.reached() && s.got.equal(got) && begin.sub(s.first) < spanLimit {
		s.last = begin
		s.count++
		return
	}
	if s != nil {
		r.put(s)
	}
	r.spans[key] = &reads{first: begin, last: begin, end: end, count: 1, tier: m.reached(), key: key, got: got}
}

func (r *reader) put(s *reads) {
	r.pod.history.write(false, "R", int64(s.first), int64(s.last), int64(s.end), s.count, s.tier, s.key, s.got)
}

func (r *reader) flush() {
	for _, s := range r.spans {
		r.put(s)
	}
}

// write raises versions of one item or of a whole shelf, and invalidates some of them itself.
func (p *pod) write(ctx context.Context, random *rand.Rand) {
	every(ctx, writeEvery, func() {
		limited, cancel := context.WithTimeout(ctx, callLimit)
		defer cancel()
		query, id := raiseItem, 1+random.IntN(shelfRows)
		if random.IntN(8) == 0 {
			query, id = raiseShelf, 1+random.IntN(shelves)
		}
		if random.IntN(6) == 0 {
			p.set(limited, 1+random.IntN(shelfRows))
			return
		}
		raised, err := raise(limited, p.db, p.history, query, id)
		if err != nil {
			return
		}
		p.writes.Add(1)
		switch random.IntN(30) {
		case 0: // of the items themselves: a delete of more would outdate what the checks do not know of
			p.announce(raised)
			for _, r := range raised {
				_, _ = p.cache.Delete(limited, tier.KeyQuery{Pattern: itemSpace + ":" + strconv.Itoa(r.id)})
			}
			p.invalidate(limited, raised) // what only the L1 of another pod has, and the shelves
		case 1, 2, 3, 4, 5, 6, 7, 8, 9:
			p.invalidate(limited, raised)
		}
	})
}

// set raises the version of one item and Sets what it has written.
func (p *pod) set(ctx context.Context, id int) {
	text := strconv.Itoa(id)
	var raised versions
	var begin instant
	_, err := p.items.SetWith(ctx, text, func(ctx context.Context) (v versionsValue, err error) {
		raised, err = raise(ctx, p.db, p.history, raiseItem, id)
		for _, r := range raised {
			v.IDs, v.Versions = append(v.IDs, r.id), append(v.Versions, r.version)
		}
		p.writes.Add(1)
		begin = p.announce(raised)
		return v, err
	})
	if begin == 0 { // it was not written, as far as is known
		return
	}
	if err == nil {
		err = p.cache.InvalidateTag(ctx, "item", text) // for the shelves; Set has outdated the item's key
	}
	p.acknowledge(begin, err, raised)
}

// A querier is a pool or a connection.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// The statements that raise versions. After a failover they go on above all that the primary before had: a version that was taken back is never
// given again. See failover.
const (
	raiseItems = `UPDATE items SET version = greatest(version, (SELECT base FROM era)) + 1 `
	raiseItem  = raiseItems + `WHERE id = $1 RETURNING id, version`
	raiseShelf = raiseItems + `WHERE shelf = $1 RETURNING id, version`
)

// raise commits new versions and writes them down.
func raise(ctx context.Context, db querier, h *history, query string, id int) (raised versions, err error) {
	begin := now()
	rows, err := db.Query(ctx, query, id)
	if err != nil {
		return nil, err
	}
	var r rowVersion
	_, err = pgx.ForEachRow(rows, []any{&r.id, &r.version}, func() error {
		raised = append(raised, r)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("raise: %w", err)
	}
	h.write(false, "C", int64(begin), int64(now()), raised)
	return raised, nil
}

func (p *pod) invalidate(ctx context.Context, raised versions) {
	names := make([]string, 0, 2*len(raised))
	for _, r := range raised {
		id := strconv.Itoa(r.id)
		names = append(names, tier.Key(itemSpace, id), tier.Tag("item", id))
	}
	begin := p.announce(raised)
	var err error
	if !p.cfg.sabotaged(sabotageFake) {
		err = p.cache.Invalidate(ctx, names...)
	}
	p.acknowledge(begin, err, raised)
}

// announce writes down that an invalidation is about to be sent.
func (p *pod) announce(raised versions) (begin instant) {
	begin = now()
	p.history.write(true, "T", int64(begin), raised)
	return begin
}

// acknowledge writes down how it has returned.
func (p *pod) acknowledge(begin instant, err error, raised versions) {
	p.history.write(true, "E", int64(begin), int64(now()), err == nil, raised)
}
