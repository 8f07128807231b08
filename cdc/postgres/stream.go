package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pglogrepl"

	"github.com/tandem-cache/tandem/cdc"
)

const (
	idleEvery  = time.Second           // between two batches that only carry a position
	lookAgain  = time.Millisecond      // first pause while a commit isn't visible
	lookRarely = 64 * time.Millisecond // and the longest
)

// stream implements cdc.Stream. Next, Ack and Close belong to one goroutine, which
// owns every field; what the others share has a lock of its own.
type stream struct {
	conns    *conns
	max      int // events in a batch
	progress *progress
	watch    *watch
	begin    func(context.Context) error // what Ack has left to do before reading; nil: reading
	ended    func(error)                 // hears what ended the replication; nil: nobody asks

	first   *cdc.Batch    // to return before anything else
	pending []piece       // taken from the queue, oldest first
	at      pglogrepl.LSN // position of the last batch
	print   string        // of the catalog whose changes were handed over
	idled   time.Time     // when a batch without events was last returned
	part    piece         // what the last batch is, without its events, if it is a part of a transaction that goes on

	// Set by read.
	reader *reader
	queue  *queue
	prober *prober
	stop   context.CancelFunc
	wg     sync.WaitGroup
	failed chan error // one for each goroutine that has ended

	closed bool
}

// read starts the goroutines. The replication connection is streaming, from s.at.
// When one of them fails the other ends too: a server that shuts down ends the
// ordinary connection first, and then waits for the replicating one to go.
func (s *stream) read(every time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	s.queue = newQueue(2 * s.max)
	s.prober = newProber(s.conns.sql, s.progress)
	s.prober.watch = s.watch
	s.reader = &reader{conn: s.conns.repl, decoder: newDecoder(s.max), queue: s.queue, every: every}
	s.reader.decoder.watch, s.reader.decoder.look = s.watch, s.prober.lookSoon
	s.failed = make(chan error, 2)
	s.progress.hand(s.at, time.Time{})
	s.wg.Go(func() {
		defer cancel()
		err := s.reader.run(ctx)
		if s.ended != nil {
			s.ended(err)
		}
		s.failed <- err
	})
	s.wg.Go(func() {
		defer cancel()
		s.failed <- s.prober.run(ctx)
	})
}

// Next implements cdc.Stream.
func (s *stream) Next(ctx context.Context) (cdc.Batch, error) {
	if s.first != nil {
		b := *s.first
		s.first = nil
		return b, nil
	}
	if s.begin != nil {
		return cdc.Batch{}, errors.New("postgres: the stream begins when its first batch is acknowledged")
	}
	for {
		if b, ok := s.outdated(); ok {
			return b, nil
		}
		var idle pglogrepl.LSN
		if len(s.pending) == 0 {
			s.pending, idle = s.queue.take(s.max)
		}
		if len(s.pending) > 0 {
			return s.visible(ctx)
		}
		wait := time.Duration(-1)
		if idle > s.at {
			s.progress.hand(idle, time.Time{})
			if wait = idleEvery - time.Since(s.idled); wait <= 0 {
				s.at, s.idled = idle, time.Now()
				return cdc.Batch{Position: s.position(idle)}, nil
			}
		}
		if err := s.wait(ctx, s.queue.ready, wait); err != nil {
			return cdc.Batch{}, err
		}
	}
}

// outdated makes a batch of the entities that are to be outdated as a whole. It may come before what is in the queue: it is about what a new
// reader sees now.
func (s *stream) outdated() (b cdc.Batch, ok bool) {
	b.Events, s.print = s.watch.take(s.max)
	b.Position = s.position(s.at)
	return b, len(b.Events) > 0
}

// Skip implements cdc.Skipper: the reader decodes no more rows of the entity until the transaction ends.
func (s *stream) Skip(transaction, entity string) {
	if s.part.number == 0 || strconv.FormatUint(uint64(s.part.xid), 10) != transaction {
		return // it has ended
	}
	skip := &s.reader.decoder.skip
	skip.Store(skip.Load().with(s.part.number, entity))
}

// Inspect implements cdc.Inspector.
func (s *stream) Inspect() cdc.Inspection { return s.watch.Inspect() }

// visible waits until a new reader sees the first pending transaction, and returns
// it with those after it that are visible too. Waiting loses nothing: what is
// pending stays so.
func (s *stream) visible(ctx context.Context) (cdc.Batch, error) {
	for pause := lookAgain; ; pause = min(2*pause, lookRarely) {
		snap, change := s.prober.snapshot()
		n := 0
		for n < len(s.pending) && snap.sees(s.pending[n].xid) {
			n++
		}
		if n > 0 {
			return s.batch(n), nil
		}
		s.prober.ask()
		if err := s.wait(ctx, change, -1); err != nil {
			return cdc.Batch{}, err
		}
		if snap, _ = s.prober.snapshot(); snap.sees(s.pending[0].xid) {
			continue
		}
		if err := s.wait(ctx, nil, pause); err != nil {
			return cdc.Batch{}, err
		}
	}
}

// wait returns nil after a token or the close of c, when something is to be outdated, or after d unless d is negative.
func (s *stream) wait(ctx context.Context, c <-chan struct{}, d time.Duration) error {
	var timeout <-chan time.Time
	if d >= 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-s.failed:
		s.failed <- err // for the next call
		return err
	case <-c:
	case <-s.watch.ready:
	case <-timeout:
	}
	return nil
}

// batch makes one of the first n pending pieces, or of fewer: a part of a big
// transaction, which has no position, goes alone.
func (s *stream) batch(n int) cdc.Batch {
	b := cdc.Batch{Oldest: s.pending[0].committed}
	used := 0
	s.part = piece{}
	for _, p := range s.pending[:n] {
		if p.end == 0 && used > 0 {
			break
		}
		used++
		b.Events = append(b.Events, p.events...)
		b.Committed = p.committed
		if p.end == 0 {
			s.part = piece{xid: p.xid, number: p.number}
			break
		}
		s.at = p.end
		b.Position = s.position(p.end)
	}
	s.pending = s.pending[used:]
	s.progress.hand(s.at, b.Committed)
	return b
}

func (s *stream) position(lsn pglogrepl.LSN) string {
	return position{system: s.conns.identity.system, timeline: s.conns.identity.timeline, lsn: lsn, print: s.print}.String()
}

// Ack implements cdc.Stream. The server hears of it within a second or so.
func (s *stream) Ack(ctx context.Context, text string) error {
	p, err := parsePosition(text)
	if err != nil {
		return err
	}
	if p.system != s.conns.identity.system || p.lsn > s.at {
		return fmt.Errorf("postgres: acknowledge %s: no batch of this stream carried it", text)
	}
	if s.begin != nil {
		if err := s.begin(ctx); err != nil {
			return err
		}
		s.begin = nil
	}
	if lsn := uint64(p.lsn); lsn > s.reader.acked.Load() {
		s.reader.acked.Store(lsn)
	}
	return nil
}

// Lag implements cdc.Stream.
func (s *stream) Lag() (time.Duration, bool) { return s.progress.lag(time.Now()) }

// Close implements cdc.Stream. It sends the last acknowledgement and waits until
// the server has let go of the slot, for five seconds at most.
func (s *stream) Close(ctx context.Context) error {
	if s.closed {
		return nil
	}
	s.closed = true
	if s.stop != nil {
		s.stop()
		s.wg.Wait() // they wait for nothing but their context, and the last seconds of a connection
	}
	return s.conns.close(ctx)
}
