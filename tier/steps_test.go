package tier_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/remote"
	"github.com/tandem-cache/tandem/tier"
)

// A watch is a go-redis hook on the commands of one pod: a call's one command, or a pipeline's.
type watch struct {
	before func(cmds []redis.Cmder) error // nil: nothing; its error fails the commands unsent
	after  func(cmds []redis.Cmder)       // nil: nothing; before the pod sees the answers
}

func (w *watch) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (w *watch) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return w.around([]redis.Cmder{cmd}, func() error { return next(ctx, cmd) })
	}
}

func (w *watch) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		return w.around(cmds, func() error { return next(ctx, cmds) })
	}
}

func (w *watch) around(cmds []redis.Cmder, next func() error) error {
	if w.before != nil {
		if err := w.before(cmds); err != nil {
			for _, cmd := range cmds {
				cmd.SetErr(err)
			}
			return err
		}
	}
	err := next()
	if w.after != nil {
		w.after(cmds)
	}
	return err
}

// have says whether one of cmds begins with name and has text among its arguments.
func have(cmds []redis.Cmder, name, text string) bool {
	for _, cmd := range cmds {
		if strings.HasPrefix(cmd.Name(), name) && strings.Contains(fmt.Sprint(cmd.Args()), text) {
			return true
		}
	}
	return false
}

var errCut = errors.New("cut by the test")

// When the broadcast goes out, L2 has neither the value nor the belief that it is valid.
func TestL2ComesBeforeTheBroadcast(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	client, src := connect(t, addr), &source{}
	var old atomic.Pointer[remote.Envelope]
	var published atomic.Int32
	key := tier.Key("test:row", "k")
	p := newPodWith(t, addr, src, &watch{before: func(cmds []redis.Cmder) error {
		if old.Load() == nil || !have(cmds, "eval", "{bus}:journal") {
			return nil
		}
		published.Add(1)
		if client.Exists(context.Background(), "shop:test:row:k").Val() != 0 {
			t.Error("published while L2 has the value")
		}
		values := [][]remote.Name{{{Text: key, Tick: old.Load().Tick}}}
		if valid, _, err := remote.New(client, "shop").Judge(context.Background(), values); valid[0] || err != nil {
			t.Errorf("published while Redis's table says valid: %v, %v", valid, err)
		}
		return nil
	}})
	p.want(t, "k", 0)
	env, err := remote.Decode([]byte(storedIn(t, client)))
	if err != nil {
		t.Fatal(err)
	}
	old.Store(env)
	if err := p.Invalidate(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	if published.Load() == 0 {
		t.Error("saw no broadcast: the test shows nothing")
	}
}

// The fill of the pod that loads wakes the pods that wait: at this point polling alone would look again after 500 ms.
func TestFillWakesWaiters(t *testing.T) {
	var took []time.Duration
	for range 5 { // on a busy machine one of them is quick enough
		took = append(took, wake(t))
		if slices.Min(took) <= 350*time.Millisecond {
			return
		}
	}
	t.Errorf("the other pod had the value %s after the load", took)
}

// wake returns how long after a load another pod, which waits for it, has the value.
func wake(t *testing.T) time.Duration {
	t.Helper()
	addr := servertest.StartRedis(t).Addr
	src := &source{}
	release := make(chan struct{})
	src.onRead(func(string, int) { <-release })
	a, b := newPod(t, addr, src), newPod(t, addr, src)
	var wg sync.WaitGroup
	wg.Go(func() { a.want(t, "k", 0) })
	eventually(t, "the load runs", func() bool { return src.count("k") == 1 })
	var answered time.Time
	wg.Go(func() { b.want(t, "k", 0); answered = time.Now() })
	eventually(t, "the other pod has asked six times", func() bool { return metric(t, b.cache, "tandem_remote_seconds", "lease") >= 6 })
	released := time.Now()
	close(release)
	wg.Wait()
	return answered.Sub(released)
}

// A value that was invalidated while it was loaded is returned to those who asked before, and not stored in L2.
func TestDeadLoadIsNotStored(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	client, src := connect(t, addr), &source{}
	p := newPod(t, addr, src)
	src.onRead(func(string, int) {
		if err := p.cache.InvalidateTag(t.Context(), "row", "k"); err != nil { // leaves the load its marker
			t.Error(err)
		}
	})
	p.want(t, "k", 0)
	left := ""
	eventually(t, "the lease is settled", func() bool {
		left = client.Get(t.Context(), "shop:test:row:k").Val()
		return !strings.HasPrefix(left, "M")
	})
	if left != "" {
		t.Error("L2 has the value")
	}
	if n := metric(t, p.cache, "tandem_refused_fills_total", "moved"); n != 1 {
		t.Errorf("counted %v times; want 1", n)
	}
}

// A pod that is not trusted has perhaps missed invalidations above its floor: Redis's table decides, not its own.
func TestUntrustedPodAsksTheTable(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	client, src := connect(t, addr), &source{}
	var armed atomic.Bool
	reached, release := make(chan struct{}), make(chan struct{})
	a := newPodWith(t, addr, src, &watch{after: func(cmds []redis.Cmder) {
		if len(cmds) == 1 && have(cmds, "eval", "{tick}") && armed.CompareAndSwap(true, false) { // its resync reads the counter
			close(reached)
			<-release
		}
	}})
	b := newPod(t, addr, src)
	b.want(t, "k", 0)
	old := storedIn(t, client)
	heard(t, a, b)
	armed.Store(true)
	if err := client.Del(t.Context(), "shop:{bus}:head").Err(); err != nil {
		t.Fatal(err)
	}
	defer close(release)
	select {
	case <-reached:
	case <-time.After(10 * time.Second):
		t.Fatal("no resync")
	}
	v := src.write("k")
	if err := b.Invalidate(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	if err := client.Set(t.Context(), "shop:test:row:k", old, 0).Err(); err != nil { // as a slow fill would have
		t.Fatal(err)
	}
	a.want(t, "k", v)
}

// decoding runs a function while a value is decoded.
type decoding struct{ N int }

var whileDecoding atomic.Pointer[func()]

func (d *decoding) UnmarshalBinary(b []byte) (err error) {
	if run := whileDecoding.Swap(nil); run != nil {
		(*run)()
	}
	d.N, err = strconv.Atoi(string(b))
	return err
}

func (d *decoding) MarshalBinary() ([]byte, error) { return []byte(strconv.Itoa(d.N)), nil }

// An invalidation between the verdict on a value from L2 and its way into L1 shows in the entry: its number was noted before.
func TestInvalidatedAfterTheVerdict(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	src := &source{}
	open := func() *tier.Space[*decoding] {
		c := openCache(t, tier.Config{Redis: connect(t, addr), RemoteTimeout: 2 * time.Second})
		return newSpace(t, c, tier.SpaceConfig[*decoding]{
			Name: "test:row", Strategy: tier.CDC("feed"),
			Load: func(ctx context.Context, id string) (*decoding, error) {
				n, err := src.load(ctx, id)
				return &decoding{n}, err
			},
		})
	}
	a, b := open(), open()
	if _, err := b.Get(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	storedIn(t, connect(t, addr))
	invalidate := func() {
		src.write("k")
		if err := a.Invalidate(t.Context(), "k"); err != nil {
			t.Error(err)
		}
	}
	whileDecoding.Store(&invalidate)
	for round, want := range []int{-1, 1, 1} { // the first began before the invalidation
		v, err := a.Get(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		if want >= 0 && v.N != want {
			t.Errorf("round %d: got version %d; want %d", round, v.N, want)
		}
	}
	if src.count("k") != 2 {
		t.Errorf("%d loads; want 2: the first value came from L2", src.count("k"))
	}
}

// A Redis that fails in the middle of a read leads to the source, and to nothing that was not judged.
func TestRedisFailsBetweenCalls(t *testing.T) {
	cut := func(name, text string) *watch {
		return &watch{before: func(cmds []redis.Cmder) error {
			if have(cmds, name, text) {
				return errCut
			}
			return nil
		}}
	}
	t.Run("lease", func(t *testing.T) {
		src := &source{}
		p := newPodWith(t, servertest.StartRedis(t).Addr, src, cut("eval", "shop:test:row:k"))
		p.want(t, "k", 0)
	})
	t.Run("table", func(t *testing.T) {
		addr := servertest.StartRedis(t).Addr
		client, src := connect(t, addr), &source{}
		a := newPod(t, addr, src)
		a.want(t, "k", 0)
		old := storedIn(t, client)
		v := src.write("k")
		if err := a.Invalidate(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		if err := client.Set(t.Context(), "shop:test:row:k", old, 0).Err(); err != nil { // as a slow fill would have
			t.Fatal(err)
		}
		late := newPodWith(t, addr, src, cut("zmscore", "")) // heard nothing of it
		late.want(t, "k", v)
	})
}

// The source may have changed although the invalidation failed half-way: the pod that knows of it does not serve the old value.
func TestFailedInvalidationIsAppliedHere(t *testing.T) {
	src := &source{}
	var failing atomic.Bool
	p := newPodWith(t, servertest.StartRedis(t).Addr, src, &watch{before: func(cmds []redis.Cmder) error {
		if failing.Load() && have(cmds, "unlink", "") {
			return errCut
		}
		return nil
	}})
	p.want(t, "k", 0)
	v := src.write("k")
	failing.Store(true)
	if err := p.Invalidate(t.Context(), "k"); !errors.Is(err, errCut) {
		t.Fatalf("got %v; want it to fail", err)
	}
	p.want(t, "k", v)
}

// What a pod has heard is above what a Redis that lost its last writes remembers.
func TestTicksRiseAboveWhatAPodHeard(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	client := connect(t, addr)
	p := newPod(t, addr, &source{})
	last := func() uint64 {
		n, err := client.HGet(t.Context(), "shop:{tick}", "last").Uint64()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	set := func(n uint64) {
		if err := client.HSet(t.Context(), "shop:{tick}", "last", strconv.FormatUint(n, 10)).Err(); err != nil {
			t.Fatal(err)
		}
	}
	remembered := last()
	ahead := remembered + uint64((24 * time.Hour).Microseconds())
	set(ahead)
	for range 2 { // the first hears a tick above ahead
		if err := p.Invalidate(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		if got := last(); got <= ahead {
			t.Errorf("took %d; want more than %d, which the pod has heard", got, ahead)
		}
		set(remembered)
	}
}

// rewrite stores row k's value in L2 once more, changed.
func rewrite(t *testing.T, client *redis.Client, change func(e *remote.Envelope)) {
	t.Helper()
	e, err := remote.Decode([]byte(storedIn(t, client)))
	if err != nil {
		t.Fatal(err)
	}
	change(e)
	b, err := e.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Set(t.Context(), "shop:test:row:k", b, 0).Err(); err != nil {
		t.Fatal(err)
	}
}

// The strategy of the pod that reads bounds the life of a value in L2, whatever its writer's clock or strategy were.
func TestLifeIsBoundedByTheSpace(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	client, src := connect(t, addr), &source{}
	open := func(ttl time.Duration) pod {
		c := openCache(t, tier.Config{Redis: connect(t, addr), RemoteTimeout: 2 * time.Second})
		return pod{cache: c, Space: newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.Hybrid("feed", ttl), Load: src.load})}
	}
	open(time.Hour).want(t, "k", 0)
	rewrite(t, client, func(e *remote.Envelope) { e.Hard = time.Now().Add(24 * time.Hour) })
	p := open(100 * time.Millisecond)
	eventually(t, "L1 asks L2 again", func() bool {
		p.want(t, "k", 0)
		return metric(t, p.cache, "tandem_hits_total", "l2") >= 2
	})
	if n := src.count("k"); n != 1 {
		t.Errorf("%d loads; want 1", n)
	}
	rewrite(t, client, func(e *remote.Envelope) { e.Soft, e.Hard = time.Time{}, time.Time{} })
	q := open(time.Hour)
	q.want(t, "k", 0)
	if n := metric(t, q.cache, "tandem_dead_entries_total", "expired"); n != 1 {
		t.Errorf("a value without an expiry counted %v times as expired; want 1", n)
	}
}

// A value is as old as its read: its life in L2 counts from before the load.
func TestTTLCountsFromBeforeTheLoadInL2(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	client, src := connect(t, addr), &source{}
	var read atomic.Int64
	src.onRead(func(string, int) {
		read.Store(time.Now().UnixMicro())
		time.Sleep(50 * time.Millisecond)
	})
	c := openCache(t, tier.Config{Redis: connect(t, addr), RemoteTimeout: 2 * time.Second})
	s := newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.TTL(time.Minute), Load: src.load})
	if _, err := s.Get(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	e, err := remote.Decode([]byte(storedIn(t, client)))
	if err != nil {
		t.Fatal(err)
	}
	if end := time.UnixMicro(read.Load()).Add(time.Minute); e.Hard.After(end) {
		t.Errorf("it expires %s after a minute from its read", e.Hard.Sub(end))
	}
}

// Two loads never share a token, also not two of one pod: a marker or a value names its load.
func TestEachLoadHasItsOwnToken(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	client := connect(t, addr)
	p := newPod(t, addr, &source{})
	seen := make(map[remote.Token]bool)
	for range 3 {
		p.want(t, "k", 0)
		e, err := remote.Decode([]byte(storedIn(t, client)))
		if err != nil {
			t.Fatal(err)
		}
		seen[e.Token] = true
		if err := p.Invalidate(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) != 3 {
		t.Errorf("%d tokens of 3 loads", len(seen))
	}
}
