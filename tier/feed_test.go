package tier_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/tier"
)

func TestFeedCheckpoint(t *testing.T) {
	withAndWithout(t, func(t *testing.T, addr string) {
		p := newPod(t, addr, &source{})
		f, err := p.cache.Feed("feed")
		if err != nil {
			t.Fatal(err)
		}
		at := func(want string) {
			t.Helper()
			if got, _, err := f.Checkpoint(t.Context()); got != want || err != nil {
				t.Errorf("checkpoint %q, %v; want %q", got, err, want)
			}
		}
		_, server, err := f.Checkpoint(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		move := func(from, to string, want bool) {
			t.Helper()
			if got, err := f.Advance(t.Context(), server, from, to); got != want || err != nil {
				t.Errorf("from %q to %q: got %v, %v; want %v", from, to, got, err, want)
			}
		}
		at("")
		move("9", "10", false)
		move("", "1", true)
		move("", "2", false)
		move("", "1", true) // the same again
		at("1")
		if _, err := p.cache.Feed("a feed"); err == nil {
			t.Error("a feed with a space in its name: no error")
		}
	})
}

// A feed's flush outdates the spaces that it covers, and no other.
func TestFeedFlush(t *testing.T) {
	withAndWithout(t, func(t *testing.T, addr string) {
		src := &source{}
		p := newPod(t, addr, src)
		other := newSpace(t, p.cache, tier.SpaceConfig[int]{Name: "other:row", Strategy: tier.Hybrid("other-feed", time.Hour), Load: src.load})
		p.want(t, "k", 0)
		if _, err := other.Get(t.Context(), "o"); err != nil {
			t.Fatal(err)
		}
		src.write("k")
		src.write("o")
		f, err := p.cache.Feed("feed")
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.want(t, "k", 1)
		if v, err := other.Get(t.Context(), "o"); v != 0 || err != nil {
			t.Errorf("a space of another feed: got %d, %v; want what it had", v, err)
		}
	})
}

// A follower that cannot reach the source, beside the one that follows, does not hide it.
func TestHealthHidesNoFollower(t *testing.T) {
	p := newPod(t, "", &source{})
	f, err := p.cache.Feed("feed")
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range []string{"", "cut off"} {
		if err := f.Report(t.Context(), problem, nil, "1", time.Time{}, 0, nil); err != nil {
			t.Fatal(err)
		}
	}
	many := make(map[string]uint64)
	for i := range tier.MaxCounts + 1 {
		many[strconv.Itoa(i)] = 1
	}
	wantError(t, f.Report(t.Context(), "", nil, "1", time.Time{}, 0, many), `"feed"`)
	if h := p.cache.Health(t.Context()).Feeds["feed"]; !h.Connected {
		t.Errorf("got %+v; want it connected", h)
	}
}

// A checkpoint that is forgotten is none.
func TestFeedForget(t *testing.T) {
	withAndWithout(t, func(t *testing.T, addr string) {
		f, err := newPod(t, addr, &source{}).cache.Feed("feed")
		if err != nil {
			t.Fatal(err)
		}
		_, server, err := f.Checkpoint(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := f.Advance(t.Context(), server, "", "1"); !ok || err != nil {
			t.Fatal(ok, err)
		}
		for range 2 {
			if err := f.Forget(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got, _, err := f.Checkpoint(t.Context()); got != "" || err != nil {
			t.Errorf("checkpoint %q, %v; want none", got, err)
		}
	})
}
