package cdc

import (
	"fmt"
	"slices"
	"strings"
)

// Explanation is what one event outdates, and why.
type Explanation struct {
	Event    Event
	Unrouted bool     // its entity has no route: it outdates nothing
	Flush    bool     // its entity is unknown: it outdates everything that the feed covers
	Whole    string   // why Route.All is outdated instead of names by row; "": it isn't
	Poison   error    // why the event counts as poisonous; nil: it doesn't
	Names    []string // what is outdated, each once
	Reasons  []Reason // in the order of the rules, and the function last

	Invalid error // the routes aren't ones that NewFollower accepts: nothing else is said
}

// Reason is what a part of a route made of an event.
type Reason struct {
	By    string   // "Rules[0]" or "Row"
	Why   string   // in words
	Names []string // as they come, repetitions too
}

// Explain returns what a follower would make of e. An event of more rows than DefaultCollapse counts as routed row by row. Not for the hot
// path: the routes are made ready each time.
func (r Routes) Explain(e Event) Explanation {
	made, err := r.compile()
	if err != nil {
		return Explanation{Event: e, Invalid: err}
	}
	m := newRouting(-1)
	return made.explain(e, &m)
}

// explain says what answer would do, after the events that m has seen.
func (r router) explain(e Event, m *routing) Explanation {
	x := Explanation{Event: e}
	m.collapse.see(&e)
	one, ok := r[e.Entity]
	switch {
	case !ok && e.Entity == "":
		x.Flush, x.Poison = true, noEntity(e.Err)
	case !ok:
		x.Unrouted = true
	case m.collapse.done(one):
		x.Whole = "an earlier event of its transaction outdated all of the entity"
	default:
		m.names.reset()
		a := one.names(&e, &m.names, &x)
		x.Poison, x.Names = a.err, m.names.list
		if m.collapse.over(one, a.rows) {
			x.answerAll(fmt.Sprintf("its transaction has more than %d rows of the entity", m.collapse.limit))
			x.Names = one.all
		}
	}
	x.Names = slices.Clone(x.Names)
	return x
}

// String says it in lines: the event, then what it outdates. It shows no values but those that stand in names.
func (x Explanation) String() string {
	var b strings.Builder
	b.WriteString(x.head())
	switch {
	case x.Invalid != nil:
		fmt.Fprintf(&b, "\n  the routes are wrong: %v", x.Invalid)
	case x.Unrouted:
		b.WriteString("\n  nothing: the entity has no route")
	case x.Flush:
		fmt.Fprintf(&b, "\n  everything that the feed covers, poisonous: %v", x.Poison)
	case x.Whole != "":
		x.writeWhole(&b)
	default:
		x.writeReasons(&b)
	}
	return b.String()
}

func (x Explanation) head() string {
	e := x.Event
	entity := e.Entity
	if entity == "" {
		entity = "an unknown entity"
	}
	s := fmt.Sprintf("%s of %s", e.Kind, entity)
	if e.Kind == Update && e.Changed != nil {
		s += fmt.Sprintf(", changed [%s]", strings.Join(e.Changed, " "))
	}
	return s
}

func (x Explanation) writeWhole(b *strings.Builder) {
	for _, name := range x.Names {
		fmt.Fprintf(b, "\n  %s", name)
	}
	poison := ""
	if x.Poison != nil {
		poison = ", poisonous"
	}
	switch {
	case len(x.Names) == 0:
		fmt.Fprintf(b, "\n  nothing: %s", x.Whole)
	case x.Event.Err != nil:
		fmt.Fprintf(b, "\n    All%s: %s: %v", poison, x.Whole, x.Event.Err)
	default:
		fmt.Fprintf(b, "\n    All%s: %s", poison, x.Whole)
	}
}

func (x Explanation) writeReasons(b *strings.Builder) {
	for _, r := range x.Reasons {
		for _, name := range r.Names {
			fmt.Fprintf(b, "\n  %s", name)
		}
		if len(r.Names) == 0 {
			b.WriteString("\n  nothing")
		}
		fmt.Fprintf(b, "\n    %s: %s", r.By, r.Why)
	}
}

// The rest is told by the route as it goes. A nil Explanation hears nothing.

func (x *Explanation) answerAll(why string) {
	if x != nil {
		x.Whole, x.Reasons = why, nil
	}
}

func (x *Explanation) because(by, why string, names ...string) {
	if n := len(x.Reasons); n > 0 && x.Reasons[n-1].By == by && x.Reasons[n-1].Why == why {
		x.Reasons[n-1].Names = append(x.Reasons[n-1].Names, names...)
		return
	}
	x.Reasons = append(x.Reasons, Reason{By: by, Why: why, Names: names})
}

func (x *Explanation) byRow(names []string) {
	if x != nil {
		x.because("Row", "the function says so", names...)
	}
}

func (x *Explanation) byRule(i int, r *rule, name string) {
	if x != nil {
		x.because(ruleName(i), x.counted(r), name)
	}
}

func (x *Explanation) byRuleBytes(i int, r *rule, name []byte) {
	if x != nil {
		x.byRule(i, r, string(name))
	}
}

// counted is why rule r counts for the event.
func (x *Explanation) counted(r *rule) string {
	switch {
	case len(r.when) == 0:
		return "for every change"
	case x.Event.Kind != Update:
		return fmt.Sprintf("for every %s", x.Event.Kind)
	case x.Event.Changed == nil:
		return "what the update changed is unknown"
	}
	return fmt.Sprintf("one of [%s] changed", strings.Join(r.when, " "))
}

func (x *Explanation) unchanged(i int, r *rule) {
	if x != nil {
		x.because(ruleName(i), fmt.Sprintf("none of [%s] changed", strings.Join(r.when, " ")))
	}
}

func (x *Explanation) harmless(i int, lacks string, e *Event) {
	if x == nil {
		return
	}
	why := "the rule is optional, and the update changed none of its columns"
	if e.Kind == Delete {
		why = "the rule is optional, and the row is gone"
	}
	x.because(ruleName(i), fmt.Sprintf("column %q is absent: %s", lacks, why))
}

func ruleName(i int) string { return fmt.Sprintf("Rules[%d]", i) }
