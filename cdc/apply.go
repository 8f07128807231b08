package cdc

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// maxUnrouted bounds the entities without a route that are remembered, so that
// each is logged once.
const maxUnrouted = 1000

// work is a batch on its way to the cache, or several that are repeated at once.
type work struct {
	batch   Batch
	names   []string         // what its events outdate, each once
	flush   string           // why the whole feed is flushed as well; "": it isn't
	refused map[int]struct{} // events whose names the cache refused as malformed

	batches, events int       // how many these are
	due             time.Time // when it is repeated
	repeat          bool      // the cache has accepted it before
}

// route prepares a batch: it finds the names, each once, in their order.
func (f *Follower) route(ctx context.Context, b Batch) *work {
	var names set
	poison := make(map[string]bool)
	for _, e := range b.Events {
		r, ok := f.cfg.Routes[e.Entity]
		if !ok {
			f.skip(ctx, e)
			continue
		}
		of, err := r.names(e)
		if err != nil {
			f.poisoned(ctx, e, err, !poison[e.Entity])
			poison[e.Entity] = true
		}
		names.add(of)
	}
	w := &work{batch: b, names: names.list, refused: make(map[int]struct{}), batches: 1, events: len(b.Events)}
	if b.Lost {
		w.flush = "the source lost changes"
	}
	return w
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

// skip counts an event without a route and logs its entity once.
func (f *Follower) skip(ctx context.Context, e Event) {
	f.mu.Lock()
	f.stats.Unrouted++
	first := !f.unrouted[e.Entity] && len(f.unrouted) < maxUnrouted
	if first {
		f.unrouted[e.Entity] = true
	}
	f.mu.Unlock()
	if first {
		f.log.InfoContext(ctx, "cdc: no route, its events are ignored", "entity", e.Entity)
	}
}

// poisoned counts an event that can't be routed, and logs the first of a batch.
func (f *Follower) poisoned(ctx context.Context, e Event, err error, first bool) {
	f.count(func(s *Stats) { s.Poisonous++ })
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

// invalidateEach follows when a name of the batch was refused as malformed: one
// event at a time, to find out whose it is.
func (f *Follower) invalidateEach(ctx context.Context, w *work) error {
	var accepted set
	whole := make(map[string]bool) // entities that were answered as a whole
	for i, e := range w.batch.Events {
		r, ok := f.cfg.Routes[e.Entity]
		if !ok {
			continue
		}
		of, _ := r.names(e) // if it panics again, All; that was counted
		var names set
		names.add(of)
		err := f.send(ctx, names.list)
		if malformed(err) {
			if _, known := w.refused[i]; !known {
				w.refused[i] = struct{}{}
				f.poisoned(ctx, e, err, !whole[e.Entity])
			}
			names.list, err = nil, nil
			if !whole[e.Entity] {
				names.list, err = f.sendAll(ctx, w, e.Entity, r)
			}
			whole[e.Entity] = err == nil
		}
		if err != nil {
			return err
		}
		accepted.add(names.list)
	}
	w.names = accepted.list
	return nil
}

// sendAll invalidates the entity as a whole, or the feed if even that is refused.
func (f *Follower) sendAll(ctx context.Context, w *work, entity string, r Route) (accepted []string, err error) {
	err = f.send(ctx, r.All)
	if malformed(err) {
		w.flush = fmt.Sprintf("Routes[%q].All holds a malformed name", entity)
		return nil, f.flush(ctx, w.flush)
	}
	return r.All, err
}

func (f *Follower) flush(ctx context.Context, why string) error {
	if err := f.cfg.Feed.Flush(ctx); err != nil {
		return fmt.Errorf("cdc: flush the feed: %w", err)
	}
	f.count(func(s *Stats) { s.Flushes++ })
	f.log.WarnContext(ctx, "cdc: flushed everything that the feed covers", "because", why)
	return nil
}

// set is a list without repetitions.
type set struct {
	list []string
	has  map[string]struct{}
}

func (s *set) add(names []string) {
	if s.has == nil {
		s.has = make(map[string]struct{}, len(names))
	}
	for _, name := range names {
		if _, ok := s.has[name]; !ok {
			s.has[name] = struct{}{}
			s.list = append(s.list, name)
		}
	}
}
