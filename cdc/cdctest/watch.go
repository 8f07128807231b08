package cdctest

import (
	"context"
	"time"

	"github.com/tandem-cache/tandem/cdc"
)

// hook runs before and after each step of a follower. Its error fails the step.
type hook func(when, step string) error

// When a hook runs.
const (
	before = "before"
	after  = "after"
)

// watch tells a book what one follower does.
type watch struct {
	book  book
	names func(cdc.Event) []string
	hook  hook
}

// around runs the hook around a step.
func (w *watch) around(step string, do func() error) error {
	if w.hook != nil {
		if err := w.hook(before, step); err != nil {
			return err
		}
	}
	if err := do(); err != nil {
		return err
	}
	if w.hook != nil {
		return w.hook(after, step)
	}
	return nil
}

func (w *watch) enter(ctx context.Context, e entry) (a answer, err error) {
	err = w.around(e.Step, func() error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var err error
		a, err = w.book.enter(e)
		return err
	})
	return a, err
}

type watchedFeed struct{ *watch }

// Invalidate implements cdc.Feed.
func (f *watchedFeed) Invalidate(ctx context.Context, names ...string) error {
	_, err := f.enter(ctx, entry{Step: stepInvalidate, Names: names})
	return err
}

// Flush implements cdc.Feed.
func (f *watchedFeed) Flush(ctx context.Context) error {
	_, err := f.enter(ctx, entry{Step: stepFlush})
	return err
}

// Checkpoint implements cdc.Feed.
func (f *watchedFeed) Checkpoint(ctx context.Context) (position, server string, err error) {
	a, err := f.enter(ctx, entry{Step: stepCheckpoint})
	return a.Position, "ledger", err
}

// Advance implements cdc.Feed.
func (f *watchedFeed) Advance(ctx context.Context, _, from, to string) (bool, error) {
	a, err := f.enter(ctx, entry{Step: stepAdvance, From: from, Position: to})
	return a.OK, err
}

// Lead implements cdc.Feed.
func (f *watchedFeed) Lead(ctx context.Context, holder string, ttl time.Duration) (bool, error) {
	a, err := f.enter(ctx, entry{Step: stepLead, Holder: holder, TTL: ttl})
	return a.OK, err
}

// Resign implements cdc.Feed.
func (f *watchedFeed) Resign(ctx context.Context, holder string) error {
	_, err := f.enter(ctx, entry{Step: stepResign, Holder: holder})
	return err
}

// Refuse implements cdc.Feed.
func (f *watchedFeed) Refuse(ctx context.Context, problem string) error {
	_, err := f.enter(ctx, entry{Step: stepReport, Report: Report{Problem: problem}})
	return err
}

// Report implements cdc.Feed.
func (f *watchedFeed) Report(ctx context.Context, problem string, warnings []string, _ string, _ time.Time, lag time.Duration, _ map[string]uint64) error {
	_, err := f.enter(ctx, entry{Step: stepReport, Report: Report{Problem: problem, Warnings: warnings, Lag: lag}})
	return err
}

type watchedSource struct {
	cdc.Source
	*watch
}

// Select implements cdc.Selector for sources that do.
func (s *watchedSource) Select(entities []string) {
	if selector, ok := s.Source.(cdc.Selector); ok {
		selector.Select(entities)
	}
}

// Open implements cdc.Source.
func (s *watchedSource) Open(ctx context.Context, from string) (stream cdc.Stream, err error) {
	err = s.around(stepOpen, func() error {
		if _, err := s.book.enter(entry{Step: stepOpen, Position: from}); err != nil {
			return err
		}
		stream, err = s.Source.Open(ctx, from)
		return err
	})
	switch {
	case err == nil:
		return &watchedStream{Stream: stream, watch: s.watch}, nil
	case stream != nil: // the follower died just then
		_ = stream.Close(context.WithoutCancel(ctx))
	}
	return nil, err
}

type watchedStream struct {
	cdc.Stream
	*watch
}

// Next implements cdc.Stream.
func (s *watchedStream) Next(ctx context.Context) (b cdc.Batch, err error) {
	err = s.around(stepRead, func() error {
		if _, err := s.book.enter(entry{Step: stepRead}); err != nil {
			return err
		}
		if b, err = s.Stream.Next(ctx); err != nil {
			return err
		}
		e := entry{Step: stepDelivered, Position: b.Position, Lost: b.Lost}
		for _, event := range b.Events {
			if event.Entity == "" {
				e.Unknown = true
				continue
			}
			e.Names = append(e.Names, s.names(event)...)
		}
		_, err := s.book.enter(e)
		return err
	})
	return b, err
}

// Ack implements cdc.Stream. The book hears of it before and after.
func (s *watchedStream) Ack(ctx context.Context, position string) error {
	return s.around(stepAck, func() error {
		if _, err := s.book.enter(entry{Step: stepAck, Position: position}); err != nil {
			return err
		}
		if err := s.Stream.Ack(ctx, position); err != nil {
			return err
		}
		_, err := s.book.enter(entry{Step: stepAcked, Position: position})
		return err
	})
}

// Skip implements cdc.Skipper for streams that do.
func (s *watchedStream) Skip(transaction, entity string) {
	if skipper, ok := s.Stream.(cdc.Skipper); ok {
		skipper.Skip(transaction, entity)
	}
}

// Inspect implements cdc.Inspector for streams that do.
func (s *watchedStream) Inspect() cdc.Inspection {
	if i, ok := s.Stream.(cdc.Inspector); ok {
		return i.Inspect()
	}
	return cdc.Inspection{}
}
