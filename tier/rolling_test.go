package tier_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/remote"
	"github.com/tandem-cache/tandem/tier"
)

// A release is a version of a service: it opens its space in a new pod, and reads.
type release struct {
	name string
	open func(t *testing.T, c *tier.Cache) func(ctx context.Context, id string) (madeBy string, err error)
}

// newRelease returns a release whose values say who made them.
func newRelease[V any](name string, schema uint32, codec remote.Codec, value func(madeBy, id string) V, madeBy func(V) string) release {
	return release{name: name, open: func(t *testing.T, c *tier.Cache) func(context.Context, string) (string, error) {
		s := newSpace(t, c, tier.SpaceConfig[V]{
			Name: "orders:detail", Strategy: tier.CDC("feed"), Schema: schema, Codec: codec,
			Load: func(_ context.Context, id string) (V, error) { return value(name, id), nil },
		})
		return func(ctx context.Context, id string) (string, error) {
			v, err := s.Get(ctx, id)
			return madeBy(v), err
		}
	}}
}

type (
	orderBefore struct {
		ID     string
		Total  int
		MadeBy string
	}
	orderAfter struct {
		ID     string
		Total  []string // what was a number
		MadeBy string
	}
)

// A fleet is rolled from one release to the next on one Redis, pod by pod, under load and while rows change. Each release reads only what
// its own pods wrote, no read fails, and each shares its values among its pods as long as it has two.
func TestRollingDeploy(t *testing.T) {
	before := func(madeBy, id string) orderBefore { return orderBefore{ID: id, Total: 7, MadeBy: madeBy} }
	after := func(madeBy, id string) orderAfter {
		return orderAfter{ID: id, Total: []string{"7"}, MadeBy: madeBy}
	}
	beforeBy := func(o orderBefore) string { return o.MadeBy }
	afterBy := func(o orderAfter) string { return o.MadeBy }
	for name, test := range map[string]struct {
		old, new release
		reason   string
	}{
		"schema": {newRelease("old", 1, nil, before, beforeBy), newRelease("new", 2, nil, after, afterBy), "schema"},
		// The same type with another meaning: only the schema tells.
		"schema of one type": {newRelease("old", 0, nil, before, beforeBy), newRelease("new", 1, nil, before, beforeBy), "schema"},
		"codec": {
			newRelease("old", 0, remote.MsgPack{}, before, beforeBy), newRelease("new", 0, remote.JSON{}, before, beforeBy), "unreadable",
		},
	} {
		t.Run(name, func(t *testing.T) { roll(t, test.old, test.new, test.reason) })
	}
}

func roll(t *testing.T, from, to release, reason string) {
	const pods, ids = 3, 20
	addr := servertest.StartRedis(t).Addr
	var running []*rollingPod
	all := make(map[string][]*tier.Cache) // by release
	start := func(r release) {
		p := startRollingPod(t, addr, r, ids)
		running = append(running, p)
		all[r.name] = append(all[r.name], p.cache)
	}
	sum := func(release, name string, labels ...string) (n float64) {
		for _, c := range all[release] {
			n += metric(t, c, name, labels...)
		}
		return n
	}
	goOn := func() {
		t.Helper()
		for _, p := range running {
			reads := p.reads.Load()
			eventually(t, "each pod reads on", func() bool { return p.reads.Load() >= reads+5*ids })
		}
	}
	shared := func(release string) {
		t.Helper()
		hits := sum(release, "tandem_hits_total", "l2")
		eventually(t, release+" pods find each other's values in L2", func() bool { return sum(release, "tandem_hits_total", "l2") > hits })
	}
	for range pods {
		start(from)
	}
	goOn()
	shared(from.name)
	for range pods {
		start(to)
		goOn()
		running[0].stop()
		running = running[1:]
		goOn()
	}
	shared(to.name)
	for _, release := range []string{from.name, to.name} {
		if n := sum(release, "tandem_dead_entries_total", reason); n == 0 {
			t.Errorf("no %s pod met a value of the other release: the test shows nothing", release)
		}
		if n := sum(release, "tandem_load_errors_total"); n != 0 {
			t.Errorf("%v loads of %s pods failed", n, release)
		}
		for _, other := range []string{"schema", "unreadable", "sealed"} {
			if n := sum(release, "tandem_dead_entries_total", other); other != reason && n != 0 {
				t.Errorf("%s pods counted %v values as %s; want %s only", release, n, other, reason)
			}
		}
	}
	for _, p := range running {
		p.stop()
	}
}

// A rollingPod reads all the time, and now and then a row changes.
type rollingPod struct {
	cache *tier.Cache
	reads atomic.Int64
	stop  func()
}

func startRollingPod(t *testing.T, addr string, r release, ids int) *rollingPod {
	c := openCache(t, tier.Config{Redis: connect(t, addr), RemoteTimeout: 2 * time.Second})
	p := &rollingPod{cache: c}
	get := r.open(t, c)
	stop := make(chan struct{})
	var wrong atomic.Bool // the first is enough
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprintf("ord_%02d", i%ids)
				if by, err := get(t.Context(), id); (err != nil || by != r.name) && !wrong.Swap(true) {
					t.Errorf("the %s release got a value of %q, %v", r.name, by, err)
				}
				if i%7 == 0 {
					if err := c.Invalidate(t.Context(), tier.Key("orders:detail", id)); err != nil {
						t.Error(err)
					}
				}
				p.reads.Add(1)
			}
		})
	}
	p.stop = sync.OnceFunc(func() {
		close(stop)
		wg.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(p.stop)
	return p
}
