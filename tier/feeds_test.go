package tier_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/tandem-cache/tandem/tier"
)

// A space that two feeds cover stands on both: a flush of either outdates it, on every pod, and it falls back when either is silent.
func TestSpaceOfTwoFeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := miniredis.NewMiniRedis()
		t.Cleanup(server.Close)
		src := &source{}
		openPair := func() (*tier.Cache, *tier.Space[int]) {
			p := newLinkedPod(t, &link{redis: server}, &source{})
			return p.cache, newSpace(t, p.cache, tier.SpaceConfig[int]{Name: "two:row", Strategy: tier.CDC("orders", "catalog"), Load: src.load})
		}
		cache, rows := openPair()
		_, others := openPair()
		var feeds []*tier.Feed
		for _, name := range []string{"orders", "catalog"} {
			f, err := cache.Feed(name)
			if err != nil {
				t.Fatal(err)
			}
			feeds = append(feeds, f)
		}
		loads := 0
		want := func(what string, more int) {
			t.Helper()
			loads += more
			for _, space := range []*tier.Space[int]{rows, others} {
				if _, err := space.Get(t.Context(), "k"); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
			}
			if n := src.count("k"); n != loads {
				t.Errorf("%s: %d loads; want %d", what, n, loads)
				loads = n
			}
		}
		both := func(seconds int) {
			for range seconds {
				for _, f := range feeds {
					if err := f.Report(t.Context(), "", nil, "1", time.Time{}, 0, nil); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(time.Second)
			}
		}
		both(5)
		want("cold", 1)
		both(120)
		want("both are fresh", 0)
		for i, f := range feeds {
			if err := f.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			want("flushed by feed "+string(rune('1'+i)), 1)
		}
		both(120)
		want("both are fresh", 0)
		report(t, feeds[0], true, 0, int(tier.DefaultFeedLimit/time.Second)+2) // the second one is silent
		want("the second is silent, and the entry older than FallbackTTL", 1)
		h := cache.Health(t.Context())
		for _, sp := range h.Spaces {
			if sp.Name == "two:row" && (!sp.Fallback || sp.Strategy != "cdc(orders, catalog)") {
				t.Errorf("got %+v; want it fallen back, of both feeds", sp)
			}
		}
		for _, name := range []string{"orders", "catalog"} {
			if got := h.Feeds[name]; !strings.Contains(strings.Join(got.Spaces, " "), "two:row") || got.Fallback != (name == "catalog") {
				t.Errorf("got %s: %+v; want it to cover two:row, and only catalog fallen back", name, got)
			}
		}
	})
}
