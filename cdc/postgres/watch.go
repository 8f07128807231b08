package postgres

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tandem-cache/tandem/cdc"
)

// watch compares what is published with what was, while a stream runs. The prober tells it what it sees; Next takes what follows from that.
//
//   - An entity that is gone, or of whose changes something is newly left out, is a problem.
//   - One whose sign is another, one that is new, and one whose problem has ended, is outdated as a whole: there were changes without an event,
//     or there may have been.
//
// A problem is told until that has happened. Otherwise:
//
//  1. the table comes back into the publication; the problem is over, and the feed is fresh again for FeedLimit
//  2. the follower holds a batch, and takes the event of the whole table a minute later
//  3. until then, entries that missed their change are served as fresh
type watch struct {
	publication string
	tables      []string // that have to be there
	wanted      func(entity string) bool
	keep        func(map[string]entity) // is told what is known, for the next stream

	mu        sync.Mutex // guards the fields below
	known     map[string]entity
	seen      catalog
	problems  map[string]string // now
	over      map[string]string // that have ended, and are not made up for
	due       map[string]bool   // entities to be outdated
	print     string            // of what was seen last without a problem
	unprinted bool              // seen is newer than print
	ready     chan struct{}     // holds a token while something is due
	renewed   atomic.Uint64     // how often seen was set
}

// newWatch begins with what an earlier stream knew, and what is published now. gap: the stream begins with a flush.
func newWatch(s *Source, first catalog, gap bool) *watch {
	w := &watch{
		publication: s.cfg.Publication, tables: s.cfg.Tables, wanted: s.wanted(), keep: s.remember,
		known: s.remembered(), over: make(map[string]string), due: make(map[string]bool), ready: make(chan struct{}, 1),
		print: first.print(s.wanted()),
	}
	if len(w.known) == 0 || gap { // nothing to compare with, or it is all flushed
		for name, e := range first.entities {
			if !w.wanted(name) {
				continue
			}
			if old, ok := w.known[name]; ok {
				e.limits = old.limits
			}
			w.known[name] = e
		}
	}
	w.see(first)
	return w
}

// see compares.
func (w *watch) see(c catalog) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.problems
	w.seen, w.problems, w.unprinted = c, w.judge(c), true
	w.renewed.Add(1)
	for name, e := range c.entities {
		if !w.wanted(name) {
			continue
		}
		old, ok := w.known[name]
		if !ok || old.sign != e.sign {
			w.due[name] = true
		}
		if ok {
			e.limits = old.limits // what was accepted
		}
		w.known[name] = e
	}
	for name, problem := range before {
		if _, still := w.problems[name]; still {
			continue
		}
		w.over[name] = problem
		if name != "" {
			w.due[name] = true
			continue
		}
		for each := range c.entities {
			w.due[each] = w.wanted(each) || w.due[each]
		}
	}
	for name := range w.due {
		if !w.wanted(name) {
			delete(w.due, name)
		}
	}
	if len(w.due) > 0 {
		signal(w.ready)
	}
	if w.keep != nil {
		w.keep(maps.Clone(w.known))
	}
}

// judge returns the problems by entity. w.known is as it was before.
func (w *watch) judge(c catalog) map[string]string {
	problems := make(map[string]string)
	if c.problem != "" {
		problems[""] = c.problem
		return problems
	}
	followed := slices.Sorted(maps.Keys(w.known))
	for _, name := range append(followed, w.tables...) {
		if _, ok := c.entities[name]; !ok && w.wanted(name) {
			problems[name] = fmt.Sprintf("%s is not in publication %s: dropped, renamed, or taken out? Add it (ALTER PUBLICATION %s ADD TABLE …), "+
				"or take its route away and restart the follower", name, w.publication, quote(w.publication))
		}
	}
	for name, e := range c.entities {
		old, ok := w.known[name]
		switch {
		case e.problem != "":
			problems[name] = fmt.Sprintf("not all changes of %s arrive: %s", name, e.problem)
		case e.limits != "" && ok && e.limits != old.limits:
			problems[name] = fmt.Sprintf("publication %s has now %s for %s: what that leaves out invalidates nothing; "+
				"take it away, or restart the follower if it is meant", w.publication, e.limits, name)
		}
	}
	return problems
}

// take is called at the beginning of Next: the follower has what was taken before, and those problems are over. It returns what is due now, at
// most limit events, and the print that a position behind them has: of what was seen last, unless there is a problem or more is due. A
// follower that starts at a position with an older print flushes.
func (w *watch) take(limit int) (events []cdc.Event, print string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.due) == 0 {
		clear(w.over)
	}
	names := slices.Sorted(maps.Keys(w.due))
	for _, name := range names[:min(len(names), limit)] {
		events = append(events, cdc.Event{Entity: name, Kind: cdc.Whole})
		delete(w.due, name)
	}
	switch {
	case len(w.due) > 0:
		signal(w.ready)
	case len(w.problems) == 0 && w.unprinted:
		w.print, w.unprinted = w.seen.print(w.wanted), false
	}
	return events, w.print
}

// Inspect is what cdc.Inspector returns.
func (w *watch) Inspect() cdc.Inspection {
	w.mu.Lock()
	defer w.mu.Unlock()
	in := cdc.Inspection{Problems: maps.Clone(w.over), Entities: slices.Sorted(maps.Keys(w.seen.entities))}
	maps.Copy(in.Problems, w.problems)
	if in.Entities == nil {
		in.Entities = []string{}
	}
	var limited []string
	for name, e := range w.seen.entities {
		if e.limits != "" && w.wanted(name) {
			limited = append(limited, name+" ("+e.limits+")")
		}
	}
	if len(limited) > 0 {
		slices.Sort(limited)
		in.Warnings = []string{"publication " + w.publication + " leaves out changes of " + strings.Join(limited[:min(len(limited), 5)], ", ")}
	}
	return in
}

// padded reports whether a type is char(n) by another name.
func (w *watch) padded(kind uint32) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen.padded[kind]
}

// name is that of a relation, as the catalog had it; "": unknown.
func (w *watch) name(oid uint32) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, e := range w.known {
		if e.oid == oid {
			return name
		}
	}
	return ""
}

// outdate adds entities that the stream has found to be changed.
func (w *watch) outdate(names ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range names {
		if name != "" && w.wanted(name) {
			w.due[name] = true
			signal(w.ready)
		}
	}
}
