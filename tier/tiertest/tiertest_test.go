package tiertest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/tier"
	"github.com/tandem-cache/tandem/tier/tiertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open is a cache with a space of a feed over a source.
func open(t *testing.T, cfg tier.Config) (*tier.Space[string], *tiertest.Source[string], *tiertest.Feed) {
	t.Helper()
	cache := tiertest.Open(t, cfg)
	src := &tiertest.Source[string]{Entity: "row"}
	feed := tiertest.NewFeed(t, cache, "rows")
	s, err := tier.NewSpace(cache, tier.SpaceConfig[string]{Name: "test:row", Strategy: tier.CDC("rows"), Load: src.Load, LoadMany: src.LoadMany})
	if err != nil {
		t.Fatal(err)
	}
	return s, src, feed
}

func want(t *testing.T, s *tier.Space[string], id, want string, from tier.Tier) {
	t.Helper()
	got, err := s.Entry(t.Context(), id)
	if err != nil || got.Value != want || got.Tier != from {
		t.Errorf("got %+v, %v; want %q from %s", got, err, want, from)
	}
}

// What was loaded, and what was set, is a hit at once: every time.
func TestHitAtOnce(t *testing.T) {
	s, src, _ := open(t, tier.Config{})
	for i := range 1000 {
		id := fmt.Sprint(i)
		src.Put(id, "v")
		want(t, s, id, "v", tier.TierSource)
		want(t, s, id, "v", tier.TierL1)
		_, err := s.SetWith(t.Context(), id, func(context.Context) (string, error) {
			src.Put(id, "w")
			return "w", nil
		})
		if err != nil {
			t.Fatal(err)
		}
		want(t, s, id, "w", tier.TierL1)
		if n := src.Loads(id); n != 1 {
			t.Fatalf("%d loads of %s; want 1", n, id)
		}
	}
	for i := range 1000 { // and stays
		want(t, s, fmt.Sprint(i), "w", tier.TierL1)
	}
}

func TestSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &tiertest.Source[string]{}
		load := func(want string, wantErr error) {
			t.Helper()
			if got, err := src.Load(t.Context(), "k"); got != want || !errors.Is(err, wantErr) {
				t.Errorf("got %q, %v; want %q, %v", got, err, want, wantErr)
			}
		}
		load("", tier.ErrNotFound)
		src.Put("k", "v")
		load("v", nil)
		errDown := errors.New("down")
		src.Fail("k", errDown)
		load("", errDown)
		src.Fail("k", nil)
		load("v", nil)
		src.Delete("k")
		load("", tier.ErrNotFound)
		if n := src.Loads("k"); n != 5 || src.Loads("other") != 0 || src.Batches() != 0 {
			t.Errorf("%d loads; want 5", n)
		}

		src.Put("k", "v")
		one, two := src.Block("k"), src.Block("k")
		done := make(chan struct{})
		go func() {
			defer close(done)
			load("v", nil) // what was there when it began
		}()
		src.AwaitLoads(t, "k", 6)
		src.Put("k", "w")
		one()
		one()
		synctest.Wait()
		select {
		case <-done:
			t.Error("it went on, and is blocked once more")
		default:
		}
		two()
		<-done
		load("w", nil)

		defer src.Block("k")()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := src.Load(ctx, "k"); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `"k"`) {
			t.Errorf("got %v; want the context's end", err)
		}
	})
}

func TestSourceOfMany(t *testing.T) {
	s, src, feed := open(t, tier.Config{})
	src.Put("a", "va")
	src.Put("b", "vb")
	errDown := errors.New("down")
	src.Fail("c", errDown)
	check := func(values ...string) {
		t.Helper()
		results := s.GetMany(t.Context(), []string{"a", "b", "c", "d"})
		for i, v := range values {
			if results[i].Value != v || results[i].Err != nil {
				t.Errorf("got %+v; want %q", results[i], v)
			}
		}
		if !errors.Is(results[2].Err, errDown) || !errors.Is(results[3].Err, tier.ErrNotFound) {
			t.Errorf("got %v and %v", results[2].Err, results[3].Err)
		}
	}
	check("va", "vb")
	src.Put("b", "wb")
	feed.Change(tier.Tag("row", "b")) // outdates b alone
	check("va", "wb")
	for id, n := range map[string]int{"a": 1, "b": 2, "c": 2, "d": 1} {
		if got := src.Loads(id); got != n {
			t.Errorf("%d loads of %s; want %d", got, id, n)
		}
	}
	if n := src.Batches(); n != 2 {
		t.Errorf("%d batches; want 2", n)
	}
	release := src.Block("e")
	var wg sync.WaitGroup
	wg.Go(func() { s.GetMany(t.Context(), []string{"e", "f"}) })
	src.AwaitLoads(t, "f", 1)
	release()
	wg.Wait()
}

// A load that a change races is outdated, and a feed's changes are the feed's.
func TestFeed(t *testing.T) {
	s, src, feed := open(t, tier.Config{})
	src.Put("k", "v")
	release := src.Block("k")
	var wg sync.WaitGroup
	wg.Go(func() {
		if e, err := s.Entry(t.Context(), "k"); err != nil || e.Value != "v" || !e.Stale {
			t.Errorf("got %+v, %v; want what was there before, stale", e, err)
		}
	})
	src.AwaitLoads(t, "k", 1)
	src.Put("k", "w")
	feed.Change(tier.Tag("row", "k"))
	release()
	wg.Wait()
	want(t, s, "k", "w", tier.TierSource)
	want(t, s, "k", "w", tier.TierL1)
	if e, err := s.Explain(t.Context(), "k"); err != nil || e.LastInvalidation == nil || e.LastInvalidation.Origin != "rows" {
		t.Errorf("got %+v, %v; want it by the feed", e.LastInvalidation, err)
	}
}

// A feed that is not stopped keeps its spaces from falling back, for ever; a stopped one does not; a new one ends that.
func TestFeedIsHeardUntilItStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := tiertest.Open(t, tier.Config{})
		src := &tiertest.Source[string]{}
		src.Put("k", "v")
		s, err := tier.NewSpace(cache, tier.SpaceConfig[string]{Name: "test:row", Strategy: tier.CDC("rows"), Load: src.Load})
		if err != nil {
			t.Fatal(err)
		}
		feed := tiertest.NewFeed(t, cache, "rows")
		if h := cache.Health(t.Context()); h.Status != "ok" {
			t.Errorf("problems: %q", h.Problems)
		}
		want(t, s, "k", "v", tier.TierSource)
		time.Sleep(time.Hour)
		want(t, s, "k", "v", tier.TierL1)
		feed.Stop()
		feed.Stop()
		time.Sleep(tier.DefaultFeedLimit + time.Second)
		want(t, s, "k", "v", tier.TierSource)
		tiertest.NewFeed(t, cache, "rows")
		time.Sleep(time.Hour)
		want(t, s, "k", "v", tier.TierL1)
	})
}

// Two pods of a test share an L2, and hear the feed.
func TestPodsShareRedis(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: servertest.StartRedis(t).Addr})
	t.Cleanup(func() { _ = client.Close() })
	a, src, feed := open(t, tier.Config{Redis: client})
	b, _, _ := open(t, tier.Config{Redis: client})
	src.Put("k", "v")
	want(t, a, "k", "v", tier.TierSource)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if v, ok := b.Peek(t.Context(), "k"); ok && v == "v" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the other pod has nothing")
		}
	}
	want(t, b, "k", "v", tier.TierL2)
	src.Put("k", "w")
	feed.Change(tier.Tag("row", "k"))
	want(t, a, "k", "w", tier.TierSource)
}

// failing is the test of somebody who does something wrong.
type failing struct {
	testing.TB
	failures []string
}

func (f *failing) Helper() {}
func (f *failing) Errorf(format string, args ...any) {
	f.failures = append(f.failures, fmt.Sprintf(format, args...))
}
func (f *failing) Fatalf(format string, args ...any) { f.Errorf(format, args...); panic("fatal") }

// What a test does wrong fails it, with a text that says what.
func TestMistakesFailTheTest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for wantText, mistake := range map[string]func(f *failing){
			"Config.L1Bytes": func(f *failing) { tiertest.Open(f, tier.Config{L1Bytes: -1}) },
			`feed "a feed"`:  func(f *failing) { tiertest.NewFeed(f, tiertest.Open(t, tier.Config{}), "a feed") },
			"after the feed": func(f *failing) {
				feed := tiertest.NewFeed(f, tiertest.Open(t, tier.Config{}), "rows")
				feed.Stop()
				feed.Change(tier.Tag("row", "k"))
			},
			"not a name": func(f *failing) { tiertest.NewFeed(f, tiertest.Open(t, tier.Config{}), "rows").Change("row:k") },
			`loads of "k"`: func(f *failing) {
				var src tiertest.Source[int]
				src.AwaitLoads(f, "k", 1)
			},
		} {
			f := &failing{TB: t}
			func() {
				defer func() {
					if r := recover(); r != nil && r != "fatal" {
						panic(r)
					}
				}()
				mistake(f)
			}()
			if text := strings.Join(f.failures, "\n"); len(f.failures) != 1 || !strings.Contains(text, "tiertest: ") || !strings.Contains(text, wantText) {
				t.Errorf("got %q; want one failure with %q", text, wantText)
			}
		}
	})
}

// A test that ends with a load under way leaves nothing behind: TestMain looks.
func TestBlockedLoadEndsWithTheTest(t *testing.T) {
	s, src, _ := open(t, tier.Config{})
	src.Block("k")
	go func() { _, _ = s.Get(context.Background(), "k") }()
	src.AwaitLoads(t, "k", 1)
}

func TestNameIsTheTests(t *testing.T) {
	for name, want := range map[string]string{"a b/ü": "-a_b--", strings.Repeat("x", 80): strings.Repeat("x", 40)} {
		t.Run(name, func(t *testing.T) {
			if got := tiertest.Open(t, tier.Config{}).Health(t.Context()).Cache; !strings.Contains(got, want) || len(got) > 64 {
				t.Errorf("got %q; want it to have %q", got, want)
			}
		})
	}
}
