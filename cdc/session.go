package cdc

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// session is the life of one stream. It belongs to the goroutine of Run.
type session struct {
	f        *Follower
	stream   Stream
	server   string // that held the checkpoint when the session began
	position string // the checkpoint as this session knows it
	acks     *ackQueue
}

func (s *session) run(ctx context.Context, retry *backoff) error {
	for {
		b, idle, err := s.next(ctx)
		switch {
		case err != nil:
			return fmt.Errorf("cdc: read the source: %w", err)
		case idle:
			err = s.idle(ctx)
		default:
			err = s.take(ctx, b)
		}
		if err != nil {
			return err
		}
		retry.reset()
	}
}

// next waits one heartbeat for a batch.
func (s *session) next(ctx context.Context) (b Batch, idle bool, err error) {
	beat, cancel := context.WithTimeout(ctx, s.f.cfg.Heartbeat)
	defer cancel()
	b, err = s.stream.Next(beat)
	if err != nil && ctx.Err() == nil && beat.Err() != nil && errors.Is(err, beat.Err()) {
		return Batch{}, true, nil
	}
	return b, false, err
}

// idle looks whether the checkpoint still stands, on the same server: one that
// forgot it, or another follower that moved it, would otherwise go unnoticed
// until the next change.
func (s *session) idle(ctx context.Context) error {
	stored, server, err := s.f.cfg.Feed.Checkpoint(ctx)
	switch {
	case err != nil:
		s.f.log.WarnContext(ctx, "cdc: can't read the checkpoint", "error", err)
	case stored != s.position || server != s.server:
		return errSteppedDown
	}
	return s.ack(ctx)
}

// take applies one batch, however long the feed takes to accept it, and
// acknowledges what is due.
func (s *session) take(ctx context.Context, b Batch) error {
	s.f.hold(b)
	w := s.f.route(ctx, b)
	for retry := s.f.backoff(); ; {
		err := s.attempt(ctx, w)
		if err == nil {
			break
		}
		if errors.Is(err, errSteppedDown) || ctx.Err() != nil {
			return err
		}
		s.f.count(func(st *Stats) { st.Retries++ })
		wait := retry.next()
		s.f.log.WarnContext(ctx, "cdc: holds a batch that the cache can't take now", "error", err, "pause", wait)
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
	s.f.release(b)
	if b.Lost {
		s.acks.clear()
	}
	if b.Position != "" {
		s.acks.push(b.Position, time.Now(), b.Lost)
	}
	return s.ack(ctx)
}

// attempt invalidates and then moves the checkpoint. It is repeated as a whole:
// the failure may have been a failover that forgot the invalidations.
func (s *session) attempt(ctx context.Context, w *work) error {
	if err := s.f.invalidate(ctx, w); err != nil {
		return err
	}
	to := w.batch.Position
	if to == "" || to == s.position {
		return nil
	}
	ok, err := s.f.cfg.Feed.Advance(ctx, s.server, s.position, to)
	if err != nil {
		return fmt.Errorf("cdc: move the checkpoint: %w", err)
	}
	if !ok {
		return errSteppedDown
	}
	s.position = to
	return nil
}

// ack acknowledges upstream what is older than the rewind window.
func (s *session) ack(ctx context.Context) error {
	position := s.acks.due(time.Now())
	if position == "" {
		return nil
	}
	if err := s.stream.Ack(ctx, position); err != nil {
		return fmt.Errorf("cdc: acknowledge: %w", err)
	}
	return nil
}

// hold notes that b was taken.
func (f *Follower) hold(b Batch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.holding, f.taken, f.oldest = true, time.Now(), b.Oldest
}

// release notes that b is applied.
func (f *Follower) release(b Batch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.holding = false
	f.stats.Batches++
	f.stats.Events += uint64(len(b.Events))
	if b.Position != "" {
		f.stats.Position = b.Position
	}
	if b.Committed.After(f.stats.Committed) {
		f.stats.Committed = b.Committed
	}
}
