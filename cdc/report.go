package cdc

import (
	"context"
	"time"
)

// Stats returns a snapshot.
func (f *Follower) Stats() Stats {
	f.mu.Lock()
	stream := f.stream
	f.mu.Unlock()
	var lag time.Duration
	connected := false
	if stream != nil { // asked before what is held: a batch on its way from the one to the other counts in one of them
		lag, connected = stream.Lag()
	}
	now := time.Now()
	f.mu.Lock()
	st, held := f.stats, f.heldLocked(now)
	st.UnroutedBy, st.PoisonousBy = f.unrouted.clone(), f.poison.clone()
	behind := now.Sub(f.caughtUp)
	running := f.running
	st.Held = len(f.held)
	f.mu.Unlock()
	st.Connected = connected
	switch {
	case connected, !running:
		st.Problem = ""
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
	return st
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
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.beat(ctx)
		}
	}
}

func (f *Follower) beat(ctx context.Context) {
	st := f.Stats()
	if st.Connected {
		f.mu.Lock()
		f.caughtUp = time.Now().Add(-st.Lag)
		f.mu.Unlock()
	}
	if st.Standby {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, max(f.cfg.Heartbeat, closeTimeout))
	defer cancel()
	err := f.cfg.Feed.Report(ctx, st.Problem, st.Position, st.Committed, st.Lag, st.Counts())
	if err != nil && ctx.Err() == nil {
		f.log.DebugContext(ctx, "cdc: can't report", "error", err)
	}
}
