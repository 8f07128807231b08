package tier_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/tier"
)

func wantEntry(t *testing.T, p pod, want tier.Entry[int]) {
	t.Helper()
	got, err := p.Entry(t.Context(), "k")
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

// onEntries runs a test in a bubble, on L1 alone, with a space of a TTL of a minute.
func onEntries(t *testing.T, test func(t *testing.T, p pod, src *source)) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{}
		c := openCache(t, tier.Config{})
		test(t, pod{cache: c, Space: newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.TTL(time.Minute), Load: src.load})}, src)
	})
}

func TestEntrySaysHowFreshItIs(t *testing.T) {
	onEntries(t, func(t *testing.T, p pod, src *source) {
		src.onRead(func(string, int) { time.Sleep(3 * time.Second) })
		wantEntry(t, p, tier.Entry[int]{Tier: tier.TierSource, Age: 3 * time.Second, TTL: 57 * time.Second})
		time.Sleep(7 * time.Second)
		wantEntry(t, p, tier.Entry[int]{Tier: tier.TierL1, Age: 10 * time.Second, TTL: 50 * time.Second})
		time.Sleep(50 * time.Second)
		src.onRead(nil)
		wantEntry(t, p, tier.Entry[int]{Tier: tier.TierSource, TTL: time.Minute})
	})
}

// What L2 has is as old as its read on the pod that loaded it.
func TestEntryFromL2(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	client, src := connect(t, addr), &source{}
	open := func() pod {
		c := openCache(t, tier.Config{Redis: connect(t, addr), RemoteTimeout: 2 * time.Second})
		return pod{cache: c, Space: newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.TTL(time.Minute), Load: src.load})}
	}
	a, b := open(), open()
	began := time.Now()
	a.want(t, "k", 0)
	storedIn(t, client)
	loaded := time.Now()
	got, err := b.Entry(t.Context(), "k")
	oldest := time.Since(began)
	youngest := time.Since(loaded) - 10*time.Second // the clock that Written is read from has microseconds; the test is of the order
	if err != nil || got.Tier != tier.TierL2 || got.Stale || got.Age > oldest || got.Age < youngest || got.TTL <= 0 || got.Age+got.TTL > time.Minute+time.Second {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := b.Entry(t.Context(), "k"); err != nil || got.Tier != tier.TierL1 {
		t.Errorf("got %+v, %v; want it from L1", got, err)
	}
}

// A load that an invalidation raced gives those who came before it what it read; the entry says so.
func TestEntryOfALoadThatWasOutdated(t *testing.T) {
	withAndWithout(t, func(t *testing.T, addr string) {
		inEachWay(t, func(t *testing.T, invalidate func(pod, context.Context, string) error) {
			src := &source{}
			p := newPod(t, addr, src)
			id := t.Name()
			var once sync.Once
			src.onRead(func(id string, _ int) {
				once.Do(func() {
					src.write(id)
					if err := invalidate(p, t.Context(), id); err != nil {
						t.Error(err)
					}
				})
			})
			if got, err := p.Entry(t.Context(), id); err != nil || got.Value != 0 || !got.Stale || got.TTL != 0 {
				t.Errorf("got %+v, %v; want version 0, stale", got, err)
			}
			if got, err := p.Entry(t.Context(), id); err != nil || got.Value != 1 || got.Stale || got.Tier != tier.TierSource {
				t.Errorf("got %+v, %v; want version 1, fresh", got, err)
			}
		})
	})
}

// A life that is over before the load is.
func TestEntryThatExpiresWhileItIsLoaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{}
		src.onRead(func(string, int) { time.Sleep(2 * time.Second) })
		c := openCache(t, tier.Config{})
		p := pod{cache: c, Space: newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.TTL(time.Second), Load: src.load})}
		wantEntry(t, p, tier.Entry[int]{Tier: tier.TierSource, Age: 2 * time.Second, Stale: true})
	})
}

// A silent feed shortens what is left; a fresh one bounds nothing.
func TestEntryOfASilentFeed(t *testing.T) {
	onFallback(t, func(t *testing.T, p pod, f *tier.Feed, _ *source) {
		report(t, f, true, 0, 1)
		got, err := p.Entry(t.Context(), "k")
		if err != nil || got.TTL != 0 || got.Stale {
			t.Errorf("got %+v, %v; want no bound", got, err)
		}
		time.Sleep(tier.DefaultFeedLimit + 5*time.Second)
		got, err = p.Entry(t.Context(), "k")
		if err != nil || got.Stale || got.TTL <= 0 || got.Age+got.TTL != tier.DefaultFallbackTTL {
			t.Errorf("got %+v, %v; want what is left of FallbackTTL", got, err)
		}
	})
}

func TestEntryOfWhatIsNotThere(t *testing.T) {
	onEntries(t, func(t *testing.T, p pod, _ *source) {
		s := newSpace(t, p.cache, tier.SpaceConfig[int]{
			Name: "test:none", Strategy: tier.TTL(time.Minute), NegativeTTL: 10 * time.Second,
			Load: func(context.Context, string) (int, error) { return 0, tier.ErrNotFound },
		})
		for i, want := range []tier.Entry[int]{{Tier: tier.TierSource, TTL: 10 * time.Second}, {Tier: tier.TierL1, Age: time.Second, TTL: 9 * time.Second}} {
			got, err := s.Entry(t.Context(), "k")
			if !errors.Is(err, tier.ErrNotFound) || got != want {
				t.Errorf("read %d: got %+v, %v; want %+v and ErrNotFound", i, got, err, want)
			}
			time.Sleep(time.Second)
		}
		if _, err := s.Entry(t.Context(), ""); err == nil {
			t.Error("no identifier: no error")
		}
	})
}

// What can't be stored is fresh, and not kept.
func TestEntryThatIsNotCached(t *testing.T) {
	onEntries(t, func(t *testing.T, p pod, _ *source) {
		s := newSpace(t, p.cache, tier.SpaceConfig[func()]{
			AllowLoss: []string{tier.AllowAnyLoss},
			Name:      "test:func", Strategy: tier.TTL(time.Minute),
			Load: func(context.Context, string) (func(), error) { return func() {}, nil },
		})
		for range 2 {
			if got, err := s.Entry(t.Context(), "k"); err != nil || got.Tier != tier.TierSource || got.TTL != 0 || got.Stale {
				t.Errorf("got %v %v %v, %v; want a fresh value without a life", got.Tier, got.TTL, got.Stale, err)
			}
		}
	})
}

// Entry inside a loader hands over what it stands on, like Get.
func TestNestedEntryHandsOver(t *testing.T) {
	src := &source{}
	p := newPod(t, "", src)
	outer := newSpace(t, p.cache, tier.SpaceConfig[string]{
		Name: "test:page", Strategy: tier.CDC("feed"),
		Load: func(ctx context.Context, id string) (string, error) {
			e, err := p.Entry(ctx, id)
			return fmt.Sprint(e.Value), err
		},
	})
	for version := range 3 {
		for range 2 {
			if got, err := outer.Get(t.Context(), "k"); got != fmt.Sprint(version) || err != nil {
				t.Errorf("got %q, %v; want version %d", got, err, version)
			}
		}
		src.write("k")
		if err := p.cache.InvalidateTag(t.Context(), "row", "k"); err != nil {
			t.Fatal(err)
		}
	}
}

// Callers of one flight have its tier.
func TestEntryOfASharedLoad(t *testing.T) {
	onEntries(t, func(t *testing.T, p pod, src *source) {
		src.onRead(func(string, int) { time.Sleep(time.Second) })
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				wantEntry(t, p, tier.Entry[int]{Tier: tier.TierSource, Age: time.Second, TTL: 59 * time.Second})
			})
		}
		wg.Wait()
		if n := src.count("k"); n != 1 {
			t.Errorf("%d loads; want 1", n)
		}
	})
}
