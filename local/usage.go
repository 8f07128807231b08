package local

import (
	"sync"
	"sync/atomic"
)

// A Usage is what the entries of one space take in a [Store], those on their way included.
type Usage struct {
	Bytes     int64  // as Entry.Size counts them
	Entries   int64  // valid or not
	Evictions uint64 // entries that made room for others
	Rejected  uint64 // entries that were not worth the room
}

// usage counts for one space.
type usage struct {
	bytes, entries      atomic.Int64
	evictions, refusals atomic.Uint64
}

func (u *usage) read() Usage {
	return Usage{Bytes: max(0, u.bytes.Load()), Entries: max(0, u.entries.Load()), Evictions: u.evictions.Load(), Rejected: u.refusals.Load()}
}

// usages has a usage for each space that an entry came from.
type usages struct {
	mu      sync.RWMutex // guards bySpace
	bySpace []*usage
}

func (u *usages) of(space uint32) *usage {
	u.mu.RLock()
	if int(space) < len(u.bySpace) {
		defer u.mu.RUnlock()
		return u.bySpace[space]
	}
	u.mu.RUnlock()
	u.mu.Lock()
	defer u.mu.Unlock()
	for int(space) >= len(u.bySpace) {
		u.bySpace = append(u.bySpace, new(usage))
	}
	return u.bySpace[space]
}

func (u *usages) came(e *Entry) {
	of := u.of(e.Space)
	of.bytes.Add(e.Size())
	of.entries.Add(1)
}

// left may be told of nothing: ristretto does so when it deletes what is not there.
func (u *usages) left(e *Entry) {
	if e == nil {
		return
	}
	of := u.of(e.Space)
	of.bytes.Add(-e.Size())
	of.entries.Add(-1)
}

func (u *usages) evicted(e *Entry) {
	if e != nil {
		u.of(e.Space).evictions.Add(1)
	}
}

func (u *usages) rejected(e *Entry) {
	if e != nil {
		u.of(e.Space).refusals.Add(1)
	}
}
