package cdc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// session is the life of one stream. It belongs to the goroutine of Run.
type session struct {
	f      *Follower
	stream Stream
	server string // that held the checkpoint when the session began
	stored string // the checkpoint as this session knows it
	// uncovered says that nothing proves that the cache has heard of the source's changes up to here: there was no checkpoint of it. The
	// feed is flushed with the first batch, or when none has come for a heartbeat.
	uncovered bool
	routing   routing
	settling  settleQueue
	acks      *ackQueue
	compared  time.Time // when the checkpoint was last compared with stored and server
	led       time.Time // when the lease was last extended
}

func (s *session) run(ctx context.Context, retry *backoff) error {
	s.compared, s.led = time.Now(), time.Now()
	began := time.Now()
	for {
		err := s.turn(ctx, retry)
		if err != nil {
			return err
		}
		if time.Since(began) >= s.f.cfg.MaxBackoff { // a stream that ends sooner, and never yields a batch, is one failure more
			retry.reset()
		}
	}
}

// turn waits for a batch, or until there is something else to do. retry is reset by a batch.
func (s *session) turn(ctx context.Context, retry *backoff) error {
	b, ok, err := s.next(ctx)
	if err != nil {
		return fmt.Errorf("cdc: read the source: %w", err)
	}
	if ok {
		if err := s.take(ctx, b); err != nil {
			return err
		}
		retry.reset()
	} else if err := s.cover(ctx); err != nil {
		return err
	}
	if err := s.repeat(ctx); err != nil {
		return err
	}
	if err := s.stillLeads(ctx); err != nil {
		return err
	}
	if time.Since(s.compared) < s.f.cfg.Heartbeat {
		return nil
	}
	return s.compare(ctx)
}

// next waits for a batch until a repeat is due or the checkpoint is to be looked
// at. While nothing more may be taken, it only waits.
func (s *session) next(ctx context.Context) (b Batch, ok bool, err error) {
	until := s.compared.Add(s.f.cfg.Heartbeat)
	if due, waits := s.settling.next(); waits && due.Before(until) {
		until = due
	}
	wait, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	if s.settling.full() {
		<-wait.Done()
		return Batch{}, false, ctx.Err()
	}
	b, err = s.stream.Next(wait)
	if err != nil && ctx.Err() == nil && wait.Err() != nil && errors.Is(err, wait.Err()) {
		return Batch{}, false, nil
	}
	return b, err == nil, err
}

// compare looks whether the checkpoint still stands, on the same server, when it
// has not been moved for a heartbeat: a server that forgot it, or another follower
// that moved it, would otherwise go unnoticed until the next change, or until the
// first repeat of a busy source.
func (s *session) compare(ctx context.Context) error {
	s.compared = time.Now()
	stored, server, err := s.f.cfg.Feed.Checkpoint(ctx)
	switch {
	case err != nil:
		if so, due := s.f.blind.Fails(); due {
			s.f.log.WarnContext(ctx, "cdc: can't read the checkpoint", so.Attrs("error", err)...)
		}
		return s.ack(ctx)
	case stored != s.stored || server != s.server:
		return errSteppedDown
	}
	if so, was := s.f.blind.Ends(); was {
		s.f.log.InfoContext(ctx, "cdc: reads the checkpoint again", so.Attrs()...)
	}
	return s.ack(ctx)
}

// take invalidates what b outdates.
func (s *session) take(ctx context.Context, b Batch) error {
	s.f.hold(b)
	if b.Lost {
		s.acks.clear() // what the stream was opened at may mean nothing to the source
	}
	w := s.f.route(ctx, b, &s.routing)
	if s.uncovered {
		w.flush = cmp.Or(w.flush, noCheckpoint)
	}
	return s.put(ctx, w)
}

const noCheckpoint = "there was no checkpoint of this source"

// cover flushes a feed without a checkpoint of this source, if no batch has come with which that was done. A feed that was followed by
// nobody, or by another source, may have entries of before the place at which the stream begins; one whose server lost the checkpoint may
// have lost more than the source would repeat. A stream that doesn't know its lag is not connected yet, and may still begin with a batch that
// is Lost.
func (s *session) cover(ctx context.Context) error {
	if !s.uncovered {
		return nil
	}
	if _, known := s.stream.Lag(); !known {
		return nil
	}
	return s.put(ctx, &work{flush: noCheckpoint, refused: make(map[int]struct{})})
}

// put takes w to the cache, and the checkpoint behind it: immediately, or after the settle time.
func (s *session) put(ctx context.Context, w *work) error {
	var err error
	if s.f.cfg.Settle == 0 {
		err = s.apply(ctx, w)
	} else if err = s.insist(ctx, w, s.f.invalidate); err == nil {
		s.settling.push(w, time.Now().Add(s.f.cfg.Settle))
	}
	if err == nil && s.uncovered {
		s.uncovered = false
		s.f.mu.Lock()
		s.f.covering = false
		s.f.mu.Unlock()
	}
	return err
}

// apply takes w through all steps, and acknowledges what is due.
func (s *session) apply(ctx context.Context, w *work) error {
	if err := s.insist(ctx, w, s.attempt); err != nil {
		return err
	}
	s.f.release(w)
	if w.batch.Position != "" {
		s.acks.push(w.batch.Position, time.Now(), w.batch.Lost)
	}
	return s.ack(ctx)
}

// insist attempts something until it succeeds, however long the feed takes to
// accept it.
func (s *session) insist(ctx context.Context, w *work, attempt func(context.Context, *work) error) error {
	since := time.Now()
	for retry := s.f.backoff(); ; {
		back := s.f.back() // before the attempt: the server may come back while it fails
		err := attempt(ctx, w)
		if err == nil || errors.Is(err, errSteppedDown) || ctx.Err() != nil {
			s.f.count(func(st *Stats) { st.Holding = "" })
			if so, was := s.f.holds.Ends(); was && err == nil {
				s.f.log.InfoContext(ctx, "cdc: the cache has taken the batch", so.Attrs()...)
			}
			return err
		}
		holding := fmt.Sprintf("holds changes since %s: %v", since.UTC().Format(time.RFC3339), innermost(err))
		s.f.count(func(st *Stats) { st.Retries, st.Holding = st.Retries+1, holding })
		wait := retry.next()
		if so, due := s.f.holds.Fails(); due {
			s.f.log.WarnContext(ctx, "cdc: holds a batch that the cache can't take now", so.Attrs("error", err, "pause", wait)...)
		}
		if err := sleepUntil(ctx, wait, back); err != nil {
			return err
		}
	}
}

// innermost is what the cache's server said, without the words around it: a report is short.
func innermost(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// attempt invalidates and then moves the checkpoint. It is repeated as a whole:
// the failure may have been a failover that forgot the invalidations.
func (s *session) attempt(ctx context.Context, w *work) error {
	if err := s.f.invalidate(ctx, w); err != nil {
		return err
	}
	if w.batch.Position == "" {
		return nil
	}
	to := newCheckpoint(s.f.identity, w.batch.Position).text
	if to == s.stored {
		return nil
	}
	ok, err := s.f.cfg.Feed.Advance(ctx, s.server, s.stored, to)
	if err != nil {
		return fmt.Errorf("cdc: move the checkpoint: %w", err)
	}
	if !ok {
		return errSteppedDown
	}
	s.stored, s.compared = to, time.Now()
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
	f.held = append(f.held, held{taken: time.Now(), oldest: b.Oldest})
}

// release notes that w is applied, which was held longest.
func (f *Follower) release(w *work) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held = f.held[w.batches:]
	f.stats.Batches += uint64(w.batches)
	f.stats.Events += uint64(w.events)
	f.stats.Position = cmp.Or(w.batch.Position, f.stats.Position)
	if w.batch.Committed.After(f.stats.Committed) {
		f.stats.Committed = w.batch.Committed
	}
}
