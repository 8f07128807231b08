package cdc_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandem-cache/tandem/cdc"
)

// Of two followers of a source that would serve both, one opens it. The other takes over at once when that ends, and after five
// heartbeats when it dies.
func TestLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, batch("a"))
		w.shared = true
		first, stopFirst := run(t, w.config())
		nap(time.Second)
		second, stopSecond := run(t, w.config())
		defer stopSecond()
		nap(10 * time.Second)
		if w.opened != 1 || !second.Stats().Standby || second.Stats().Problem == "" || first.Stats().Standby {
			t.Errorf("%d opened: first %+v, second %+v; want the first alone at the source", w.opened, first.Stats(), second.Stats())
		}
		if n := w.count("lead"); n < 10 {
			t.Errorf("%d leases taken; want one a heartbeat", n)
		}
		stopFirst()
		nap(cdc.DefaultStandby)
		if w.opened != 2 || second.Stats().Standby || second.Stats().Position != "1" {
			t.Errorf("%d opened: second %+v; want it to have taken over", w.opened, second.Stats())
		}
		w.set(func() { w.leader = "somebody" }) // as after a failover
		nap(2 * time.Second)
		if w.closed != 2 || !second.Stats().Standby {
			t.Errorf("%d closed: second %+v; want it to have left the source", w.closed, second.Stats())
		}
		w.set(func() { w.leader = "" })
		nap(2 * time.Second)
		w.set(func() { w.hook = failing("lead", errDown) })
		nap(time.Minute)
		if w.opened != 3 || w.closed != 2 || second.Stats().Standby {
			t.Errorf("%d opened, %d closed; want it to keep the source while nobody can take the lease", w.opened, w.closed)
		}
	})
}

// A follower that has the lease and cannot open the source says so: while it took itself for one that stands by, nobody did, and the feed was
// silent without a reason.
func TestLeaderThatCannotOpenIsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, batch("a"))
		w.shared = true
		w.leader, w.leads = "somebody", time.Now().Add(time.Hour)
		f, stop := run(t, w.config())
		defer stop()
		nap(3 * time.Second)
		if st := f.Stats(); !st.Standby {
			t.Fatalf("%+v; want it to stand by while another has the lease", st)
		}
		w.set(func() { w.leader, w.hook = "", failing("open", errDown) })
		nap(5 * time.Second)
		if st := f.Stats(); st.Standby || !strings.Contains(st.Problem, errDown.Error()) {
			t.Errorf("%+v; want its problem", st)
		}
		if n := len(w.reports); n == 0 {
			t.Error("it reports nothing")
		}
	})
}

// A source that takes longer to open than the lease lasts is not taken from the follower that opens it: else two would take turns, and each
// would lose the lease while it opens.
func TestLeaseWhileTheSourceOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, batch("a"))
		w.shared, w.opening = true, 7*time.Second
		first, stopFirst := run(t, w.config())
		defer stopFirst()
		nap(time.Second)
		second, stopSecond := run(t, w.config())
		defer stopSecond()
		nap(5 * time.Minute)
		if w.opened != 1 || first.Stats().Position != "1" || !second.Stats().Standby {
			t.Errorf("%d opened: first %+v, second %+v; want the first alone at the source", w.opened, first.Stats(), second.Stats())
		}
	})
}

// An exclusive source needs no lease.
func TestNoLeaseOfAnExclusiveSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, batch("a"))
		_, stop := run(t, w.config())
		nap(10 * time.Second)
		stop()
		if n := w.count("lead") + w.count("resign"); n != 0 {
			t.Errorf("%d calls for a lease", n)
		}
	})
}

// failing is a hook that fails one kind of step.
func failing(step string, err error) func(string) error {
	return func(s string) error {
		if strings.HasPrefix(s, step) {
			return err
		}
		return nil
	}
}

// slowError wants its source left alone for a minute.
type slowError struct{ error }

func (slowError) RetryAfter() time.Duration { return time.Minute }

// A source says itself how long it wants to be left alone, and every pod hears why.
func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.hook = failing("open", slowError{errors.New("the daily allocation is used up")})
		f, stop := run(t, w.config())
		defer stop()
		nap(10*time.Minute + time.Second)
		if n := w.count("open"); n < 10 || n > 11 {
			t.Errorf("opened %d times in ten minutes; want once a minute", n)
		}
		if got := f.Stats().Problem; !strings.Contains(got, "daily allocation") {
			t.Errorf("problem %q", got)
		}
		if r := w.reports[len(w.reports)-1]; r.connected {
			t.Error("reported as connected")
		}
		w.set(func() { w.hook = nil })
		nap(2 * time.Minute)
		if got := f.Stats(); got.Problem != "" || !got.Connected {
			t.Errorf("got %+v; want it connected", got)
		}
	})
}
