package sim

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/tier"
)

// The settings of the pods.
const (
	maxStaleness = time.Second
	feedLimit    = 2 * time.Second
	fallbackTTL  = 1500 * time.Millisecond
	loadTimeout  = 5 * time.Second
)

// A world is one simulation.
type world struct {
	seed    uint64
	dice    *dice
	cluster *cluster
	source  *source
	pods    []*pod

	mu      sync.Mutex // guards the fields below
	history []string
	reads   int
	faults  int
	broken  string // the first violation
}

func newWorld(seed uint64, eager bool) *world {
	w := &world{seed: seed, dice: newDice(seed), cluster: newCluster(seed%8 == 6)}
	w.source = newSource(w.dice)
	w.source.eager, w.source.replica = eager, seed%4 == 3
	n := 2 + int(seed%3)
	if seed%16 == 0 {
		n = 8
	}
	for i := range n {
		p := &pod{world: w, number: i, link: w.cluster.newLink(w.dice, fmt.Sprintf("pod %d ", i))}
		p.open()
		w.pods = append(w.pods, p)
	}
	return w
}

// A pod has a network and one life after another.
type pod struct {
	world  *world
	number int
	link   *link

	mu   sync.Mutex // guards life
	life *life
}

// A life is that of a pod's process.
type life struct {
	using  sync.WaitGroup // who may not be surprised by its end
	client *redis.Client
	cache  *tier.Cache
	spaces map[string]*tier.Space[[]int]
	own    map[int]int // row → version that it has invalidated itself; guarded by world.mu
}

var quiet = slog.New(slog.DiscardHandler)

func (p *pod) open() {
	client := p.link.client()
	cache, err := tier.Open(context.Background(), tier.Config{
		Name: "sim", Redis: client, L1Bytes: 1 << 20, Logger: quiet,
		MaxStaleness: maxStaleness, FeedLimit: feedLimit, FallbackTTL: fallbackTTL,
	})
	if err != nil {
		panic(err)
	}
	l := &life{client: client, cache: cache, spaces: make(map[string]*tier.Space[[]int]), own: make(map[int]int)}
	for name, cfg := range map[string]tier.SpaceConfig[[]int]{
		rowSpace:  {Load: p.loadRow, LoadMany: p.loadRows},
		listSpace: {Load: p.loadList},
		pageSpace: {Load: l.loadPage, LoadTimeout: 4 * loadTimeout}, // for two reads, each of which may wait and then load
	} {
		cfg.Name, cfg.Strategy, cfg.LoadTimeout = name, tier.CDC(feedName), max(cfg.LoadTimeout, loadTimeout)
		l.spaces[name], err = tier.NewSpace(cache, cfg)
		if err != nil {
			panic(err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.life = l
}

// use returns the pod's present life, which does not end before done is called.
func (p *pod) use() (l *life, done func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.life.using.Add(1)
	return p.life, p.life.using.Done
}

func (p *pod) present() *life {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.life
}

// end ends a life once nobody uses it.
func (p *pod) end(l *life) {
	l.using.Wait()
	if err := l.cache.Close(context.Background()); err != nil {
		p.world.fail("close: %v", err)
	}
	_ = l.client.Close()
}

// restart begins another life, as a rolling deployment does, and ends the one before.
func (p *pod) restart() {
	old := p.present()
	p.open()
	p.end(old)
}

// epoch is when synctest's clocks begin.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func (w *world) at(t time.Time) string { return fmt.Sprintf("%.6f", t.Sub(epoch).Seconds()) }

func (w *world) note(format string, args ...any) {
	line := w.at(time.Now()) + " " + fmt.Sprintf(format, args...)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.history = append(w.history, line); len(w.history) > 4000 {
		w.history = slices.Delete(w.history, 0, 2000)
	}
}

// fail notes a violation. The first one ends the history that is shown.
func (w *world) fail(format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	w.note("VIOLATION %s", what)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken == "" {
		w.broken = what
	}
}

func (w *world) failed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.broken != ""
}

// tail is the end of the history.
func (w *world) tail(lines int) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	end := len(w.history)
	if i := slices.IndexFunc(w.history, func(line string) bool { return strings.Contains(line, "VIOLATION") }); i >= 0 {
		end = i + 1
	}
	return strings.Join(w.history[max(0, end-lines):end], "\n")
}
