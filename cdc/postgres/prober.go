package postgres

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
)

const (
	markEvery    = time.Second     // how often the end of the log is read
	probeTimeout = 5 * time.Second // for one query; longer: the stream fails

	lookEvery   = 2 * time.Second  // how often what is published is looked at again
	lookTimeout = 30 * time.Second // for that; longer: the stream fails
)

// prober asks the server, over an ordinary connection that it owns while it
// runs, what a new reader sees and where the log ends.
type prober struct {
	conn     *pgx.Conn
	progress *progress
	wanted   chan struct{} // a token asks for a snapshot now
	watch    *watch        // is told what is published; nil: nobody asks

	looking atomic.Bool // somebody asks for a look
	looked  time.Time   // when the last one ended
	took    time.Duration

	mu     sync.Mutex // guards the fields below
	last   snapshot
	change chan struct{} // closed at the next snapshot
}

func newProber(conn *pgx.Conn, p *progress) *prober {
	return &prober{conn: conn, progress: p, wanted: make(chan struct{}, 1), change: make(chan struct{})}
}

// run returns when ctx ends or the server doesn't answer.
func (p *prober) run(ctx context.Context) error {
	tick := time.NewTicker(markEvery)
	defer tick.Stop()
	for {
		if err := p.probe(ctx); err != nil {
			return err
		}
		if err := p.lookAgain(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		case <-p.wanted:
		}
	}
}

func (p *prober) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	before := time.Now()
	var visible, end string
	err := p.conn.QueryRow(ctx, `SELECT pg_current_snapshot()::text, pg_current_wal_flush_lsn()::text`).Scan(&visible, &end)
	if err != nil {
		return fmt.Errorf("postgres: ask what is visible: %w", err)
	}
	snap, err := parseSnapshot(visible)
	if err != nil {
		return err
	}
	lsn, err := pglogrepl.ParseLSN(end)
	if err != nil {
		return fmt.Errorf("postgres: end of the log: %w", err)
	}
	p.progress.set(mark{at: before, lsn: lsn})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = snap
	close(p.change)
	p.change = make(chan struct{})
	return nil
}

// lookAgain looks at what is published, if that is due: each few seconds, sooner if the stream brings a table that it has not described
// before, and never for more than a twentieth of the time.
func (p *prober) lookAgain(ctx context.Context) error {
	rest := lookEvery
	if p.looking.Load() {
		rest = lookEvery / 20
	}
	if p.watch == nil || time.Since(p.looked) < max(rest, 20*p.took) {
		return nil
	}
	p.looking.Store(false)
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	began := time.Now()
	seen, err := look(ctx, p.conn, p.watch.publication)
	if err != nil {
		return err
	}
	p.looked, p.took = time.Now(), time.Since(began)
	p.watch.see(seen)
	return nil
}

// lookSoon asks for a look.
func (p *prober) lookSoon() {
	p.looking.Store(true)
	signal(p.wanted)
}

// snapshot returns the last one, which still holds: what was visible stays so.
// change is closed when there is a newer one; ask makes that happen soon.
func (p *prober) snapshot() (last snapshot, change <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last, p.change
}

func (p *prober) ask() { signal(p.wanted) }
