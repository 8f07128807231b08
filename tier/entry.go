package tier

import (
	"context"
	"time"

	"github.com/tandem-cache/tandem/local"
)

// A Tier is where a value was found.
type Tier string

// The tiers.
const (
	TierL1     Tier = "l1"
	TierL2     Tier = "l2"
	TierSource Tier = "source"
)

// tiers are those that answer a flight.
var tiers = [...]Tier{tierL2: TierL2, tierSource: TierSource}

// An Entry is a value with its freshness, as of the moment it was returned.
type Entry[V any] struct {
	Value V
	Tier  Tier          // the one that answered; of callers who share a read, all have the same
	Age   time.Duration // since the source was read; of what was made from other entries, since the oldest was
	TTL   time.Duration // what is left of its life, which a silent feed shortens to FallbackTTL; 0: no bound, or not cached

	// Stale says that the value was good when the read began and is not any more: it was invalidated, or expired, while it was read, or this
	// pod can no longer tell. The next read gets another. It says nothing of what this pod has not heard yet: another pod's
	// invalidation may be MaxStaleness old.
	Stale bool
}

// Entry is Get for who wants to know how fresh the value is. Beside [ErrNotFound] the entry is that of the remembered absence; beside another
// error it is zero.
func (s *Space[V]) Entry(ctx context.Context, id string) (Entry[V], error) {
	if s.load == nil {
		return Entry[V]{}, s.core.noLoader(id)
	}
	e, from, err := s.core.entry(ctx, id, s.load)
	if err != nil {
		return Entry[V]{}, err
	}
	entry := Entry[V]{Tier: from}
	entry.Age, entry.TTL, entry.Stale = s.core.freshness(e)
	entry.Value, err = s.value(e)
	return entry, err
}

func (sp *space) entry(ctx context.Context, id string, load loader) (*local.Entry, Tier, error) {
	if sp.cache.inLoad(ctx) {
		return sp.nested(ctx, id, load)
	}
	if e := sp.hit(id); e != nil {
		return e, TierL1, nil
	}
	return sp.read(ctx, id, load)
}

// uncached is the Expires of an entry that serves those who waited for it, and was never to be kept.
const uncached time.Duration = 0

// freshness is what an [Entry] says of e.
func (sp *space) freshness(e *local.Entry) (age, ttl time.Duration, stale bool) {
	c := sp.cache
	now := c.now()
	age = max(0, now-e.Read)
	left := sp.left(e, now)
	stale = left <= 0 || c.guard.Look(e).Verdict != local.Valid && c.guard.Judge(e.Names) != local.Valid
	if stale || left == local.NoExpiry || e.Expires == uncached {
		return age, 0, stale
	}
	return age, left, false
}

// left is what remains of an entry's life: of its TTL's, or while one of its feeds is silent, of FallbackTTL's. NoExpiry: no bound.
func (sp *space) left(e *local.Entry, now time.Duration) time.Duration {
	left := local.NoExpiry
	if e.Expires != local.NoExpiry && e.Expires != uncached {
		left = e.Expires - now
	}
	fallback := sp.cache.cfg.FallbackTTL
	if fed := sp.current(now, now-fallback, extraOf(e).otherFeeds()); !fed { // as of an entry too old for any but a fresh feed
		left = min(left, fallback-(now-e.Read))
	}
	return left
}
