package cdc

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// leaseBeats is for how many heartbeats the lease of a feed is taken: so long after the leader's death another follows.
const leaseBeats = 5

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
		s.f.log.WarnContext(ctx, "cdc: can't extend the lease", "error", err)
		return nil
	}
	return err
}
