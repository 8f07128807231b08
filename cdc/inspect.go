package cdc

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Inspector is a Stream that goes on checking, while it runs, what Open has checked: whether the changes of each entity can still arrive.
// The follower looks for it once, when the stream is open.
type Inspector interface {
	// Inspect returns what the stream knows now. It is called from any goroutine, also after Close, and waits for nothing.
	Inspect() Inspection
}

// Inspection is what a stream has found out about itself.
type Inspection struct {
	// Problems says by entity why its changes don't arrive, or not all of them, with a remedy; that of the entity "" concerns all. While an
	// entity with a route has a problem, the feed isn't connected, and the spaces that it covers fall back. A problem stays here until the
	// follower has asked for the batch after the one that makes up for it: an event of the entity as a whole, or Lost.
	Problems map[string]string
	// Warnings are what a reader of health should know, one sentence each.
	Warnings []string
	// Entities are those whose changes can arrive, as Event.Entity names them. A route of another one is a warning. Nil: unknown.
	Entities []string
}

// Selector is a Source that wants to know which entities matter. It tells nothing else about the others than that they are there.
type Selector interface {
	// Select is called by NewFollower with the entities that have a route, before Open.
	Select(entities []string)
}

const (
	maxWarnings = 8 // that a report carries
	maxNamed    = 5 // entities that a warning or a problem names
)

// inspect asks the stream, which may be nil.
func inspect(s Stream) Inspection {
	if i, ok := s.(Inspector); ok {
		return i.Inspect()
	}
	return Inspection{}
}

// problem is what keeps changes of routed entities from arriving; "": nothing.
func (r router) problem(in Inspection) string {
	if all := in.Problems[""]; all != "" {
		return all
	}
	var routed []string
	for _, entity := range slices.Sorted(maps.Keys(in.Problems)) {
		if _, ok := r[entity]; ok {
			routed = append(routed, entity)
		}
	}
	if len(routed) == 0 {
		return ""
	}
	problem := in.Problems[routed[0]]
	if len(routed) > 1 {
		problem += "; the same or another problem with " + someOf(routed[1:])
	}
	return problem
}

// warnings returns what health should show: the source's own, routes that can't be reached, and entities without a route.
func (r router) warnings(in Inspection, unrouted map[string]uint64) []string {
	var all []string
	if in.Entities != nil {
		if lost := r.unreachable(in); len(lost) > 0 {
			all = append(all, "the source delivers no changes of "+someOf(lost)+", though there is a route: is the name right, is it published?")
		}
	}
	if len(unrouted) > 0 {
		all = append(all, "no route for "+someOf(top(unrouted))+": its changes arrive and invalidate nothing")
	}
	all = append(all, in.Warnings...)
	return all[:min(len(all), maxWarnings)]
}

// unreachable returns the routed entities that the source doesn't deliver, unless it says so itself.
func (r router) unreachable(in Inspection) []string {
	var lost []string
	for entity := range r {
		if _, known := in.Problems[entity]; !known && !slices.Contains(in.Entities, entity) {
			lost = append(lost, entity)
		}
	}
	slices.Sort(lost)
	return lost
}

// someOf names the first few.
func someOf(entities []string) string {
	if rest := len(entities) - maxNamed; rest > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(entities[:maxNamed], ", "), rest)
	}
	return strings.Join(entities, ", ")
}

// inspected says in the log when a problem of an open stream begins, changes or ends.
type inspected struct {
	problem string    // said last
	since   time.Time // when the first of a row began
	said    time.Time
}

// inspectedEvery is the least time between two lines about a problem that changes.
const inspectedEvery = 30 * time.Second

// note belongs to the goroutine that reports.
func (i *inspected) note(ctx context.Context, f *Follower, problem string) {
	now := time.Now()
	switch {
	case problem == i.problem:
	case problem == "":
		f.log.InfoContext(ctx, "cdc: the source delivers all changes again", "after", now.Sub(i.since).Round(time.Second), "problem", i.problem)
		*i = inspected{}
	case i.problem == "" || now.Sub(i.said) >= inspectedEvery:
		f.log.ErrorContext(ctx, "cdc: the source doesn't deliver all changes", "problem", problem)
		*i = inspected{problem: problem, since: cmp.Or(i.since, now), said: now}
	}
}
