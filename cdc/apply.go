package cdc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// work is a batch on its way to the cache, or several that are repeated at once.
type work struct {
	batch   Batch
	names   []string         // what its events outdate, each once
	flush   string           // why the whole feed is flushed as well; "": it isn't
	refused map[int]struct{} // events whose names the cache refused as malformed
	before  collapse         // as it was before the batch

	batches, events int       // how many these are
	due             time.Time // when it is repeated
	repeat          bool      // the cache has accepted it before
}

// routing is what a session remembers from one batch to the next.
type routing struct {
	collapse collapse
	skip     func(transaction, entity string) // tells the stream; nil: it doesn't want to know
	names    nameSet                          // its list is empty between two batches
}

func newRouting(limit int) routing { return routing{collapse: collapse{limit: limit}} }

// route prepares a batch: it finds the names, each once, in their order.
func (f *Follower) route(ctx context.Context, b Batch, m *routing) *work {
	w := &work{batch: b, refused: make(map[int]struct{}), before: m.collapse.clone(), batches: 1, events: len(b.Events)}
	if b.Lost {
		w.flush = "the source lost changes"
	}
	poison := make(map[string]bool)
	for i := range b.Events {
		e := &b.Events[i]
		m.collapse.see(e)
		r, ok := f.router[e.Entity]
		switch {
		case ok:
			f.answer(ctx, r, e, m, poison)
		case e.Entity == "":
			w.flush = cmp.Or(w.flush, "a change is of an entity that the source can't tell: it may be any")
			f.poisonedOnce(ctx, e, noEntity(e.Err), poison)
		default:
			f.skip(ctx, e)
		}
	}
	w.names = m.names.list
	m.names.reset()
	return w
}

// answer adds what e outdates to m.names.
func (f *Follower) answer(ctx context.Context, r *route, e *Event, m *routing, poison map[string]bool) {
	if m.collapse.done(r) {
		return
	}
	before := len(m.names.list)
	a := r.names(e, &m.names, nil)
	switch {
	case a.err != nil:
		f.poisonedOnce(ctx, e, a.err, poison)
	case m.collapse.over(r, a.rows):
		m.names.truncate(before)
		m.names.add(r.all)
		if m.skip != nil {
			m.skip(e.Transaction, e.Entity)
		}
		f.count(func(s *Stats) { s.Collapsed++ })
	}
}

// invalidate does everything that the batch asks of the cache. Nil: all of it
// is acknowledged, and w has what the cache accepted.
func (f *Follower) invalidate(ctx context.Context, w *work) error {
	if w.flush != "" {
		if err := f.flush(ctx, w.flush); err != nil {
			return err
		}
	}
	err := f.send(ctx, w.names)
	switch {
	case !malformed(err):
		return err
	case w.repeat: // its events are gone
		return f.flush(ctx, "a name was accepted and is malformed when it is repeated")
	}
	return f.invalidateEach(ctx, w)
}

// noEntity is what is wrong with an event whose Entity is empty; err is what its source says.
func noEntity(err error) error {
	if err == nil {
		err = errors.New("cdc: the event names no entity")
	}
	return err
}

// skip counts an event without a route and logs its entity once.
func (f *Follower) skip(ctx context.Context, e *Event) {
	f.mu.Lock()
	f.stats.Unrouted++
	_, first := f.unrouted.add(e.Entity)
	f.mu.Unlock()
	if first {
		f.log.InfoContext(ctx, "cdc: no route, its events are ignored", "entity", e.Entity)
	}
}

// poisonLogs is how long after a line in the log about a poisonous event another one about its entity follows, at the earliest: a rule that asks
// for a column that never comes finds such an event in each batch.
const poisonLogs = 10 * time.Second

// poisonedOnce counts an event that can't be routed, and logs the first of its entity; seen has the entities that were.
func (f *Follower) poisonedOnce(ctx context.Context, e *Event, err error, seen map[string]bool) {
	f.poisoned(ctx, e, err, !seen[e.Entity])
	seen[e.Entity] = true
}

func (f *Follower) poisoned(ctx context.Context, e *Event, err error, first bool) {
	f.mu.Lock()
	f.stats.Poisonous++
	as, _ := f.poison.add(e.Entity)
	last, logged := f.poisonLogged[as]
	first = first && (!logged || time.Since(last) >= poisonLogs)
	if first {
		f.poisonLogged[as] = time.Now()
	}
	f.mu.Unlock()
	if first {
		f.log.ErrorContext(ctx, "cdc: an event can't be routed, invalidates all of its entity",
			"entity", e.Entity, "kind", e.Kind.String(), "error", err)
	}
}

// send invalidates names in chunks of bounded size.
func (f *Follower) send(ctx context.Context, names []string) error {
	for chunk := range slices.Chunk(names, maxNames) {
		if err := f.cfg.Feed.Invalidate(ctx, chunk...); err != nil {
			return fmt.Errorf("cdc: invalidate %d names: %w", len(chunk), err)
		}
		f.count(func(s *Stats) { s.Invalidated += uint64(len(chunk)) })
	}
	return nil
}

// invalidateEach follows when a name of the batch was refused as malformed: one event at a time, to find out whose it is.
func (f *Follower) invalidateEach(ctx context.Context, w *work) error {
	var accepted nameSet
	again := routing{collapse: w.before.clone()}
	whole := make(map[string]bool) // entities that were answered as a whole
	for i := range w.batch.Events {
		e := &w.batch.Events[i]
		again.collapse.see(e)
		r, ok := f.router[e.Entity]
		if !ok {
			continue // it was counted and, if it may be of any entity, answered with the flush
		}
		names := f.namesAgain(r, e, &again)
		err := f.send(ctx, names)
		if malformed(err) {
			names, err = f.refused(ctx, w, i, r, err, whole)
		}
		if err != nil {
			return err
		}
		accepted.add(names)
	}
	w.names = accepted.list
	return nil
}

// namesAgain is what answer added for e, which was counted then.
func (f *Follower) namesAgain(r *route, e *Event, m *routing) []string {
	m.names.reset()
	if m.collapse.done(r) {
		return nil
	}
	a := r.names(e, &m.names, nil) // if it panics again, All
	if m.collapse.over(r, a.rows) {
		return r.all
	}
	return m.names.list
}

// refused answers the i-th event, of whose names one is malformed, with all of its entity, unless that was done for another.
func (f *Follower) refused(ctx context.Context, w *work, i int, r *route, why error, whole map[string]bool) (accepted []string, err error) {
	e := &w.batch.Events[i]
	if _, known := w.refused[i]; !known {
		w.refused[i] = struct{}{}
		f.poisoned(ctx, e, why, !whole[e.Entity])
	}
	if whole[e.Entity] {
		return nil, nil
	}
	accepted, err = f.sendAll(ctx, w, e.Entity, r)
	whole[e.Entity] = err == nil
	return accepted, err
}

// sendAll invalidates the entity as a whole, or the feed if even that is refused.
func (f *Follower) sendAll(ctx context.Context, w *work, entity string, r *route) (accepted []string, err error) {
	err = f.send(ctx, r.all)
	if malformed(err) {
		w.flush = fmt.Sprintf("Routes[%q].All holds a malformed name", entity)
		return nil, f.flush(ctx, w.flush)
	}
	return r.all, err
}

func (f *Follower) flush(ctx context.Context, why string) error {
	if err := f.cfg.Feed.Flush(ctx); err != nil {
		return fmt.Errorf("cdc: flush the feed: %w", err)
	}
	first := false
	f.count(func(s *Stats) { s.Flushes++; first = s.Position == "" })
	if first { // there was no position to lose
		f.log.InfoContext(ctx, "cdc: the feed begins, flushed everything that it covers")
		return nil
	}
	f.log.WarnContext(ctx, "cdc: flushed everything that the feed covers", "because", why)
	return nil
}
