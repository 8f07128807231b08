package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// hearing is the part of a pod that hears of changes by broadcast alone. It knows what is about to be invalidated and finds out
// when this pod has applied it. Its methods may be called from any goroutine; those of nil do nothing.
type hearing struct {
	pod   *coherencePod
	waits []atomic.Int32 // pending floors, by account

	mu      sync.Mutex // guards pending
	pending []floors   // not known to be applied here, in the order of their sending
}

// maxPending bounds what waits. One more than that was never seen: the follower sends a batch at a time.
const maxPending = 4096

func newHearing(p *coherencePod) *hearing {
	return &hearing{pod: p, waits: make([]atomic.Int32, p.cfg.Accounts+1)}
}

// add notes what is about to be invalidated. What finds no room is not checked here.
func (h *hearing) add(f floors) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.pending) == maxPending {
		return
	}
	for aid := range f.Versions {
		h.waits[aid].Add(1)
	}
	h.pending = append(h.pending, f)
}

// refresh brings the floor of an account up to date, before a read of it.
func (h *hearing) refresh(aid int) {
	if h != nil && h.waits[aid].Load() > 0 {
		h.apply()
	}
}

// apply raises the floors of what this pod has applied, and returns them.
//
// Each name is counted here once or, if its message was lost, never. So when the count has reached what had been sent up to a
// message, that message was applied, or lost and answered by a flush.
func (h *hearing) apply() []floors {
	count := h.pod.cache.applied(accountFeed)
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for n < len(h.pending) && h.pending[n].Sent <= count {
		n++
	}
	due := h.pending[:n:n]
	h.pending = h.pending[n:]
	for _, f := range due {
		for aid, version := range f.Versions {
			h.pod.checks.raise(aid, version)
		}
	}
	for _, f := range due { // a reader that sees no waiting sees the floor
		for aid := range f.Versions {
			h.waits[aid].Add(-1)
		}
	}
	return due
}

// run reads what this pod has just applied at once, while it matters most.
func (h *hearing) run(ctx context.Context) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !h.busy() {
			continue
		}
		for _, f := range h.apply() {
			for aid := range f.Versions {
				h.pod.get(ctx, aid)
			}
		}
	}
}

func (h *hearing) busy() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.pending) > 0
}
