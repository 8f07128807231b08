package tier_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/tier"
)

// All but the key is invalidated between snapshot and Set, by a pod that takes its tick before the Set's and whose broadcast the Set's pod hears
// after it. Neither of them looks for the other: the tick of the name alone tells.
func TestSetBesideATag(t *testing.T) {
	inEachWay(t, func(t *testing.T, invalidate func(p pod, ctx context.Context, id string) error) {
		if strings.HasSuffix(t.Name(), "/Invalidate") {
			t.Skip("that is the key")
		}
		addr := servertest.StartRedis(t).Addr
		src := &source{}
		journal := newGate("eval", "{bus}:journal")
		a, b := newPod(t, addr, src), newPodWith(t, addr, src, journal)
		heard(t, a, b)
		var other sync.WaitGroup
		journal.arm()
		v, err := a.SetWith(t.Context(), "k", func(ctx context.Context) (int, error) {
			tier.DependsOn(ctx, "row", "k")
			v := src.write("k")
			src.write("k")
			other.Go(func() {
				if err := invalidate(b, t.Context(), "k"); err != nil {
					t.Error(err)
				}
			})
			journal.await(t)
			return v, nil
		})
		if v != 1 || err != nil {
			t.Fatal(v, err)
		}
		wantSets(t, a, "stored", 1)
		if got := newPod(t, addr, src).peek(t, "k"); got != -1 { // it asks the table
			t.Errorf("L2 has %d, and Redis's table takes it as valid", got)
		}
		journal.release()
		other.Wait()
		heard(t, a, b)
		noneStale(t, "k", 2, a, b, newPod(t, addr, src))
		a.want(t, "k", 2)
	})
}

// A gate is a go-redis hook that keeps one command from being sent.
type gate struct {
	*watch
	armed             atomic.Bool
	reached, released chan struct{}
}

func newGate(name, text string) *gate {
	g := &gate{reached: make(chan struct{}), released: make(chan struct{})}
	g.watch = &watch{before: func(cmds []redis.Cmder) error {
		if have(cmds, name, text) && g.armed.CompareAndSwap(true, false) {
			close(g.reached)
			<-g.released
		}
		return nil
	}}
	return g
}

func (g *gate) arm()     { g.armed.Store(true) }
func (g *gate) release() { close(g.released) }

func (g *gate) await(t *testing.T) {
	t.Helper()
	select {
	case <-g.reached:
	case <-time.After(10 * time.Second):
		t.Fatal("the command that the gate holds did not come")
	}
}

// Another writer's change comes after the Set's write, and its tick before the Set's; it reaches the table first, or last, or finds
// that the table has lost the Set's claim. Its invalidation is not undone by the Set's value.
func TestSetBesideAnInvalidation(t *testing.T) {
	for name, test := range map[string]struct {
		step   string // of the other's, before which the Set is done
		lose   bool   // the table, after the Set
		stored float64
	}{
		"the other first":              {step: "{bus}:journal", stored: 0},
		"the Set first":                {step: "{names:", stored: 1},
		"the Set first, and forgotten": {step: "{names:", lose: true, stored: 1},
	} {
		t.Run(name, func(t *testing.T) {
			addr := servertest.StartRedis(t).Addr
			client, src := connect(t, addr), &source{}
			step := newGate("eval", test.step)
			a, b, c := newPod(t, addr, src), newPodWith(t, addr, src, step), newPod(t, addr, src)
			heard(t, a, b)
			heard(t, c, b)
			mended(t, client)
			var other sync.WaitGroup
			step.arm()
			v, err := a.SetWith(t.Context(), "k", func(context.Context) (int, error) {
				v := src.write("k") // 1
				src.write("k")      // 2
				other.Go(func() {   // takes its tick before us
					if err := b.Invalidate(t.Context(), "k"); err != nil {
						t.Error(err)
					}
				})
				step.await(t)
				return v, nil
			})
			if v != 1 || err != nil {
				t.Fatal(v, err)
			}
			wantSets(t, a, "stored", test.stored)
			if got := c.peek(t, "k"); test.stored == 1 && got != 1 { // no invalidation of it is acknowledged
				t.Errorf("another pod has %d; want 1", got)
			}
			if test.lose {
				client.Del(t.Context(), client.Keys(t.Context(), "shop:{names:*}").Val()...)
			}
			step.release()
			other.Wait()
			heard(t, a, b)
			heard(t, c, b)
			noneStale(t, "k", 2, a, b, c, newPod(t, addr, src))
			a.want(t, "k", 2)
		})
	}
}

// An invalidation by the Set's own pod that failed before it reached the table is applied in the pod, and so it is there for the Set, too.
func TestSetBesideAFailedInvalidation(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	src := &source{}
	var failing atomic.Bool
	p := newPodWith(t, addr, src, &watch{before: func(cmds []redis.Cmder) error {
		if failing.Load() && have(cmds, "eval", "{names:") {
			return errCut
		}
		return nil
	}})
	_, err := p.SetWith(t.Context(), "k", func(context.Context) (int, error) {
		v := src.write("k")
		src.write("k")
		failing.Store(true)
		defer failing.Store(false)
		if err := p.Invalidate(t.Context(), "k"); !errors.Is(err, errCut) {
			t.Errorf("got %v; want it to fail", err)
		}
		return v, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	noneStale(t, "k", 2, p, newPod(t, addr, src))
	p.want(t, "k", 2)
}

// mended waits until Redis's table is whole.
func mended(t *testing.T, client *redis.Client) {
	t.Helper()
	eventually(t, "the table is whole", func() bool {
		return len(client.Keys(t.Context(), "shop:{names:*}").Val()) == 32
	})
}

// Two Sets: the newer one takes its tick first and claims last. It stores nothing, and its invalidation outdates the older one's value.
func TestSetBesideASet(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	client, src := connect(t, addr), &source{}
	claim := newGate("eval", "{names:")
	a, b := newPod(t, addr, src), newPodWith(t, addr, src, claim)
	heard(t, a, b)
	mended(t, client)
	var newer sync.WaitGroup
	claim.arm()
	v, err := a.SetWith(t.Context(), "k", func(context.Context) (int, error) {
		v := src.write("k")
		newer.Go(func() { b.setWith(t, src, "k") })
		claim.await(t)
		return v, nil
	})
	if v != 1 || err != nil {
		t.Fatal(v, err)
	}
	wantSets(t, a, "stored", 1)
	claim.release()
	newer.Wait()
	wantSets(t, b, "dropped", 1)
	heard(t, a, b)
	noneStale(t, "k", 2, a, b, newPod(t, addr, src))
	a.want(t, "k", 2)
}

// A load that began before the write lands after the Set: its value must not take the place of the new one, in either tier.
func TestOldLoaderReturnsAfterSet(t *testing.T) {
	withAndWithout(t, func(t *testing.T, addr string) {
		src := &source{}
		a := newPod(t, addr, src)
		b := a
		if addr != "" {
			b = newPod(t, addr, src)
			heard(t, a, b)
		}
		release := make(chan struct{})
		src.onRead(func(_ string, version int) {
			if version == 0 {
				<-release
			}
		})
		old := make(chan int)
		for _, p := range []pod{a, b} {
			go func() { v, _ := p.Get(t.Context(), "k"); old <- v }()
		}
		eventually(t, "the old load has read", func() bool { return src.count("k") >= 1 })
		v := a.setWith(t, src, "k")
		a.want(t, "k", v)
		close(release)
		<-old
		<-old
		a.want(t, "k", v)
		if addr != "" {
			heard(t, b, a)
		}
		noneStale(t, "k", v, a, b)
		b.want(t, "k", v)
	})
}

// Sets and invalidations at once: no value is left that is older than an acknowledged one. With L1 alone no reader finds one either that was
// acknowledged before the read began.
func TestSetUnderLoad(t *testing.T) {
	withAndWithout(t, func(t *testing.T, addr string) {
		src := &source{}
		pods := []pod{newPod(t, addr, src)}
		if addr != "" {
			pods = append(pods, newPod(t, addr, src))
			heard(t, pods[0], pods[1])
		}
		var rows [4]struct {
			sync.Mutex              // a row's lock: writes have an order
			acked      atomic.Int64 // the newest that is
		}
		until := time.Now().Add(time.Second)
		var wg sync.WaitGroup
		for i := range 8 {
			p := pods[i%len(pods)]
			wg.Go(func() {
				for time.Now().Before(until) {
					n := rand.IntN(len(rows))
					row, id := &rows[n], fmt.Sprint(n)
					write := func() int {
						row.Lock()
						defer row.Unlock()
						return src.write(id)
					}
					var v int
					var err error
					switch rand.IntN(4) {
					case 0, 1:
						v, err = p.SetWith(t.Context(), id, func(ctx context.Context) (int, error) {
							tier.DependsOn(ctx, "row", id)
							return write(), nil
						})
					case 2:
						v = write()
						err = p.Invalidate(t.Context(), id)
					case 3:
						v = write()
						err = p.cache.InvalidateTag(t.Context(), "row", id)
					}
					if err != nil {
						t.Error(err)
						return
					}
					for acked := row.acked.Load(); acked < int64(v) && !row.acked.CompareAndSwap(acked, int64(v)); {
						acked = row.acked.Load()
					}
				}
			})
			if addr == "" { // another pod may be behind
				wg.Go(func() {
					for time.Now().Before(until) {
						n := rand.IntN(len(rows))
						least := rows[n].acked.Load()
						if v, err := p.Get(t.Context(), fmt.Sprint(n)); err != nil || int64(v) < least {
							t.Errorf("got version %d, %v of %d; want at least %d", v, err, n, least)
							return
						}
					}
				})
			}
		}
		wg.Wait()
		for i, p := range pods {
			heard(t, p, pods[len(pods)-1-i])
		}
		for n := range rows {
			noneStale(t, fmt.Sprint(n), int(rows[n].acked.Load()), pods...)
		}
		if metric(t, pods[0].cache, "tandem_sets_total", "stored") == 0 {
			t.Error("no Set was stored: the test shows nothing")
		}
	})
}
