package cdc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// leaseBeats is for how many heartbeats the lease of a feed is taken: so long after the leader's death another follows.
	leaseBeats = 5
	// leaseOpening is for how long the lease is extended while the source is being opened. An Open that hangs for longer leaves it to another.
	leaseOpening = 3 * time.Minute
)

// lead takes the feed's lease, unless the source itself sees to it that one follower has it. ErrBusy: another leads.
//
// The lease spares a source its second reader: one that sends the same changes to everybody who asks would serve every follower of
// the fleet, and bill for each. It decides nothing else. Two who believe that they lead, since a server forgot the lease or one of them
// held a batch for longer than it, invalidate twice, and one of the two finds the checkpoint moved.
func (f *Follower) lead(ctx context.Context) error {
	if f.cfg.Source.Exclusive() {
		return nil
	}
	ok, err := f.cfg.Feed.Lead(ctx, f.holder, leaseBeats*f.cfg.Heartbeat)
	switch {
	case err != nil:
		return fmt.Errorf("cdc: take the lease: %w", err)
	case !ok:
		return fmt.Errorf("cdc: take the lease: %w", ErrBusy)
	}
	return nil
}

// open opens the source, and extends the lease once a heartbeat meanwhile. Otherwise, where that takes longer than the lease lasts:
//
//  1. a takes the lease and opens; the lease ends; b takes it and opens
//  2. a has opened, finds the lease with b, and leaves the source
//  3. the lease ends while b opens; a takes it and opens; b has opened, and leaves the source, and so on: nobody follows for longer than a heartbeat
//
// Whether it still leads, the session will see. The feed is called from one goroutine at a time.
func (f *Follower) open(ctx context.Context, from string) (Stream, error) {
	if f.cfg.Source.Exclusive() {
		return f.cfg.Source.Open(ctx, from)
	}
	beats, stop := context.WithTimeout(ctx, leaseOpening)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	wg.Go(func() {
		for sleep(beats, f.cfg.Heartbeat) == nil {
			if err := f.lead(beats); err != nil {
				f.log.DebugContext(ctx, "cdc: can't extend the lease while the source is opened", "error", err)
			}
		}
	})
	return f.cfg.Source.Open(ctx, from)
}

// resign gives the lease back, so that another follower need not wait for its end.
func (f *Follower) resign(ctx context.Context) {
	if f.cfg.Source.Exclusive() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := f.cfg.Feed.Resign(ctx, f.holder); err != nil {
		f.log.DebugContext(ctx, "cdc: can't give the lease back, it expires", "error", err)
	}
}

// stillLeads extends the lease once a heartbeat.
func (s *session) stillLeads(ctx context.Context) error {
	if time.Since(s.led) < s.f.cfg.Heartbeat {
		return nil
	}
	s.led = time.Now()
	err := s.f.lead(ctx)
	if err != nil && !errors.Is(err, ErrBusy) { // it may be down, and then nobody takes the lease
		if so, due := s.f.unled.Fails(); due {
			s.f.log.WarnContext(ctx, "cdc: can't extend the lease", so.Attrs("error", err)...)
		}
		return nil
	}
	if so, was := s.f.unled.Ends(); was {
		s.f.log.InfoContext(ctx, "cdc: extends the lease again", so.Attrs()...)
	}
	return err
}
