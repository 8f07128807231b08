package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tandem-cache/tandem/tier"
)

// coherencePodConfig is what a pod that reads accounts is made of.
type coherencePodConfig struct {
	Number   int    `json:"number"`
	Redis    string `json:"redis"`
	Postgres string `json:"postgres"`
	Cache    string `json:"cache"`
	Follows  bool   `json:"follows"` // this pod follows the feed
	Others   int    `json:"others"`  // pods that don't
	Accounts int    `json:"accounts"`
	Hot      int    `json:"hot"` // accounts 1 to Hot are read and written most
	Readers  int    `json:"readers"`
	Sabotage string `json:"sabotage"` // see doc.go; empty: none
}

const (
	accountSpace = "bank:account"
	fenceSpace   = "fence:mark"
	accountFeed  = "accounts"
)

// account is a row of pgbench_accounts with the version that a trigger counts.
type account struct {
	Balance int64
	Version int64
}

// loadAccount reads a row.
const loadAccount = `SELECT abalance, version FROM pgbench_accounts WHERE aid = $1`

// A coherencePod reads accounts and checks what it reads.
type coherencePod struct {
	cfg      coherencePodConfig
	cache    *podCache
	db       *pgxpool.Pool
	accounts *tier.Space[account]
	fence    *tier.Space[int]
	out      *wire

	checks   *checks
	follow   *following // nil: another pod follows
	heard    *hearing   // nil: this pod follows
	stop     context.CancelFunc
	wg       sync.WaitGroup // readers, and the follower or what hears
	stopRead chan struct{}  // closed to end the readers
	readers  sync.WaitGroup
}

func newCoherencePod(ctx context.Context, cfg coherencePodConfig, out *wire) (_ *coherencePod, err error) {
	p := &coherencePod{cfg: cfg, out: out, checks: newChecks(cfg.Accounts), stopRead: make(chan struct{})}
	defer func() {
		if err != nil {
			p.close(ctx)
		}
	}()
	pool, err := pgxpool.ParseConfig(cfg.Postgres)
	if err != nil {
		return nil, err
	}
	pool.MaxConns = int32(cfg.Readers) + 2
	if p.db, err = pgxpool.NewWithConfig(ctx, pool); err != nil {
		return nil, err
	}
	if p.cache, err = openCache(ctx, cfg.Cache, cfg.Redis, 0); err != nil {
		return nil, err
	}
	if p.accounts, err = newAccounts(p.cache.Cache, p.db); err != nil {
		return nil, err
	}
	p.fence, err = tier.NewSpace(p.cache.Cache, tier.SpaceConfig[int]{Name: fenceSpace, Strategy: tier.TTL(time.Hour)})
	if err != nil {
		return nil, err
	}
	ctx, p.stop = context.WithCancel(ctx)
	if !cfg.Follows {
		p.heard = newHearing(p)
		p.wg.Go(func() { p.heard.run(ctx) })
		return p, nil
	}
	if p.follow, err = newFollowing(p); err != nil {
		return nil, err
	}
	return p, nil
}

func newAccounts(c *tier.Cache, db *pgxpool.Pool) (*tier.Space[account], error) {
	return tier.NewSpace(c, tier.SpaceConfig[account]{
		Name: accountSpace, Strategy: tier.CDC(accountFeed),
		Load: func(ctx context.Context, id string) (a account, err error) {
			aid, err := strconv.Atoi(id)
			if err != nil {
				return a, err
			}
			err = db.QueryRow(ctx, loadAccount, aid).Scan(&a.Balance, &a.Version)
			linger()
			return a, err
		},
	})
}

// Some loaders go on working after they have read: what they read may be outdated before they return.
const (
	lingerShare = 4 // one of so many
	lingerMax   = 30 * time.Millisecond
)

func linger() {
	if rand.N(lingerShare) == 0 {
		time.Sleep(rand.N(lingerMax))
	}
}

func (p *coherencePod) handle(ctx context.Context, m message) (any, error) {
	switch m.Kind {
	case "follow":
		return "following", p.follow.start(ctx)
	case "read":
		p.startReaders(ctx)
		return "reading", nil
	case "probe":
		var b probe
		if err := json.Unmarshal(m.Data, &b); err != nil {
			return nil, err
		}
		return p.probe(ctx, b), nil
	case "drain":
		var lsn string
		if err := json.Unmarshal(m.Data, &lsn); err != nil {
			return nil, err
		}
		return "drained", p.follow.drain(ctx, lsn)
	case "fences":
		return p.cache.applied("api"), nil
	case "fence":
		return "fenced", p.fence.Invalidate(ctx, "x")
	case "fenced":
		var count uint64
		if err := json.Unmarshal(m.Data, &count); err != nil {
			return nil, err
		}
		return "fenced", await(ctx, "hear the last invalidation", func() bool { return p.cache.applied("api") >= count })
	case "stop":
		return p.stopReaders(), nil
	case "l1":
		return p.peekAll(ctx), nil
	}
	return nil, errors.New("unknown")
}

func (p *coherencePod) push(m message) error {
	switch {
	case m.Kind == "push-floors" && p.heard != nil:
		var f floors
		if err := json.Unmarshal(m.Data, &f); err != nil {
			return err
		}
		p.heard.add(f)
		return p.out.send("push-ack", f.Sent)
	case m.Kind == "push-ack" && p.follow != nil:
		var sent uint64
		if err := json.Unmarshal(m.Data, &sent); err != nil {
			return err
		}
		p.follow.feed.acked(sent)
		return nil
	}
	return fmt.Errorf("%s: unknown", m.Kind)
}

func (p *coherencePod) startReaders(ctx context.Context) {
	for i := range p.cfg.Readers {
		p.readers.Go(func() { p.read(ctx, rand.New(rand.NewPCG(uint64(p.cfg.Number), uint64(i)))) })
	}
}

// The readers leave the processor to the others: a burst of reads each millisecond.
const (
	burstEvery = time.Millisecond
	burst      = 20
)

// read reads accounts: most of the time hot ones.
func (p *coherencePod) read(ctx context.Context, random *rand.Rand) {
	tick := time.NewTicker(burstEvery)
	defer tick.Stop()
	kept := make(map[int]account) // of a saboteur
	for {
		select {
		case <-p.stopRead:
			return
		case <-tick.C:
		}
		for n := range burst {
			aid := 1 + random.IntN(p.cfg.Hot)
			if n == 0 {
				aid = 1 + random.IntN(p.cfg.Accounts)
			}
			p.readOne(ctx, aid, kept)
		}
	}
}

func (p *coherencePod) readOne(ctx context.Context, aid int, kept map[int]account) {
	if a, ok := kept[aid]; ok {
		p.heard.refresh(aid)
		p.checks.begin(aid).end(a, nil)
		return
	}
	a := p.get(ctx, aid)
	if p.cfg.Sabotage == sabotageKeep {
		kept[aid] = a
	}
}

// A probe is a version that the program has committed.
type probe struct {
	Account   int   `json:"account"`
	Version   int64 `json:"version"`
	Committed int64 `json:"committed"` // Unix ns, when the commit had returned
}

// probePatience is how long a probe is looked for. That it is not seen is no violation by itself: the follower may lag.
const probePatience = 3 * time.Second

// probe reads until it sees the version, and returns how long after the commit that was, or -1. Its reads are checked like any
// other.
func (p *coherencePod) probe(ctx context.Context, b probe) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	err := await(ctx, "see a probe", func() bool { return p.get(ctx, b.Account).Version >= b.Version })
	if err != nil {
		return -1
	}
	return time.Duration(time.Now().UnixNano() - b.Committed)
}

// get reads an account through the cache and checks what comes.
func (p *coherencePod) get(ctx context.Context, aid int) account {
	p.heard.refresh(aid)
	c := p.checks.begin(aid)
	a, err := p.accounts.Get(ctx, strconv.Itoa(aid))
	if err == nil || ctx.Err() == nil { // who leaves early got no answer
		c.end(a, err)
	}
	return a
}

// podCounts is what a pod did.
type podCounts struct {
	Reads       uint64   `json:"reads"`
	Failed      uint64   `json:"failed"`
	Checked     uint64   `json:"checked"` // reads of accounts of which an invalidation was applied
	Older       uint64   `json:"older"`
	Reverted    uint64   `json:"reverted"`
	Examples    []string `json:"examples"`
	L1Hits      uint64   `json:"l1_hits"`
	L2Hits      uint64   `json:"l2_hits"`
	Loads       uint64   `json:"loads"`
	Shared      uint64   `json:"shared"`      // callers who shared a read of this pod
	Waited      uint64   `json:"waited"`      // reads that waited for another pod's load
	Applied     uint64   `json:"applied"`     // names from the feed, as this pod counts them
	Floors      uint64   `json:"floors"`      // versions known to be applied here
	Resyncs     uint64   `json:"resyncs"`     // times L1 started anew
	Invalidated uint64   `json:"invalidated"` // names that the follower has invalidated
	Events      uint64   `json:"events"`      // changes that the follower took
	Retries     uint64   `json:"retries"`
}

func (p *coherencePod) stopReaders() podCounts {
	close(p.stopRead)
	p.readers.Wait()
	n := p.checks.counts()
	space := []string{"space", accountSpace}
	n.L1Hits = p.cache.counter("tandem_hits_total", append(space, "tier", "l1")...)
	n.L2Hits = p.cache.counter("tandem_hits_total", append(space, "tier", "l2")...)
	n.Loads = p.cache.counter("tandem_loads_total", space...)
	n.Shared = p.cache.counter("tandem_coalesced_total", append(space, "scope", "pod")...)
	n.Waited = p.cache.counter("tandem_coalesced_total", append(space, "scope", "fleet")...)
	n.Applied = p.cache.applied(accountFeed)
	n.Resyncs = p.cache.counter("tandem_bus_resyncs_total")
	if p.follow != nil {
		stats := p.follow.follower.Stats()
		n.Invalidated, n.Events, n.Retries = stats.Invalidated, stats.Events, stats.Retries
	}
	return n
}

// peekAll returns what this pod has of every account that it ever read, by account.
func (p *coherencePod) peekAll(ctx context.Context) map[int]account {
	found := make(map[int]account)
	for aid := range p.checks.seen {
		if p.checks.seen[aid].Load() < 0 {
			continue
		}
		if a, ok := p.accounts.Peek(ctx, strconv.Itoa(aid)); ok {
			found[aid] = a
		}
	}
	return found
}

func (p *coherencePod) close(ctx context.Context) {
	select {
	case <-p.stopRead:
	default:
		close(p.stopRead)
	}
	p.readers.Wait()
	if p.stop != nil {
		p.stop()
	}
	p.wg.Wait()
	if p.cache != nil {
		p.cache.close(ctx)
	}
	if p.db != nil {
		p.db.Close()
	}
}
