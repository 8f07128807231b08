package cdc

import (
	"fmt"
	"time"
)

// Kind says what happened to the rows of an Event.
type Kind uint8

// The kinds of change. Any other value is treated as Whole.
const (
	Insert Kind = iota + 1
	Update
	Delete
	Whole // the entity as a whole: a truncate, or a change that can't be attributed to rows
)

// String returns the kind in lower case.
func (k Kind) String() string {
	switch k {
	case Insert:
		return "insert"
	case Update:
		return "update"
	case Delete:
		return "delete"
	case Whole:
		return "whole"
	default:
		return fmt.Sprintf("kind(%d)", uint8(k))
	}
}

// Row is one version of a row: column → value as text. Columns that are NULL,
// and columns that the source didn't deliver, are absent.
type Row map[string]string

// Must returns the value of column. If the column is absent it panics with a
// *MissingColumnError, which the follower answers by invalidating the entity as
// a whole. In a Route it is the safe way to read a column: r["account"] would be
// "" in a row that came without it, and the name made of that outdates nothing.
func (r Row) Must(column string) string {
	value, ok := r[column]
	if !ok {
		panic(&MissingColumnError{Column: column})
	}
	return value
}

// MissingColumnError is what Row.Must panics with.
type MissingColumnError struct {
	Column string // the column that the row lacks
}

// Error names the column.
func (e *MissingColumnError) Error() string {
	return fmt.Sprintf("cdc: column %q is absent: it is NULL, or the source doesn't deliver it for this kind of change", e.Column)
}

// Event is one change.
type Event struct {
	// Entity is what changed, in the source's words, such as "public.orders". Empty:
	// the source can't tell, and the whole feed is flushed.
	Entity string
	Kind   Kind
	// Rows holds every version of the row that identifies something outdated:
	// the new one, and the old one where it is delivered (both when the key
	// changed). An event without rows is treated as Whole.
	Rows []Row
	// Changed names the columns that an Update changed; a part of a compound column
	// reads "column.part". Nil: unknown, any may have.
	Changed []string
	// Transaction is the same in all events of one transaction, and in no others
	// next to them. Empty: unknown.
	Transaction string
	// Err says why the source could not read the change. It is counted as poisonous
	// and treated as Whole.
	Err error
}

// Batch is a run of events in commit order. The follower owns it after Next.
type Batch struct {
	Events []Event
	// Position lies after these events and all before them. Empty: the position
	// hasn't changed, as inside a big transaction. A batch without events may
	// carry a position: progress through changes that concern nobody.
	Position string
	// Oldest and Committed are when the first and the last change of the batch
	// were committed, by the source's clock. Zero: unknown, or no change.
	Oldest, Committed time.Time
	// Lost says that changes before this batch may be missing. The follower
	// flushes the feed before it does anything else with the batch, and reads the
	// source on when the batch is acknowledged.
	Lost bool
}
