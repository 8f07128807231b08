package tier_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/tandem-cache/tandem/tier"
)

// A fallback test has one entry in a space that a feed covers, on L1 alone and with a Redis.
func onFallback(t *testing.T, test func(t *testing.T, p pod, f *tier.Feed, src *source)) {
	for _, redis := range []bool{false, true} {
		name := map[bool]string{false: "L1", true: "redis"}[redis]
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := &source{}
				var p pod
				if redis {
					server := miniredis.NewMiniRedis()
					t.Cleanup(server.Close)
					p = newCalmPod(t, &link{redis: server}, src)
				} else {
					p = newPod(t, "", src)
				}
				f, err := p.cache.Feed("feed")
				if err != nil {
					t.Fatal(err)
				}
				test(t, p, f, src)
			})
		})
	}
}

// report lets the feed say each five seconds, and in the last five each second, that it lags by lag.
func report(t *testing.T, f *tier.Feed, connected bool, lag time.Duration, seconds int) {
	t.Helper()
	problem := ""
	if !connected {
		problem = "cut off"
	}
	for seconds > 0 {
		if err := f.Report(t.Context(), problem, nil, "1", time.Time{}, lag, nil); err != nil {
			t.Fatal(err)
		}
		step := 1
		if seconds > 5 {
			step = min(5, seconds-5)
		}
		time.Sleep(time.Duration(step) * time.Second)
		seconds -= step
	}
}

// step reads k, of whose change nobody tells, and wants so many loads in all.
func wantLoads(t *testing.T, p pod, src *source, loads int) {
	t.Helper()
	if _, err := p.Get(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	if n := src.count("k"); n != loads {
		t.Errorf("%d loads; want %d", n, loads)
	}
}

const aLittle = time.Second

// While the feed reports, its entries live; after it has been silent for FeedLimit they live for FallbackTTL; when it is back they
// live on.
func TestSilentFeedFallsBack(t *testing.T) {
	onFallback(t, func(t *testing.T, p pod, f *tier.Feed, src *source) {
		wantLoads(t, p, src, 1)
		report(t, f, true, 0, 300)
		wantLoads(t, p, src, 1)
		time.Sleep(tier.DefaultFeedLimit - 2*aLittle)
		wantLoads(t, p, src, 1)
		time.Sleep(2 * aLittle)
		wantLoads(t, p, src, 2) // five minutes old
		time.Sleep(tier.DefaultFallbackTTL - aLittle)
		wantLoads(t, p, src, 2)
		time.Sleep(2 * aLittle)
		wantLoads(t, p, src, 3)
		time.Sleep(tier.DefaultFallbackTTL - aLittle)
		report(t, f, true, 0, 300)
		wantLoads(t, p, src, 3)
	})
}

func TestFeedNeverHeardFallsBack(t *testing.T) {
	onFallback(t, func(t *testing.T, p pod, _ *tier.Feed, src *source) {
		wantLoads(t, p, src, 1)
		time.Sleep(tier.DefaultFallbackTTL - aLittle)
		wantLoads(t, p, src, 1)
		time.Sleep(2 * aLittle)
		wantLoads(t, p, src, 2)
	})
}

// A feed that is connected and lags beyond FeedLimit is not fresh; one that lags less is.
func TestLaggingFeedFallsBack(t *testing.T) {
	onFallback(t, func(t *testing.T, p pod, f *tier.Feed, src *source) {
		wantLoads(t, p, src, 1)
		report(t, f, true, tier.DefaultFeedLimit-5*aLittle, 300)
		wantLoads(t, p, src, 1)
		report(t, f, true, tier.DefaultFeedLimit+aLittle, 1)
		wantLoads(t, p, src, 2)
	})
}

// A follower that is away for less than FeedLimit costs nothing, though it says so.
func TestReconnectingFeedStaysFresh(t *testing.T) {
	onFallback(t, func(t *testing.T, p pod, f *tier.Feed, src *source) {
		wantLoads(t, p, src, 1)
		report(t, f, true, 0, 120)
		report(t, f, false, 0, int((tier.DefaultFeedLimit-2*aLittle)/time.Second))
		wantLoads(t, p, src, 1)
		report(t, f, false, 0, 3)
		wantLoads(t, p, src, 2)
	})
}

// A report that reaches a pod half a minute late does not make the feed fresh for another FeedLimit.
func TestLateReportProvesNothing(t *testing.T) {
	onLinks(t, func(t *testing.T, a, b pod, linkOfB *link, src *source) {
		f, err := a.cache.Feed("feed")
		if err != nil {
			t.Fatal(err)
		}
		wantLoads(t, b, src, 1)
		report(t, f, true, 0, 120)
		wantLoads(t, b, src, 1)
		linkOfB.sever()
		report(t, f, true, 0, 1) // the last one
		time.Sleep(tier.DefaultFeedLimit - 8*aLittle)
		linkOfB.mend()
		time.Sleep(4 * aLittle)
		wantLoads(t, b, src, 1) // fresh by what it heard before
		time.Sleep(5 * aLittle)
		wantLoads(t, b, src, 2)
	})
}

// A pod that has just started finds old values in L2; it has not heard the feed yet.
func TestOldValueInL2IsNotGoodWithoutTheFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := miniredis.NewMiniRedis()
		t.Cleanup(server.Close)
		src := &source{}
		a := newLinkedPod(t, &link{redis: server}, src)
		a.want(t, "k", 0)
		v := src.write("k") // and nobody tells
		time.Sleep(tier.DefaultFallbackTTL + aLittle)
		newLinkedPod(t, &link{redis: server}, src).want(t, "k", v)
	})
}

// Read into L1, a value is as old as it was in L2.
func TestValueFromL2KeepsItsAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := miniredis.NewMiniRedis()
		t.Cleanup(server.Close)
		src := &source{}
		a, b := newCalmPod(t, &link{redis: server}, src), newCalmPod(t, &link{redis: server}, src)
		a.want(t, "k", 0)
		v := src.write("k") // and nobody tells
		time.Sleep(tier.DefaultFallbackTTL / 2)
		b.want(t, "k", 0)
		time.Sleep(tier.DefaultFallbackTTL/2 + aLittle)
		b.want(t, "k", v)
	})
}

// While a follower of another source is refused, the feed is not fresh: nobody brings what that one would, though the feed's own follower
// is well. When it has gone, or follows a feed of its own, the feed is fresh with the next report.
func TestRefusedFollowerMakesItsFeedFallBack(t *testing.T) {
	onFallback(t, func(t *testing.T, p pod, f *tier.Feed, src *source) {
		wantLoads(t, p, src, 1)
		report(t, f, true, 0, 120)
		wantLoads(t, p, src, 1)
		const problem = `the feed follows another source: "a", and this is "b"`
		for range 5 {
			if err := f.Refuse(t.Context(), problem); err != nil {
				t.Fatal(err)
			}
			report(t, f, true, 0, 1)
		}
		wantLoads(t, p, src, 2)
		h := p.cache.Health(t.Context())
		if got := h.Feeds["feed"]; !got.Refused || !got.Fallback || got.Problem != problem || !got.Connected {
			t.Errorf("got %+v; want it connected, refused to another, fallen back, with the problem", got)
		}
		if len(h.Problems) != 1 || !strings.Contains(h.Problems[0], problem) {
			t.Errorf("got the problems %q; want the feed's", h.Problems)
		}
		time.Sleep(tier.DefaultFallbackTTL - 10*aLittle)
		report(t, f, true, 0, 20)
		wantLoads(t, p, src, 2)
		if got := p.cache.Health(t.Context()).Feeds["feed"]; got.Refused || got.Problem != "" {
			t.Errorf("got %+v; want it well", got)
		}
	})
}
