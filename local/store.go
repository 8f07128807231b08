package local

import (
	"fmt"
	"hash/maphash"
	"iter"
	"sync/atomic"

	"github.com/dgraph-io/ristretto/v2"
)

// entryOverhead is what an entry costs beside its value, in bytes: the entry, its key in ristretto's maps and counters.
const entryOverhead = 224

// Size is what e takes in a [Store], in bytes.
func (e *Entry) Size() int64 { return e.Cost + entryOverhead }

// A Store holds entries up to a total cost. It evicts by ristretto's TinyLFU; it never asks whether an entry is valid.
//
// Ristretto applies sets in the background: one is visible at some time after [Store.Set], or dropped when too many come at
// once. After [Store.Wait] every earlier Set is visible or gone for good.
type Store struct {
	cache    *ristretto.Cache[uint64, *Entry]
	capacity int64
	usages   usages
	seeds    [2]maphash.Seed // secret, so that nobody can choose identifiers that collide

	closed atomic.Bool
}

// NewStore returns a store for entries of maxCost bytes in all.
func NewStore(maxCost int64) (*Store, error) {
	s := &Store{capacity: maxCost, seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
	cache, err := ristretto.NewCache(&ristretto.Config[uint64, *Entry]{
		NumCounters:        max(1<<12, maxCost/100), // ten for each entry of 1 KB
		MaxCost:            maxCost,
		BufferItems:        64,
		IgnoreInternalCost: true,                                            // counted in entryOverhead
		KeyToHash:          func(h uint64) (uint64, uint64) { return h, 0 }, // h is a hash already; Get compares another
		OnExit:             func(e *Entry) { s.usages.left(e) },
		OnEvict:            func(i *ristretto.Item[*Entry]) { s.usages.evicted(i.Value) },
		OnReject:           func(i *ristretto.Item[*Entry]) { s.usages.rejected(i.Value) },
	})
	if err != nil {
		return nil, fmt.Errorf("local: a store of %d bytes: %w", maxCost, err)
	}
	s.cache = cache
	return s, nil
}

// Get returns the entry of id in space, or nil. Identifiers are told apart by two independent hashes of 64 bits, as ristretto
// does: comparing the identifier itself would wait for memory once more.
//
// Ristretto's Close panics in a Get that runs beside it: that Get finds nothing, and later ones don't reach it.
func (s *Store) Get(space uint32, id string) (found *Entry) {
	if s.closed.Load() {
		return nil
	}
	defer func() {
		if s.closed.Load() {
			_ = recover()
		}
	}()
	e, ok := s.cache.Get(s.hash(space, id))
	if !ok || e.sum != s.sum(space, id) {
		return nil
	}
	return e
}

// Has says whether there is an entry for the hash of id in space. Unlike Get it is no use of the entry, which the policy would
// count: who asks because the entry was invalidated must not make it look popular.
func (s *Store) Has(space uint32, id string) bool {
	_, ok := s.cache.GetTTL(s.hash(space, id))
	return ok
}

// Set stores e, later, if the policy admits it.
func (s *Store) Set(e *Entry) bool {
	e.sum = s.sum(e.Space, e.ID)
	s.usages.came(e) // before: it may leave at any time
	if !s.cache.Set(s.hash(e.Space, e.ID), e, e.Size()) {
		s.usages.left(e)
		return false
	}
	return true
}

// Capacity is the total cost up to which the store holds entries.
func (s *Store) Capacity() int64 { return s.capacity }

// Usage returns what the entries of a space take.
func (s *Store) Usage(space uint32) Usage { return s.usages.of(space).read() }

// Delete removes the entry of id in space. It may block while ristretto is behind with its sets.
func (s *Store) Delete(space uint32, id string) { s.cache.Del(s.hash(space, id)) }

// All yields the entries that are there when it begins, valid or not, each once. It is no use of them, which the policy would count.
//
// It gathers them first, since ristretto holds a lock while it shows them: 8 bytes for each, and one that is evicted meanwhile stays
// in memory until it was yielded.
func (s *Store) All() iter.Seq[*Entry] {
	return func(yield func(*Entry) bool) {
		var entries []*Entry
		s.cache.IterValues(func(e *Entry) (stop bool) {
			entries = append(entries, e)
			return false
		})
		for i, e := range entries {
			entries[i] = nil
			if !yield(e) {
				return
			}
		}
	}
}

// Wait returns when every earlier Set is visible or dropped. It must not be called after Close.
func (s *Store) Wait() { s.cache.Wait() }

// Close frees the store. Get finds nothing afterwards.
func (s *Store) Close() {
	s.closed.Store(true)
	s.cache.Close()
}

func (s *Store) hash(space uint32, id string) uint64 {
	return maphash.String(s.seeds[0], id) ^ (uint64(space)+1)*0x9e3779b97f4a7c15
}

func (s *Store) sum(space uint32, id string) uint64 {
	return maphash.String(s.seeds[1], id) + uint64(space)
}
