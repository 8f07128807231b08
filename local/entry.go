package local

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
)

// NoExpiry is an Entry's Expires when it lives until it is invalidated.
const NoExpiry time.Duration = math.MaxInt64

// A Name is something that an entry stands on: its key, its space, a tag.
type Name struct {
	Text string
	Tick uint64 // the value reflects every invalidation of Text up to and including this tick
	hash uint64
}

// NewName returns the name with its hash.
func NewName(text string, tick uint64) Name {
	return Name{Text: text, Tick: tick, hash: xxhash.Sum64String(text)}
}

// At returns the name at another tick.
func (n Name) At(tick uint64) Name {
	n.Tick = tick
	return n
}

// An Entry is a decoded value in L1. Its fields do not change after the entry was handed to a [Store].
//
// What a hit reads comes first, and the entry has the size of two cache lines, so that a hit in a large L1 waits for memory
// once for it.
type Entry struct {
	sum uint64 // of space and identifier, beside the hash that finds the entry

	// verified is the guard's number up to which the entry is known to be valid. It moves forward when a check passes.
	// Two checks may store in either order; the lower number costs a check more and is otherwise as true.
	verified atomic.Uint64

	Expires time.Duration // on the caller's monotonic clock; NoExpiry for none
	Value   any           // shared by all readers

	Names []Name        // what it stands on
	ID    string        // the identifier inside the space
	Cost  int64         // bytes, as the store counts them
	Read  time.Duration // when the source was read, on the caller's monotonic clock
	Extra any           // the caller's; nil for nearly all entries
	Space uint32        // the caller's number of the space

	_ [12]byte // to 128 bytes
}

// NewEntry returns an entry that was read after the guard's number born was noted.
func NewEntry(space uint32, id string, value any, born uint64, names []Name) *Entry {
	e := &Entry{Space: space, ID: id, Value: value, Names: names, Expires: NoExpiry}
	e.verified.Store(born)
	return e
}

// Outdate makes e dead for a guard that has flushed at least once, whatever its names say: something newer was read. A check under way may
// still pass, none that begins later does.
func (e *Entry) Outdate() { e.verified.Store(0) }

// Verified is the guard's number up to which the entry is known to be valid.
func (e *Entry) Verified() uint64 { return e.verified.Load() }
