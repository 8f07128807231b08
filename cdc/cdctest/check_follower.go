package cdctest

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tandem-cache/tandem/cdc"
)

// Pauses of the followers in the suite.
const (
	heartbeat  = 50 * time.Millisecond
	minBackoff = 20 * time.Millisecond
	maxBackoff = 200 * time.Millisecond
)

// wholeName is what an event of the whole entity outdates.
const wholeName = "all"

// routing is the routes of a follower in the suite, and the names that they make.
type routing struct{ entity, column string }

func (r routing) routes() cdc.Routes {
	return cdc.Routes{r.entity: {
		Row: func(row cdc.Row) []string { return []string{rowName(row.Must(r.column))} },
		All: []string{wholeName},
	}}
}

func (r routing) names(e cdc.Event) (names []string) {
	if e.Err != nil || e.Kind != cdc.Insert && e.Kind != cdc.Update && e.Kind != cdc.Delete {
		return []string{wholeName}
	}
	for _, row := range e.Rows {
		id, ok := row[r.column]
		if !ok {
			return []string{wholeName}
		}
		names = append(names, rowName(id))
	}
	if len(names) == 0 {
		return []string{wholeName}
	}
	return names
}

func rowName(id string) string { return "row " + id }

// followerOf makes a follower that acknowledges at once.
func followerOf(r routing, source cdc.Source, feed cdc.Feed, beat time.Duration) (*cdc.Follower, error) {
	return cdc.NewFollower(cdc.FollowerConfig{
		Source: source, Feed: feed, Routes: r.routes(), Logger: slog.New(slog.DiscardHandler),
		Heartbeat: beat, Rewind: 1, Collapse: -1, Standby: minBackoff, MinBackoff: minBackoff, MaxBackoff: maxBackoff,
	})
}

// running is a follower that runs.
type running struct {
	*cdc.Follower
	stop func() // and wait
}

func (p *probe) routing() routing { return routing{p.rig.Entity, p.rig.Column} }

// follow starts a follower on a ledger; it ends with the test at the latest.
func (p *probe) follow(l *Ledger, source cdc.Source, hook hook) running {
	p.Helper()
	source, feed := l.follower(source, hook)
	f, err := followerOf(p.routing(), source, feed, heartbeat)
	if err != nil {
		p.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = f.Run(ctx) // its only error: it runs already
	}()
	run := running{Follower: f, stop: sync.OnceFunc(func() { cancel(); <-done })}
	p.Cleanup(run.stop)
	return run
}

// applied waits until the rows were invalidated, and the ledger has no objection.
func (p *probe) applied(l *Ledger, ids []string) {
	p.Helper()
	for _, id := range ids {
		p.await("invalidated: row "+id, func() bool { return l.Invalidated(rowName(id)) })
	}
	p.faultless(l)
}

func (p *probe) faultless(l *Ledger) {
	p.Helper()
	for _, problem := range l.Problems() {
		p.Error(problem)
	}
}

// followerReconnects: a follower goes on after its stream was cut and after the
// server was down, and doesn't knock more often than its backoff allows.
func followerReconnects(p *probe) {
	l := NewLedger(p.routing().names)
	opens := &countedSource{Source: p.rig.Source}
	f := p.follow(l, opens, nil)
	connected := func() bool {
		st := f.Stats()
		return st.Connected && st.Lag == 0 && l.Report().Problem == "" && l.Acknowledged() != ""
	}
	p.await("connected", connected)
	p.applied(l, p.change(2))
	for range 2 {
		p.rig.Cut()
		p.applied(l, p.change(2))
	}
	p.await("connected after it was cut", connected)

	p.rig.Down()
	p.await("a report that says what is wrong", func() bool { return l.Report().Problem != "" })
	attempts := opens.n.Load()
	const while = time.Second
	time.Sleep(while)
	if got, most := opens.n.Load()-attempts, int64(while/(maxBackoff/2))+5; got > most {
		p.Errorf("the source was opened %d times in %s; want at most %d", got, while, most)
	}
	p.rig.Up()
	p.applied(l, p.change(2))
	p.await("connected after the server was down", connected)
	if got := l.Flushes(); got != 1 {
		p.Errorf("everything was flushed %d times; want once, at the beginning", got)
	}
	f.stop()
	p.faultless(l)
}

type countedSource struct {
	cdc.Source
	n atomic.Int64
}

// Open implements cdc.Source.
func (s *countedSource) Open(ctx context.Context, from string) (cdc.Stream, error) {
	s.n.Add(1)
	return s.Source.Open(ctx, from)
}

// errKilled is what a follower that was killed hears from then on.
var errKilled = errors.New("cdctest: the follower was killed")

// doom kills a follower at a step: nothing that it does from then on has an effect.
type doom struct {
	when, step string
	dead       atomic.Bool
}

func (d *doom) hook(when, step string) error {
	if when == d.when && step == d.step {
		d.dead.Store(true)
	}
	if d.dead.Load() {
		return errKilled
	}
	return nil
}

// kill starts a follower that dies at a step, and another when it has.
func (p *probe) kill(l *Ledger, when, step string, ids []string) {
	p.Helper()
	d := &doom{when: when, step: step}
	f := p.follow(l, p.rig.Source, d.hook)
	p.await("the follower dies "+when+" "+step, d.dead.Load)
	f.stop()
	p.faultless(l)
	acked := l.counts()[stepAcked]
	f = p.follow(l, p.rig.Source, nil)
	p.await("acknowledged", func() bool { return l.counts()[stepAcked] > acked }) // what it opened at, or the loss
	p.applied(l, ids)
	p.applied(l, p.change(1))
	f.stop()
	p.faultless(l)
}

// followerKilled: a follower that dies before or after any of its steps loses
// nothing.
func followerKilled(p *probe) {
	l := NewLedger(p.routing().names)
	f := p.follow(l, p.rig.Source, nil)
	p.await("the first acknowledgement", func() bool { return l.Acknowledged() != "" })
	p.applied(l, p.change(1)) // it has taken effect
	f.stop()
	for _, step := range []string{stepOpen, stepRead, stepInvalidate, stepAdvance, stepAck} {
		for _, when := range []string{before, after} {
			p.kill(l, when, step, p.change(2))
		}
	}
	if got := l.Flushes(); got != 1 {
		p.Errorf("everything was flushed %d times; want once, at the beginning: it would hide what is lost", got)
	}
}

// followerKilledAfterLoss: nor does one that dies while it answers a loss.
func followerKilledAfterLoss(p *probe) {
	l := NewLedger(p.routing().names)
	for _, step := range []string{stepFlush, stepAdvance, stepAck} {
		for _, when := range []string{before, after} {
			flushes := l.Flushes()
			p.kill(l, when, step, nil)
			if l.Flushes() == flushes {
				p.Errorf("killed %s %s: the loss was not answered", when, step)
			}
			p.rig.Lose()
		}
	}
}
