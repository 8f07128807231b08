package cdc

import (
	"fmt"
	"slices"
	"strings"
)

// router is Routes, made ready for use. It doesn't change.
type router map[string]*route

// route is a Route, made ready.
type route struct {
	rules []rule
	row   func(Row) []string
	all   []string
}

// rule is a Rule, made ready.
type rule struct {
	names    []template
	columns  []string // that stand in names
	when     []string
	optional bool
}

// answer is how an event of a route is answered.
type answer struct {
	rows int   // whose names were added, one by one; 0: All was, or there was nothing to add
	err  error // not nil: the event is poisonous, and All was added
}

// names adds to out what e outdates. x, if it isn't nil, is told why.
func (r *route) names(e *Event, out *nameSet, x *Explanation) answer {
	if why := r.whole(e); why != "" {
		x.answerAll(why)
		out.add(r.all)
		return answer{err: e.Err}
	}
	before := len(out.list)
	rows, err := r.perRow(e, out, x)
	if err != nil {
		x.answerAll(err.Error())
		out.truncate(before)
		out.add(r.all)
		return answer{err: err}
	}
	return answer{rows: rows}
}

// whole is why e outdates All; "": its rows tell.
func (r *route) whole(e *Event) string {
	switch {
	case e.Err != nil:
		return "the source could not read it"
	case e.Kind != Insert && e.Kind != Update && e.Kind != Delete:
		return "it is of the entity as a whole"
	case len(e.Rows) == 0:
		return "it has no rows"
	case len(r.rules) == 0 && r.row == nil:
		return "its route has neither Rules nor Row"
	}
	return ""
}

// perRow adds the names that the rows of e give, and counts the rows if any does.
func (r *route) perRow(e *Event, out *nameSet, x *Explanation) (rows int, err error) {
	for i := range r.rules {
		gives, err := r.rules[i].add(e, i, out, x)
		if err != nil {
			return 0, err
		}
		if gives {
			rows = len(e.Rows)
		}
	}
	if r.row == nil {
		return rows, nil
	}
	for _, row := range e.Rows {
		names, err := r.rowNames(row)
		if err != nil {
			return 0, err
		}
		if len(names) > 0 {
			rows = len(e.Rows)
		}
		x.byRow(names)
		out.add(names)
	}
	return rows, nil
}

// rowNames calls Row and turns its panic into an error. The text of a panic may hold values of the row, so that only errors are passed on.
func (r *route) rowNames(row Row) (names []string, err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case error:
			err = fmt.Errorf("cdc: Route.Row panicked: %w", p)
		default:
			err = fmt.Errorf("cdc: Route.Row panicked with a %T", p)
		}
	}()
	return r.row(row), nil
}

// add adds what the rows of e outdate by this rule, the i-th of its route. gives: it is something.
func (r *rule) add(e *Event, i int, out *nameSet, x *Explanation) (gives bool, err error) {
	if !r.counts(e) {
		x.unchanged(i, r)
		return false, nil
	}
	for _, row := range e.Rows {
		lacks := r.lacks(row)
		switch {
		case lacks == "":
			gives = true
			r.addRow(row, i, out, x)
		case r.optional && r.harmless(e):
			x.harmless(i, lacks, e)
		default:
			return false, fmt.Errorf("cdc: Rules[%d]: %w", i, &MissingColumnError{Column: lacks})
		}
	}
	return gives, nil
}

// counts says whether e can outdate something by this rule.
func (r *rule) counts(e *Event) bool {
	return len(r.when) == 0 || e.Kind != Update || e.Changed == nil || anyChanged(e.Changed, r.when)
}

// harmless says that e left what this rule is about as it was, though a row lacks one of its columns. The columns in When are looked at too: a
// list of an account's orders by status is outdated by a new status, and when the account didn't come with it, nobody knows whose list.
func (r *rule) harmless(e *Event) bool {
	return e.Kind == Delete || e.Kind == Update && e.Changed != nil && !anyChanged(e.Changed, r.columns) && !anyChanged(e.Changed, r.when)
}

// lacks returns a column that the row doesn't have; "": it has all.
func (r *rule) lacks(row Row) string {
	for _, column := range r.columns {
		if _, ok := row[column]; !ok {
			return column
		}
	}
	return ""
}

// addRow adds the names of one row, which has all columns.
func (r *rule) addRow(row Row, i int, out *nameSet, x *Explanation) {
	for k := range r.names {
		t := &r.names[k]
		if len(t.pieces) == 0 {
			x.byRule(i, r, t.tail)
			out.addOne(t.tail)
			continue
		}
		var differs bool
		out.buf, differs = t.appendEscaped(out.buf[:0], row)
		x.byRuleBytes(i, r, out.buf)
		out.addBytes(out.buf)
		if differs { // who made the entry may have used the value as it is
			out.buf = t.appendRaw(out.buf[:0], row)
			x.byRuleBytes(i, r, out.buf)
			out.addBytes(out.buf)
		}
	}
}

// anyChanged says whether one of columns is among changed.
func anyChanged(changed, columns []string) bool {
	for _, c := range changed {
		if slices.ContainsFunc(columns, func(column string) bool { return sameColumn(c, column) }) {
			return true
		}
	}
	return false
}

// sameColumn says whether a and b are one column, or one is a part of the other.
func sameColumn(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	return strings.HasPrefix(b, a) && (len(a) == len(b) || b[len(a)] == '.')
}
