package cdc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-cache/tandem/cdc"
)

// A batch goes through the steps in one order.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, batch("a", "b", "a"), batch("c"))
		f, stop := run(t, w.config())
		nap(2500 * time.Millisecond)
		stop()
		want := []string{
			"checkpoint", "open ",
			"next 1", "invalidate a b", "advance -1",
			"next 2", "invalidate c", "advance 1-2",
			"checkpoint", "ack 2", "checkpoint",
		}
		if diff := cmp.Diff(want, w.steps); diff != "" {
			t.Errorf("steps (-want +got):\n%s", diff)
		}
		got := f.Stats()
		got.Committed, got.Lag = time.Time{}, 0
		if diff := cmp.Diff(cdc.Stats{Events: 4, Batches: 2, Invalidated: 3, Opened: 1, Position: "2"}, got); diff != "" {
			t.Errorf("stats (-want +got):\n%s", diff)
		}
		if w.closed != 1 {
			t.Errorf("got %d closed streams; want 1", w.closed)
		}
	})
}

// Whatever step a follower dies at, before or after it took effect, the next one
// loses nothing. What must hold at each step is checked by the world.
func TestKill(t *testing.T) {
	for _, settle := range []time.Duration{0, time.Second} {
		for _, lostBelow := range []int{0, 1} {
			for _, when := range []string{"before", "after"} {
				for _, how := range []string{"error", "cancel"} {
					for n := range 18 {
						name := fmt.Sprintf("settle=%s/lost=%d/%s/%s/%d", settle, lostBelow, when, how, n)
						t.Run(name, func(t *testing.T) {
							synctest.Test(t, func(t *testing.T) { kill(t, settle, lostBelow, when == "after", how == "cancel", n) })
						})
					}
				}
			}
		}
	}
}

func kill(t *testing.T, settle time.Duration, lostBelow int, after, cancel bool, n int) {
	w := newWorld(t, batch("a"), batch("b", "c"), batch("d"))
	w.lostBelow, w.settle = lostBelow, settle
	ctx, end := context.WithCancel(t.Context())
	defer end()
	left := n
	hook := func(string) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		left--
		switch {
		case left >= 0:
			return nil
		case cancel:
			end()
			return context.Canceled
		case left == -1:
			return errDown
		}
		return nil
	}
	if after {
		w.after = hook
	} else {
		w.hook = hook
	}
	first, err := cdc.NewFollower(w.config())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- first.Run(ctx) }()
	nap(5 * time.Second)
	end()
	if err := <-done; err != nil {
		t.Fatal(err)
	}

	w.set(func() { w.hook, w.after = nil, nil })
	_, stop := run(t, w.config())
	nap(5 * time.Second)
	stop()
	if w.checkpoint != "3" || w.acked != 3 {
		t.Errorf("got checkpoint %q, acknowledged %d; want 3, 3", w.checkpoint, w.acked)
	}
	if lostBelow > 0 && w.flushed == 0 {
		t.Error("not flushed")
	}
	for _, name := range []string{"b", "c", "d"} {
		if _, ok := w.names[name]; !ok {
			t.Errorf("%q was never invalidated", name)
		}
	}
}

func TestLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, batch("a"), batch("b"))
		w.checkpoint, w.lostBelow = "0", 1
		_, stop := run(t, w.config())
		nap(1500 * time.Millisecond)
		stop()
		want := []string{"checkpoint", "open 0", "flush", "advance 0-1", "ack 1", "next 2", "invalidate b", "advance 1-2"}
		if diff := cmp.Diff(want, w.steps[:min(len(w.steps), len(want))]); diff != "" {
			t.Errorf("steps (-want +got):\n%s", diff)
		}
	})
}

// A big transaction has no position before its end.
func TestNoPosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		part := batch("b")
		part.Position = "none"
		w := newWorld(t, batch("a"), part, batch("c"))
		_, stop := run(t, w.config())
		nap(500 * time.Millisecond)
		stop()
		want := []string{
			"checkpoint", "open ", "next 1", "invalidate a", "advance -1",
			"next ", "invalidate b", "next 3", "invalidate c", "advance 1-3",
		}
		if diff := cmp.Diff(want, w.steps); diff != "" {
			t.Errorf("steps (-want +got):\n%s", diff)
		}
	})
}

// While the cache's server is down the follower holds one batch, acknowledges
// nothing, retries the batch from its first step, and doesn't hammer.
func TestFeedDown(t *testing.T) {
	for _, down := range []string{"invalidate", "advance", "flush"} {
		t.Run(down, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, batch("a"), batch("b"))
				w.lostBelow, w.checkpoint = 1, "0"
				w.hook = func(step string) error {
					if strings.HasPrefix(step, down) {
						return errDown
					}
					return nil
				}
				f, stop := run(t, w.config())
				nap(time.Minute)
				if st := f.Stats(); st.Retries < 8 || st.Retries > 20 {
					t.Errorf("got %d retries in a minute; want about a dozen", st.Retries)
				}
				want := 0
				if down == "invalidate" { // the flush went through
					want = 1
				}
				if w.acked != want || index(w.checkpoint) != want || w.opened != 1 {
					t.Errorf("got acknowledged %d, checkpoint %q, opened %d; want %d, %d, 1", w.acked, w.checkpoint, w.opened, want, want)
				}
				if st := f.Stats(); !st.Connected || st.Lag < 59*time.Second {
					t.Errorf("got connected %t, lag %s; want true and a minute", st.Connected, st.Lag)
				}
				if down == "advance" && w.count("flush") < 2 {
					t.Error("the batch was not repeated from its first step")
				}
				w.set(func() { w.hook = nil })
				nap(15 * time.Second)
				if w.checkpoint != "2" || w.acked != 2 {
					t.Errorf("got checkpoint %q, acknowledged %d; want 2, 2", w.checkpoint, w.acked)
				}
				if st := f.Stats(); st.Lag != 0 || st.Batches != 2 {
					t.Errorf("got lag %s, %d batches; want 0, 2", st.Lag, st.Batches)
				}
				stop()
			})
		})
	}
}

// Somebody else moved the checkpoint: start again from there.
func TestSteppedDown(t *testing.T) {
	for _, idle := range []bool{false, true} {
		t.Run(fmt.Sprintf("idle=%t", idle), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, batch("a"))
				f, stop := run(t, w.config())
				nap(500 * time.Millisecond)
				w.set(func() {
					w.checkpoint = "0" // forgotten in a failover
					delete(w.names, "a")
					if !idle {
						w.batches = append(w.batches, batch("b"))
					}
				})
				nap(3 * time.Second)
				stop()
				if st := f.Stats(); st.StepDowns != 1 || st.Opened != 2 {
					t.Errorf("got %d step-downs, %d streams; want 1, 2", st.StepDowns, st.Opened)
				}
				if _, ok := w.names["a"]; !ok || index(w.checkpoint) != len(w.batches) {
					t.Errorf("got names %v, checkpoint %q; want the forgotten batch applied again", w.names, w.checkpoint)
				}
				if w.closed != w.opened {
					t.Errorf("got %d streams opened, %d closed", w.opened, w.closed)
				}
			})
		})
	}
}

func TestStandby(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, batch("a"))
		w.busy = true
		f, stop := run(t, w.config())
		nap(10500 * time.Millisecond)
		if st := f.Stats(); !st.Standby || st.Opened != 0 {
			t.Errorf("got standby %t, %d streams; want true, 0", st.Standby, st.Opened)
		}
		if n := w.count("open"); n != 11 {
			t.Errorf("tried %d times in 10.5 s; want 11", n)
		}
		if len(w.reports) != 0 {
			t.Errorf("got reports %v from a standby; want none", w.reports)
		}
		w.set(func() { w.busy = false })
		nap(2 * time.Second)
		if st := f.Stats(); st.Standby || !st.Connected || st.Position != "1" {
			t.Errorf("got %+v; want it to have taken over", st)
		}
		if len(w.reports) == 0 {
			t.Error("got no reports after taking over")
		}
		stop()
	})
}

// The pods hear of the feed every second, whatever happens.
func TestReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, batch("a"))
		f, stop := run(t, w.config())
		last := func(want report) {
			t.Helper()
			w.mu.Lock()
			defer w.mu.Unlock()
			got := w.reports[len(w.reports)-1]
			got.lag = got.lag.Round(time.Second)
			if got != want {
				t.Errorf("got report %+v; want %+v", got, want)
			}
		}
		nap(10500 * time.Millisecond)
		last(report{true, "1", 0})
		if n := len(w.reports); n != 10 {
			t.Errorf("got %d reports in 10.5 s; want 10", n)
		}
		w.set(func() { w.lag = 7 * time.Second })
		nap(time.Second)
		last(report{true, "1", 7 * time.Second})
		w.set(func() { w.lag, w.unknown = 0, true })
		nap(time.Second)
		last(report{false, "1", 8 * time.Second})
		w.set(func() { w.unknown = false })
		nap(time.Second)
		last(report{true, "1", 0})
		w.set(func() { w.broken = errDown; w.hook = func(string) error { return errDown } })
		nap(time.Minute)
		last(report{false, "1", time.Minute})
		if n := len(w.reports); n < 70 {
			t.Errorf("got %d reports; want one a second also while disconnected", n)
		}
		if n := w.count("checkpoint"); n > 40 {
			t.Errorf("tried to reconnect %d times in a minute", n)
		}
		w.set(func() { w.broken, w.hook = nil, nil })
		nap(15 * time.Second)
		last(report{true, "1", 0})
		if st := f.Stats(); st.Opened != 2 {
			t.Errorf("got %d streams; want 2", st.Opened)
		}
		// Another follower took over while this one was cut off.
		w.set(func() { w.broken, w.busy = errDown, true })
		nap(15 * time.Second)
		before := len(w.reports)
		nap(15 * time.Second)
		if n := len(w.reports); n != before {
			t.Errorf("got %d reports from a standby", n-before)
		}
		stop()
	})
}

// A disconnected follower falls silent when it sees another one at work.
func TestSilentBesideAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, batch("a"))
		_, stop := run(t, w.config())
		nap(1500 * time.Millisecond)
		w.set(func() {
			w.broken = errDown
			w.hook = func(step string) error {
				if strings.HasPrefix(step, "open") {
					return errDown
				}
				return nil
			}
		})
		nap(30 * time.Second)
		if r := w.reports[len(w.reports)-1]; r.connected {
			t.Errorf("got %+v; want it disconnected", r)
		}
		w.set(func() { w.checkpoint = "5" })
		nap(11 * time.Second)
		before := len(w.reports)
		nap(30 * time.Second)
		if n := len(w.reports); n != before {
			t.Errorf("got %d reports beside an active follower", n-before)
		}
		stop()
	})
}

// Upstream acknowledgements lag by the rewind window.
func TestRewind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		cfg := w.config()
		cfg.Rewind = time.Minute
		_, stop := run(t, cfg)
		for n := range 300 {
			w.set(func() { w.batches = append(w.batches, batch("a")) })
			nap(time.Second)
			if w.acked > max(0, n-58) || w.acked < n-64 {
				t.Fatalf("got %d acknowledged after %d s; want about a minute less", w.acked, n)
			}
		}
		stop()
	})
}

func TestRunTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		f, stop := run(t, w.config())
		synctest.Wait()
		if err := f.Run(t.Context()); err == nil {
			t.Error("got no error from a second Run")
		}
		stop()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := f.Run(ctx); err != nil {
			t.Errorf("run again: %v", err)
		}
	})
}

func TestConfig(t *testing.T) {
	_, err := cdc.NewFollower(cdc.FollowerConfig{
		Routes:    cdc.Routes{"a": {}, "": {All: []string{"x"}}, "b": {All: []string{""}}},
		Heartbeat: -1, Settle: -1, MinBackoff: time.Minute,
	})
	for _, word := range []string{"Source is required", "Feed is required", `Routes["a"].All is empty`, `Routes[""]`, `Routes["b"].All[0] is an empty`, "Heartbeat", "FollowerConfig.Settle is negative", "MinBackoff"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("got error %v; want one with %q", err, word)
		}
	}
	if _, err := cdc.NewFollower(newWorldConfigWithoutRoutes(t)); err == nil || !strings.Contains(err.Error(), "Routes is empty") {
		t.Errorf("got error %v; want one about empty routes", err)
	}
}

func newWorldConfigWithoutRoutes(t *testing.T) cdc.FollowerConfig {
	cfg := newWorld(t).config()
	cfg.Routes = nil
	return cfg
}

func TestMust(t *testing.T) {
	defer func() {
		var missing *cdc.MissingColumnError
		if err, ok := recover().(error); !ok || !errors.As(err, &missing) || missing.Column != "b" {
			t.Errorf("got panic %v; want one about column b", err)
		}
	}()
	if got := (cdc.Row{"a": "1"}).Must("a"); got != "1" {
		t.Errorf("got %q; want 1", got)
	}
	cdc.Row{"a": "1"}.Must("b")
}

// A source that opens and ends a while later, each time before it yielded anything, is left alone for longer and longer.
func TestBackoffOfStreamsThatYieldNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.hook = func(step string) error {
			if strings.HasPrefix(step, "open") {
				w.set(func() { w.broken = nil })
				time.AfterFunc(1500*time.Millisecond, func() { w.set(func() { w.broken = errDown }) })
			}
			return nil
		}
		_, stop := run(t, w.config())
		defer stop()
		nap(5 * time.Minute)
		if n := w.count("open"); n > 60 { // 1.5 s each, and 5 s to 10 s after it
			t.Errorf("opened %d times in 5 minutes", n)
		}
		w.set(func() { w.hook = nil })
		nap(2 * time.Second) // what the hook began has ended
		w.set(func() { w.broken = nil })
		nap(time.Minute) // it stays open for longer than the longest pause
		before := w.count("open")
		w.set(func() { w.broken = errDown })
		nap(20 * time.Millisecond)
		w.set(func() { w.broken = nil })
		nap(2 * cdc.DefaultMinBackoff)
		if n := w.count("open") - before; n != 1 {
			t.Errorf("opened %d times more; want once, after the shortest pause", n)
		}
	})
}
