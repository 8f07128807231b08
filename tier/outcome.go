package tier

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"time"
)

// outcomeSlots is how many keys' last reads a pod remembers: about half a megabyte.
const outcomeSlots = 1 << 12

// outcomes remembers what became of recent reads that L1 did not answer, for who asks why. A key has one slot, by its hash, and shares
// it with others: the last one keeps it. A hit of L1 writes nothing here.
type outcomes struct {
	seed  maphash.Seed
	slots [outcomeSlots]outcomeSlot
}

type outcomeSlot struct {
	mu sync.Mutex // guards the fields below
	outcome
	sum uint64 // of the key that has the slot
}

// An outcome is what became of a read of L2 and the source, or of what a Set would have stored.
type outcome struct {
	at        time.Time // when it was known; zero: no read
	took      time.Duration
	from      int    // tierL2 or tierSource
	failure   string // what kind of error it was; "": none
	dead      string // why what L2 had was of no use; "": it had nothing, or it was used
	leased    bool   // loaded with a lease
	shown     bool   // L1 was given it
	refused   string // why a value was not stored in L2; or not at all. "": it was, as far as is known
	refusedAt time.Time
}

// slot returns the slot of a key, locked.
func (o *outcomes) slot(key string) (*outcomeSlot, uint64) {
	sum := maphash.String(o.seed, key)
	s := &o.slots[sum%outcomeSlots]
	s.mu.Lock()
	return s, sum
}

// landed notes what a flight has brought, before its callers hear of it. What was refused since it began is part of that.
func (o *outcomes) landed(f *flight, got fetched, began time.Time) {
	now := time.Now()
	out := outcome{
		at: now, took: now.Sub(began), from: got.from, failure: failureOf(got.err), dead: f.dead,
		leased: got.lease != nil && !got.lease.unfilled,
		shown:  got.err == nil && f.space.usable(got.entry),
	}
	s, sum := o.slot(f.key())
	defer s.mu.Unlock()
	if s.sum == sum && !s.refusedAt.Before(began) {
		out.refused, out.refusedAt = s.refused, s.refusedAt
	}
	s.outcome, s.sum = out, sum
}

// refused notes that a value of key was not stored.
func (o *outcomes) refused(key string, why reason) {
	s, sum := o.slot(key)
	defer s.mu.Unlock()
	if s.sum != sum {
		s.outcome, s.sum = outcome{}, sum
	}
	s.refused, s.refusedAt = reasonTexts[why], time.Now()
}

// of returns what is remembered of key.
func (o *outcomes) of(key string) (outcome, bool) {
	s, sum := o.slot(key)
	defer s.mu.Unlock()
	return s.outcome, s.sum == sum && (!s.at.IsZero() || !s.refusedAt.IsZero())
}

// refuse counts a value of key that is not stored, and remembers why.
func (sp *space) refuse(key string, why reason) {
	sp.stats.refuse(why)
	sp.cache.outcomes.refused(key, why)
}

// failureOf is the kind of a read's error. Its text is the loader's, and may hold what is not for everybody.
func failureOf(err error) string {
	var panicked *PanicError
	switch {
	case err == nil:
		return ""
	case errors.Is(err, ErrCycle):
		return "cycle"
	case errors.Is(err, ErrClosed):
		return "closed"
	case errors.As(err, &panicked):
		return "panic"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	}
	return "error"
}
