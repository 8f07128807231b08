package tier

import (
	"context"
	"fmt"
	"iter"
	"time"
)

// DefaultKeyRate is a [KeyQuery]'s Rate: a million keys take 100 s, and 500 s where Delete invalidates each.
const DefaultKeyRate = 10_000

// A KeyQuery says which keys an operation is about, and how fast it goes. Only Pattern is required.
//
// An operation looks at this pod's L1, and walks through all keys of the Redis, other caches' too, with SCAN on every master: a page of
// about 20, then a pause, in the caller's goroutine. It remembers a page, and 8 bytes for each entry of L1. A key that is there all
// the time is found; one that comes or goes meanwhile may be. Redis may show a key twice while it makes its own table larger or smaller, or
// moves slots: counts are exact but for that. A call that fails is tried three times, and then ends the operation; so does a Redis that
// was restarted or replaced in the middle.
type KeyQuery struct {
	// Pattern is what a key, domain:type:identifier, has to match as a whole, and in a space the identifier: '*' is any number of any
	// bytes, colons too, '?' is any one; all else is itself. "*" is every key; "orders:*" is a domain. An identifier that has '*' or
	// '?' in it goes through [QuotePattern]. It never reaches another cache, nor what is no entry: leases, the counter, tables.
	Pattern string

	// Rate is how many keys of Redis are looked at in a second at most, on all masters together. One that Delete invalidates by itself
	// counts as five. Zero: DefaultKeyRate.
	Rate int

	// Sample makes Usage ask Redis about each n-th key that matches, and estimate the others. Zero or one: about each. The other operations
	// take no samples.
	Sample int

	// Progress, unless nil, is called in the caller's goroutine, about ten times a second while L2 is walked through, and at its end.
	Progress func(KeyProgress)
}

// A KeyProgress is how far an operation has come in L2.
type KeyProgress struct {
	Looked int // keys of Redis that were looked at, about, other caches' too
	Total  int // of as many
	Found  int // entries that matched and were dealt with
}

// A KeyInfo describes an entry in one tier. One that is in both is there twice.
type KeyInfo struct {
	Space string        // domain:type
	ID    string        // the identifier in it; Key(Space, ID) is its name for Invalidate
	Tier  Tier          // TierL1: in this pod, and valid; TierL2: in Redis, valid or outdated by a tag, its space or its feed
	Age   time.Duration // since its source was read; in L2 0 where a newer version of this package wrote it
	TTL   time.Duration // until it is gone; 0: it does not expire
	Size  int64         // bytes: in L1 as Config.L1Bytes counts them, in L2 of Redis's memory
}

// String returns domain:type:identifier.
func (k KeyInfo) String() string { return k.Space + ":" + k.ID }

// A KeyCount is how many entries there are, or were deleted. One that is in both tiers counts in both.
type KeyCount struct {
	L1 int // of this pod, valid ones
	L2 int // in Redis, valid or outdated by a tag, their space or their feed
}

// A KeyUsage is what entries take.
type KeyUsage struct {
	L1, L2   MemoryUsage
	Measured int // entries in L2 that Redis was asked about; below L2.Keys, L2 is an estimate
}

// A MemoryUsage is what entries take in one tier.
type MemoryUsage struct {
	Keys  int
	Bytes int64
}

// Keys yields the entries that match, first those in this pod's L1, then those in L2, in no order. An error is the last it yields: ctx's when that
// ends, what is wrong in q, or Redis's. With L1 alone there are only its own.
func (c *Cache) Keys(ctx context.Context, q KeyQuery) iter.Seq2[KeyInfo, error] {
	return c.keys(ctx, q, "")
}

// Count counts the entries that match. With an error, it is how many were counted before it.
func (c *Cache) Count(ctx context.Context, q KeyQuery) (KeyCount, error) { return c.count(ctx, q, "") }

// Usage measures the memory that the entries that match take. With an error, it is what was measured before it.
func (c *Cache) Usage(ctx context.Context, q KeyQuery) (KeyUsage, error) { return c.usage(ctx, q, "") }

// Delete outdates the entries that match, on every pod, and removes them from Redis. It returns how many it found, and with an error
// how many before it: call it again.
//
// A space all of whose keys the pattern matches, as "*" or "orders:*" do, is flushed by its name first, which reaches whatever any pod
// holds or loads. A narrower pattern, such as "orders:account:jp_*", reaches what is in L2 or in this pod's L1, as Invalidate does it for each
// key: an entry that Redis has evicted and another pod still has in its L1 stays there. Where that matters, flush the space. A space that this pod
// has not opened is flushed when a key of it is found in L2.
func (c *Cache) Delete(ctx context.Context, q KeyQuery) (KeyCount, error) {
	return c.delete(ctx, q, "")
}

// Keys is [Cache.Keys] in this space: the pattern is over identifiers.
func (s *Space[V]) Keys(ctx context.Context, q KeyQuery) iter.Seq2[KeyInfo, error] {
	return s.core.cache.keys(ctx, q, s.core.name)
}

// Count is [Cache.Count] in this space: the pattern is over identifiers.
func (s *Space[V]) Count(ctx context.Context, q KeyQuery) (KeyCount, error) {
	return s.core.cache.count(ctx, q, s.core.name)
}

// Usage is [Cache.Usage] in this space: the pattern is over identifiers.
func (s *Space[V]) Usage(ctx context.Context, q KeyQuery) (KeyUsage, error) {
	return s.core.cache.usage(ctx, q, s.core.name)
}

// Delete is [Cache.Delete] in this space: the pattern is over identifiers. With "*" it is Flush that frees Redis's memory too.
func (s *Space[V]) Delete(ctx context.Context, q KeyQuery) (KeyCount, error) {
	return s.core.cache.delete(ctx, q, s.core.name)
}

func (c *Cache) keys(ctx context.Context, q KeyQuery, within string) iter.Seq2[KeyInfo, error] {
	return func(yield func(KeyInfo, error) bool) {
		stopped := false
		show := func(k KeyInfo) bool {
			stopped = !yield(k, nil)
			return !stopped
		}
		if err := c.eachKey(ctx, q, within, show); err != nil && !stopped {
			yield(KeyInfo{}, fmt.Errorf("tier: keys %s: %w", shown(q.Pattern), err))
		}
	}
}

// eachKey shows entries until show is false.
func (c *Cache) eachKey(ctx context.Context, q KeyQuery, within string, show func(KeyInfo) bool) error {
	w, err := c.newWalk(q, within)
	if err != nil {
		return err
	}
	for local, err := range w.valid(ctx) {
		if err != nil || !show(local.info()) {
			return err
		}
	}
	for page, err := range w.pages(ctx) {
		if err != nil {
			return err
		}
		values, err := w.describe(ctx, page)
		if err != nil {
			return err
		}
		for _, v := range values {
			space, id, _ := splitKey(v.Key)
			k := KeyInfo{Space: space, ID: id, Tier: TierL2, TTL: v.TTL, Size: v.Size}
			if !v.Written.IsZero() {
				k.Age = max(0, time.Since(v.Written))
			}
			if !show(k) {
				return nil
			}
		}
	}
	return nil
}

func (c *Cache) count(ctx context.Context, q KeyQuery, within string) (n KeyCount, err error) {
	defer func() { err = keysError("count", q, err) }()
	w, err := c.newWalk(q, within)
	if err != nil {
		return n, err
	}
	if n.L1, err = w.countValid(ctx); err != nil {
		return n, err
	}
	for page, err := range w.pages(ctx) {
		if err != nil {
			return n, err
		}
		values, err := w.values(ctx, page)
		if err != nil {
			return n, err
		}
		n.L2 += len(values)
	}
	return n, nil
}

func (c *Cache) usage(ctx context.Context, q KeyQuery, within string) (u KeyUsage, err error) {
	defer func() { err = keysError("usage of", q, err) }()
	w, err := c.newWalk(q, within)
	if err != nil {
		return u, err
	}
	for local, err := range w.valid(ctx) {
		if err != nil {
			return u, err
		}
		u.L1.Keys++
		u.L1.Bytes += local.entry.Size()
	}
	step := max(1, q.Sample)
	found, asked, bytes := 0, 0, int64(0) // keys that matched, those asked about, and what those take
	for page, err := range w.pages(ctx) {
		if err != nil {
			return u, err
		}
		var chosen []string
		for _, key := range page {
			if found%step == 0 {
				chosen = append(chosen, key)
			}
			found++
		}
		values, err := w.describe(ctx, chosen)
		if err != nil {
			return u, err
		}
		asked += len(chosen)
		for _, v := range values {
			u.Measured++
			bytes += v.Size
		}
		if asked > 0 { // what was not asked about is like the rest: in part markers, too
			share := float64(found) / float64(asked)
			u.L2 = MemoryUsage{Keys: int(share*float64(u.Measured) + 0.5), Bytes: int64(share*float64(bytes) + 0.5)}
		}
	}
	return u, nil
}

func keysError(op string, q KeyQuery, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("tier: %s keys %s: %w", op, shown(q.Pattern), err)
}
