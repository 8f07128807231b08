package salesforce

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tandem-cache/tandem/cdc"
)

// stream implements cdc.Stream. Next, Ack and Close belong to one goroutine, which owns the fields; queue and progress, which it shares with the reader,
// have locks of their own.
type stream struct {
	client   *client // the reader's, but for the end of its connection
	org      string
	from     string // the position that it was opened at
	queue    *queue
	progress *progress

	stop   context.CancelFunc
	failed chan error    // the reader's, once it has ended
	done   chan struct{} // closed when the reader has ended
	closed bool
}

// newStream starts the reader, after replay; nil: at the end of the topic, which is a loss.
func newStream(c *client, from string, replay []byte) *stream {
	ctx, cancel := context.WithCancel(context.Background())
	s := &stream{
		client: c, org: c.token.Tenant, from: from,
		queue: newQueue(10 * c.source.cfg.Window), progress: new(progress),
		stop: cancel, failed: make(chan error, 1), done: make(chan struct{}),
	}
	r := &reader{client: c, cfg: c.source.cfg, queue: s.queue, progress: s.progress, at: replay, lost: replay == nil}
	go func() {
		defer close(s.done)
		s.failed <- r.run(ctx)
	}()
	return s
}

// Next implements cdc.Stream. What was received before the stream failed comes before its error.
func (s *stream) Next(ctx context.Context) (cdc.Batch, error) {
	var failed error
	for {
		if b, replay, ok := s.queue.take(s.client.source.cfg.MaxBatch); ok {
			if failed != nil {
				s.failed <- failed
			}
			b.Position = position{org: s.org, topic: s.client.source.cfg.Topic, replay: replay}.String()
			return b, nil
		}
		if failed != nil {
			s.failed <- failed // for the next call
			return cdc.Batch{}, failed
		}
		select {
		case <-ctx.Done():
			return cdc.Batch{}, ctx.Err()
		case failed = <-s.failed: // and look once more: it may have come with events
		case <-s.queue.ready:
		}
	}
}

// Ack implements cdc.Stream. The service keeps its events for 72 hours, whoever has read them: there is nothing to tell it.
func (s *stream) Ack(_ context.Context, text string) error {
	if text == s.from {
		return nil
	}
	p, err := parsePosition(text)
	if err != nil {
		return err
	}
	if p.org != s.org || p.topic != s.client.source.cfg.Topic {
		return fmt.Errorf("salesforce: acknowledge %.128q: no batch of this stream carried it", text)
	}
	return nil
}

// Lag implements cdc.Stream. It is unknown until the first response or, of a stream that resumed at a position, until there was none for 5 s,
// which is taken for having caught up. An event that was committed more than 5 s before it came is one of a backlog: until another comes in
// time, or none for 5 s, the lag is its age.
func (s *stream) Lag() (time.Duration, bool) {
	return s.progress.lag(time.Now(), s.queue.oldest())
}

// Close implements cdc.Stream.
func (s *stream) Close(ctx context.Context) error {
	if s.closed {
		return nil
	}
	s.closed = true
	s.stop()
	var err error
	select {
	case <-s.done:
	case <-ctx.Done():
		err = fmt.Errorf("salesforce: close the stream: %w", ctx.Err())
	}
	return errors.Join(err, s.client.conn.Close())
}
