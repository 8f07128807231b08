package cdc

import (
	"cmp"
	"context"
	"time"
)

// Stats returns a snapshot.
func (f *Follower) Stats() Stats {
	st, _ := f.look()
	return st
}

// look returns a snapshot, and the problem of the open stream, if it has one.
func (f *Follower) look() (st Stats, broken string) {
	f.mu.Lock()
	stream := f.stream
	f.mu.Unlock()
	var lag time.Duration
	connected := false
	in := inspect(stream)
	broken = f.router.problem(in) // asked before the lag: what makes up for it counts as lag from when it is taken
	if stream != nil {            // asked before what is held: a batch on its way from the one to the other counts in one of them
		lag, connected = stream.Lag()
	}
	now := time.Now()
	f.mu.Lock()
	st = f.stats
	held := f.heldLocked(now)
	st.UnroutedBy, st.PoisonousBy = f.unrouted.clone(), f.poison.clone()
	behind := now.Sub(f.caughtUp)
	running, covering := f.running, f.covering
	st.Held = len(f.held)
	f.mu.Unlock()
	st.Warnings = f.router.warnings(in, st.UnroutedBy)
	st.Connected = connected && broken == "" && !covering
	switch {
	case st.Connected, !running:
		st.Problem = ""
	case broken != "":
		st.Problem = broken
	case connected && covering:
		st.Problem = "the feed had no checkpoint, and is not flushed yet"
	case stream != nil:
		st.Problem = "catching up: the source is open and doesn't know its lag yet"
	case st.Problem == "":
		st.Problem = "not connected yet"
	}
	switch {
	case st.Connected:
		st.Lag = max(lag, held)
	case running:
		st.Lag = max(behind, held)
	}
	return st, broken
}

// heldLocked is how long the oldest change waits that was taken and not applied;
// 0: there is none. The clocks of the source and of this process may differ, so
// that it is never less than the time since its batch was taken.
func (f *Follower) heldLocked(now time.Time) time.Duration {
	var longest time.Duration
	for _, h := range f.held {
		longest = max(longest, now.Sub(h.taken), 1) // 0 would say that nothing waits
		if !h.oldest.IsZero() {
			longest = max(longest, now.Sub(h.oldest))
		}
	}
	return longest
}

// report tells the pods how the feed is, once a heartbeat, whatever the source
// and the batch in hand are doing. A follower that stands by says nothing:
// the active one does.
func (f *Follower) report(ctx context.Context) {
	tick := time.NewTicker(f.cfg.Heartbeat)
	defer tick.Stop()
	var said inspected
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.beat(ctx, &said)
		}
	}
}

func (f *Follower) beat(ctx context.Context, said *inspected) {
	st, broken := f.look()
	if broken != "" || st.Connected { // a stream that ends is told of otherwise, and proves nothing
		said.note(ctx, f, broken)
	}
	if st.Connected {
		f.mu.Lock()
		f.caughtUp = time.Now().Add(-st.Lag)
		f.mu.Unlock()
	}
	f.mu.Lock()
	foreign := f.foreign
	f.mu.Unlock()
	if st.Standby && !foreign {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, max(f.cfg.Heartbeat, closeTimeout))
	defer cancel()
	if foreign {
		if err := f.cfg.Feed.Refuse(ctx, st.Problem); err != nil && ctx.Err() == nil {
			f.log.DebugContext(ctx, "cdc: can't report", "error", err)
		}
		return
	}
	err := f.cfg.Feed.Report(ctx, cmp.Or(st.Problem, st.Holding), st.Warnings, st.Position, st.Committed, st.Lag, st.Counts())
	if err != nil && ctx.Err() == nil {
		f.log.DebugContext(ctx, "cdc: can't report", "error", err)
	}
}
