package tier_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/tier"
)

// A tarPit is a source whose reads of some identifiers end when the test says so, whatever their context does.
type tarPit struct {
	free  chan struct{} // closed when they end
	stuck func(id string) bool

	mu    sync.Mutex // guards calls
	calls map[string]int
}

func newTarPit(t *testing.T, stuck ...string) *tarPit {
	p := &tarPit{free: make(chan struct{}), calls: make(map[string]int), stuck: func(id string) bool { return slices.Contains(stuck, id) }}
	t.Cleanup(p.end) // before the cache is closed
	return p
}

func (p *tarPit) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.free:
	default:
		close(p.free)
	}
}

func (p *tarPit) count(id string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[id]
}

func (p *tarPit) load(_ context.Context, id string) (int, error) {
	p.mu.Lock()
	p.calls[id]++
	p.mu.Unlock()
	if p.stuck(id) {
		<-p.free
	}
	return 1, nil
}

func (p *tarPit) loadMany(ctx context.Context, b *tier.Batch[int]) error {
	for _, id := range b.IDs() {
		v, _ := p.load(ctx, id)
		b.Set(id, v)
	}
	return nil
}

// refused is an address at which nobody listens.
func refused(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// The loaders of a space that hang leave other spaces half of the places, while their callers wait and when they have been given up.
func TestStuckSpaceLeavesOthersPlaces(t *testing.T) {
	withAndWithout(t, func(t *testing.T, addr string) { testStuckSpace(t, addr, 8, 4) })
	t.Run("refused", func(t *testing.T) { testStuckSpace(t, refused(t), 16, 2) }) // loads without a lease have a quarter
}

func testStuckSpace(t *testing.T, addr string, places int64, share int) {
	cfg := tier.Config{MaxLoads: places, RemoteTimeout: 2 * time.Second}
	if addr != "" {
		cfg.Redis = connect(t, addr)
	}
	c := openCache(t, cfg)
	pit := newTarPit(t)
	var running atomic.Int64
	pit.stuck = func(string) bool { running.Add(1); return true }
	stuck := newSpace(t, c, tier.SpaceConfig[int]{Name: "test:stuck", Strategy: tier.TTL(time.Hour), LoadTimeout: time.Second, Load: pit.load})
	other := newSpace(t, c, tier.SpaceConfig[int]{Name: "test:other", Strategy: tier.TTL(time.Hour), Load: newTarPit(t).load})
	var wg sync.WaitGroup
	var behind atomic.Int64
	for i := range 40 {
		wg.Go(func() {
			_, err := stuck.Get(t.Context(), strconv.Itoa(i))
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v; want that it took too long", err)
			} else if strings.Contains(err.Error(), "waiting behind the places of its space") {
				behind.Add(1)
			}
		})
	}
	want := func(when, id string) {
		t.Helper()
		if _, err := other.Get(t.Context(), id); err != nil {
			t.Errorf("%s: the other space got %v", when, err)
		}
	}
	eventually(t, "loaders hang", func() bool { return running.Load() > 0 })
	want("while their callers wait", "a")
	wg.Wait()
	want("when they have been given up", "b")
	if n := running.Load(); n != int64(share) {
		t.Errorf("%d loaders of one space run; want %d", n, share)
	}
	if n := behind.Load(); n != int64(40-share) {
		t.Errorf("%d errors tell of the wait behind the places of the space; want %d", n, 40-share)
	}
	if n := metric(t, c, "tandem_refused_loads_total", "test:stuck", "place"); n != float64(40-share) {
		t.Errorf("tandem_refused_loads_total is %v; want %d", n, 40-share)
	}
}

// Loads that wait for a place of their space hold none of the pod's.
func TestWaitingForItsSpaceHoldsNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCache(t, tier.Config{MaxLoads: 4})
		pit := newTarPit(t)
		pit.stuck = func(string) bool { return true }
		stuck := newSpace(t, c, tier.SpaceConfig[int]{Name: "test:stuck", Strategy: tier.TTL(time.Hour), Load: pit.load})
		other := newSpace(t, c, tier.SpaceConfig[int]{Name: "test:other", Strategy: tier.TTL(time.Hour), Load: (&source{}).load})
		for i := range 10 {
			go func() { _, _ = stuck.Get(t.Context(), strconv.Itoa(i)) }()
		}
		synctest.Wait()
		began := time.Now()
		if _, err := other.Get(t.Context(), "k"); err != nil || time.Since(began) != 0 {
			t.Errorf("got %v after %s; want a value immediately", err, time.Since(began))
		}
		pit.end()
	})
}

// A space that is alone has all places: there is no other to keep some for.
func TestLoneSpaceHasAllPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCache(t, tier.Config{MaxLoads: 4})
		pit := newTarPit(t)
		pit.stuck = func(string) bool { return true }
		s := newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.TTL(time.Hour), Load: pit.load})
		for i := range 4 {
			go func() { _, _ = s.Get(t.Context(), strconv.Itoa(i)) }()
		}
		synctest.Wait()
		for i := range 4 {
			if n := pit.count(strconv.Itoa(i)); n != 1 {
				t.Errorf("%d: %d loads; want 1", i, n)
			}
		}
		pit.end()
	})
}

// A key whose loader hangs has one loader, not one more with each LoadTimeout, and loads again when that has ended.
func TestStuckKeyHasOneLoader(t *testing.T) {
	withAndWithout(t, func(t *testing.T, addr string) { testStuckKey(t, addr) })
	t.Run("refused", func(t *testing.T) { testStuckKey(t, refused(t)) })
}

func testStuckKey(t *testing.T, addr string) {
	cfg := tier.Config{RemoteTimeout: 2 * time.Second}
	if addr != "" {
		cfg.Redis = connect(t, addr)
	}
	c := openCache(t, cfg)
	pit := newTarPit(t, "hot")
	s := newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.CDC("feed"), LoadTimeout: 50 * time.Millisecond, Load: pit.load})
	began := time.Now()
	if _, err := s.Get(t.Context(), "hot"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v; want that it took too long", err)
	}
	for range 20 {
		_, err := s.Get(t.Context(), "hot")
		if !errors.Is(err, tier.ErrStillRunning) {
			t.Fatalf("got %v; want ErrStillRunning", err)
		}
		wantError(t, err, `"test:row:hot"`, "still running since "+began.UTC().Format("2006-01-02T15:"))
	}
	if n := pit.count("hot"); n != 1 {
		t.Errorf("%d loaders; want 1", n)
	}
	if n := metric(t, c, "tandem_refused_loads_total", "test:row", "running"); n != 20 {
		t.Errorf("tandem_refused_loads_total is %v; want 20", n)
	}
	if addr != "" {
		if client := connect(t, addr); client.Ping(t.Context()).Err() == nil && client.Exists(t.Context(), "shop:test:row:hot").Val() != 0 {
			t.Error("a load that was refused has kept a lease")
		}
	}
	if _, err := s.Get(t.Context(), "cold"); err != nil {
		t.Errorf("another key got %v", err)
	}
	pit.end()
	eventually(t, "it loads again", func() bool {
		_, err := s.Get(t.Context(), "hot")
		return err == nil
	})
	if n := pit.count("hot"); n != 2 {
		t.Errorf("%d loads; want a second one when the first had ended", n)
	}
}

// A value that another pod has loaded is returned although this pod's loader hangs.
func TestStuckKeyIsReadFromL2(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	cache := openCache(t, tier.Config{Redis: connect(t, addr), RemoteTimeout: 2 * time.Second})
	pit := newTarPit(t, "hot")
	a := newSpace(t, cache, tier.SpaceConfig[int]{
		Name: "test:row", Strategy: tier.TTL(time.Hour), LoadTimeout: 50 * time.Millisecond, Load: pit.load,
	})
	b := newSpace(t, openCache(t, tier.Config{Redis: connect(t, addr), RemoteTimeout: 2 * time.Second}), tier.SpaceConfig[int]{
		Name: "test:row", Strategy: tier.TTL(time.Hour), Load: (&source{}).load,
	})
	if _, err := a.Get(t.Context(), "hot"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	if _, err := b.Get(t.Context(), "hot"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the pod whose loader hangs reads it from L2", func() bool { _, err := a.Get(t.Context(), "hot"); return err == nil })
	if n := pit.count("hot"); n != 1 {
		t.Errorf("%d loads; want 1", n)
	}
}

// A loader that ends soon after its context did is waited for, and its key loaded anew.
func TestLoaderThatHeedsItsContextIsNotRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCache(t, tier.Config{})
		var calls, running atomic.Int32
		s := newSpace(t, c, tier.SpaceConfig[int]{
			Name: "test:row", Strategy: tier.TTL(time.Hour), LoadTimeout: time.Second,
			Load: func(ctx context.Context, _ string) (int, error) {
				if running.Add(1) > 1 {
					t.Error("two loaders of one key run")
				}
				defer running.Add(-1)
				if calls.Add(1) > 1 {
					return 1, nil
				}
				<-ctx.Done()
				time.Sleep(100 * time.Millisecond) // a query is canceled
				return 0, ctx.Err()
			},
		})
		if _, err := s.Get(t.Context(), "k"); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := s.Get(t.Context(), "k"); err != nil || time.Since(began) != 100*time.Millisecond {
			t.Errorf("got %v after %s; want the value when the loader has ended, after 100 ms", err, time.Since(began))
		}
		if h := c.Health(t.Context()); h.Status != "ok" {
			t.Errorf("problems: %q", h.Problems)
		}
	})
}

// Nor is one for ever that ends in the moment in which it is given up.
func TestLoaderThatEndsAsItIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCache(t, tier.Config{})
		var again atomic.Bool
		s := newSpace(t, c, tier.SpaceConfig[int]{
			Name: "test:row", Strategy: tier.TTL(time.Hour), LoadTimeout: time.Second,
			Load: func(ctx context.Context, _ string) (int, error) {
				if again.Load() {
					return 1, nil
				}
				<-ctx.Done()
				return 0, ctx.Err()
			},
		})
		all := ids(0, 1000)
		s.GetMany(t.Context(), all)
		again.Store(true)
		time.Sleep(time.Second)
		for _, r := range s.GetMany(t.Context(), all) {
			if r.Err != nil {
				t.Fatalf("%s: got %v", r.ID, r.Err)
			}
		}
	})
}

// A key that hangs does not keep others of its GetMany, with LoadMany or without.
func TestGetManyBesideAStuckKey(t *testing.T) {
	for _, kind := range []string{"Load", "LoadMany"} {
		t.Run(kind, func(t *testing.T) {
			withAndWithout(t, func(t *testing.T, addr string) {
				cfg := tier.Config{RemoteTimeout: 2 * time.Second}
				if addr != "" {
					cfg.Redis = connect(t, addr)
				}
				c := openCache(t, cfg)
				pit := newTarPit(t, "hot")
				space := tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.CDC("feed"), LoadTimeout: 50 * time.Millisecond, Load: pit.load}
				if kind == "LoadMany" {
					space.LoadMany = pit.loadMany
				}
				s := newSpace(t, c, space)
				if _, err := s.Get(t.Context(), "hot"); !errors.Is(err, context.DeadlineExceeded) {
					t.Fatal(err)
				}
				for range 3 {
					for _, r := range s.GetMany(t.Context(), []string{"a", "hot", "b"}) {
						if stuck := r.ID == "hot"; stuck != errors.Is(r.Err, tier.ErrStillRunning) || !stuck && r.Err != nil {
							t.Errorf("%s: got %v", r.ID, r.Err)
						} else if stuck {
							wantError(t, r.Err, `"test:row:hot"`)
						}
					}
				}
				if n := pit.count("hot"); n != 1 {
					t.Errorf("%d loaders of the key that hangs; want 1", n)
				}
			})
		})
	}
}

// Of a call of LoadMany that hangs, the identifiers that it has not come to are refused, and those that it has given load again.
func TestStuckBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCache(t, tier.Config{})
		pit := newTarPit(t, "b")
		s := newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.TTL(time.Hour), LoadTimeout: time.Second, LoadMany: pit.loadMany})
		ids := []string{"a", "b", "c"}
		for i, r := range s.GetMany(t.Context(), ids) {
			if given := i == 0; given != (r.Err == nil) {
				t.Errorf("%s: got %v", r.ID, r.Err)
			}
		}
		time.Sleep(time.Second)
		for i, r := range s.GetMany(t.Context(), ids) {
			if given := i == 0; given != (r.Err == nil) || given == errors.Is(r.Err, tier.ErrStillRunning) {
				t.Errorf("%s: got %v", r.ID, r.Err)
			}
		}
		if a, b, c := pit.count("a"), pit.count("b"), pit.count("c"); a != 2 || b != 1 || c != 0 {
			t.Errorf("%d, %d and %d loads; want 2, 1 and 0", a, b, c)
		}
		pit.end()
		synctest.Wait()
		for _, r := range s.GetMany(t.Context(), ids) {
			if r.Err != nil {
				t.Errorf("%s: got %v when the loader had ended", r.ID, r.Err)
			}
		}
	})
}

// A load that one inside another waits for goes ahead of the places of its space, too, as does one that is begun there.
func TestNestedLoadDoesNotWaitForItsSpace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCache(t, tier.Config{MaxLoads: 2}) // one for each space
		newSpace(t, c, tier.SpaceConfig[int]{Name: "test:other", Strategy: tier.CDC("f")})
		holds := make(chan struct{})
		var s *tier.Space[int]
		s = newSpace(t, c, tier.SpaceConfig[int]{
			Name: "test:row", Strategy: tier.CDC("f"),
			Load: func(ctx context.Context, id string) (int, error) {
				if id != "outer" {
					return 1, nil
				}
				close(holds)
				time.Sleep(time.Second) // meanwhile somebody else asks for one, and queues
				a, err := s.Get(ctx, "queued")
				b, err2 := s.Get(ctx, "new")
				return a + b, errors.Join(err, err2)
			},
		})
		go func() { <-holds; _, _ = s.Get(t.Context(), "queued") }()
		began := time.Now()
		if v, err := s.Get(t.Context(), "outer"); v != 2 || err != nil || time.Since(began) != time.Second {
			t.Errorf("got %d, %v after %s; want 2 after a second", v, err, time.Since(began))
		}
	})
}

// A loader that reads a key whose loader hangs has the error immediately, and its own key is free.
func TestNestedReadOfAStuckKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCache(t, tier.Config{})
		pit := newTarPit(t, "hot")
		inner := newSpace(t, c, tier.SpaceConfig[int]{Name: "test:inner", Strategy: tier.TTL(time.Hour), LoadTimeout: time.Second, Load: pit.load})
		outer := newSpace(t, c, tier.SpaceConfig[int]{Name: "test:outer", Strategy: tier.TTL(time.Hour), Load: func(ctx context.Context, id string) (int, error) {
			return inner.Get(ctx, id)
		}})
		if _, err := outer.Get(t.Context(), "hot"); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		began := time.Now()
		if _, err := outer.Get(t.Context(), "hot"); !errors.Is(err, tier.ErrStillRunning) || time.Since(began) != 0 {
			t.Errorf("got %v after %s; want ErrStillRunning immediately", err, time.Since(began))
		}
		pit.end()
		synctest.Wait()
		if v, err := outer.Get(t.Context(), "hot"); v != 1 || err != nil {
			t.Errorf("got %d, %v when the loader had ended", v, err)
		}
	})
}

// Health, the metrics and the log name the space whose loaders hang, how many there are, and since when.
func TestStuckLoadersAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := &logLines{}
		c := openCache(t, tier.Config{Logger: slog.New(lines)})
		pit := newTarPit(t, "x", "y")
		s := newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.TTL(time.Hour), LoadTimeout: time.Second, Load: pit.load})
		for _, id := range []string{"x", "y"} {
			_, _ = s.Get(t.Context(), id)
		}
		time.Sleep(8 * time.Second)
		h := c.Health(t.Context())
		if h.Status != "degraded" || len(h.Problems) != 1 {
			t.Fatalf("got %s, %q; want one problem", h.Status, h.Problems)
		}
		for _, part := range []string{"loaders of test:row that were given up still run: 2, ", "the oldest since 2000-01-01T00:00:00.000Z (10s)", "context"} {
			if !strings.Contains(h.Problems[0], part) {
				t.Errorf("the problem is %q; want it to have %q", h.Problems[0], part)
			}
		}
		if n := metric(t, c, "tandem_abandoned_loads", "test:row"); n != 2 {
			t.Errorf("tandem_abandoned_loads is %v; want 2", n)
		}
		begun := lines.take()
		if found := with(begun, "WARN", "loader", "space=test:row", "key=test:row:x", "since=2000-01-01T00:00:00.000Z"); len(found) != 1 || len(begun) != 1 {
			t.Errorf("the log has %q; want one line about the first loader", begun)
		}
		time.Sleep(2 * time.Second)
		pit.end()
		time.Sleep(2 * time.Second)
		if h := c.Health(t.Context()); h.Status != "ok" {
			t.Errorf("when they have ended: %q", h.Problems)
		}
		if n := metric(t, c, "tandem_abandoned_loads", "test:row"); n != 0 {
			t.Errorf("tandem_abandoned_loads is %v; want 0", n)
		}
		if ended := lines.take(); len(with(ended, "INFO", "space=test:row", "for=1")) != 1 || len(ended) != 1 {
			t.Errorf("the log has %q; want one line about the end, with how long it took", ended)
		}
	})
}

// Close waits for a loader that ignores its context as long as its own lasts, and says which space that loader is of.
func TestCloseWithAStuckLoader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCache(t, tier.Config{})
		pit := newTarPit(t, "hot")
		s := newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.TTL(time.Hour), Load: pit.load})
		ended := make(chan error, 1)
		go func() { _, err := s.Get(t.Context(), "hot"); ended <- err }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := c.Close(ctx)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close returned %v; want that its context ended", err)
		}
		wantError(t, err, "loaders of test:row still run: 1")
		if err := <-ended; !errors.Is(err, tier.ErrClosed) {
			t.Errorf("the read ended with %v; want ErrClosed", err)
		}
		pit.end()
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
