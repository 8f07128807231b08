package tier

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/tandem-cache/tandem/local"
	"github.com/tandem-cache/tandem/remote"
)

const (
	keyTries   = 3                      // of a call that fails, before an operation on keys ends
	keyTelling = 100 * time.Millisecond // between two calls of KeyQuery.Progress
)

// A keyWalk is one operation on keys.
type keyWalk struct {
	cache    *Cache
	query    KeyQuery
	pattern  pattern
	due      time.Time // when the next page may be read
	progress KeyProgress
	told     time.Time
}

func (c *Cache) newWalk(q KeyQuery, within string) (*keyWalk, error) {
	p, err := parsePattern(q.Pattern, within)
	errs := []error{err}
	if q.Rate < 0 {
		errs = append(errs, fmt.Errorf("KeyQuery.Rate is %d: it must be positive", q.Rate))
	}
	if q.Sample < 0 {
		errs = append(errs, fmt.Errorf("KeyQuery.Sample is %d: it must be positive", q.Sample))
	}
	if c.flights.isClosed() {
		errs = append(errs, ErrClosed)
	}
	q.Rate = cmp.Or(q.Rate, DefaultKeyRate)
	return &keyWalk{cache: c, query: q, pattern: p}, errors.Join(errs...)
}

// A localKey is an entry of this pod.
type localKey struct {
	space *space
	entry *local.Entry
}

func (k localKey) info() KeyInfo {
	e, now := k.entry, k.space.cache.now()
	info := KeyInfo{Space: k.space.name, ID: e.ID, Tier: TierL1, Age: now - e.Read, Size: e.Size()}
	if e.Expires != local.NoExpiry {
		info.TTL = max(1, e.Expires-now) // 0 says that there is none
	}
	return info
}

// locals yields the entries of this pod that match, valid or not.
func (w *keyWalk) locals(ctx context.Context) iter.Seq2[localKey, error] {
	return func(yield func(localKey, error) bool) {
		for e := range w.cache.store.All() {
			if ctx.Err() != nil {
				yield(localKey{}, context.Cause(ctx))
				return
			}
			sp := w.cache.spaceNumbered(e.Space)
			if w.pattern.match(sp.key(e.ID)) && !yield(localKey{sp, e}, nil) {
				return
			}
		}
	}
}

// valid yields those of locals that a Get would return.
func (w *keyWalk) valid(ctx context.Context) iter.Seq2[localKey, error] {
	return func(yield func(localKey, error) bool) {
		for k, err := range w.locals(ctx) {
			if (err != nil || k.space.usable(k.entry)) && !yield(k, err) {
				return
			}
		}
	}
}

func (w *keyWalk) countValid(ctx context.Context) (n int, err error) {
	for _, err := range w.valid(ctx) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func (c *Cache) spaceNumbered(number uint32) *space {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.spaces[number]
}

// pages yields the keys in L2 that match, of values and of markers, a page at a time and no faster than the query's rate.
func (w *keyWalk) pages(ctx context.Context) iter.Seq2[[]string, error] {
	return func(yield func([]string, error) bool) {
		for keys, err := range w.scan(ctx, w.pattern.glob()) {
			if !yield(w.matching(keys), err) || err != nil {
				return
			}
		}
	}
}

// scan yields the keys in L2 that Redis matches with glob, tandem's own too, a page at a time and no faster than the query's rate.
func (w *keyWalk) scan(ctx context.Context, glob string) iter.Seq2[[]string, error] {
	return func(yield func([]string, error) bool) {
		if w.cache.remote == nil {
			return
		}
		scanner := w.cache.remote.Scanner(glob)
		for more := true; more; {
			if err := w.pause(ctx, remote.ScanCount); err != nil {
				yield(nil, err)
				return
			}
			var keys []string
			err := w.ask(ctx, func(ctx context.Context) (err error) {
				keys, more, err = scanner.Next(ctx)
				return err
			})
			if !yield(keys, err) || err != nil {
				return
			}
			w.progress.Looked, w.progress.Total = scanner.Progress()
			w.tell(!more)
		}
	}
}

// matching keeps of keys those of entries that match. Redis leaves out most others.
func (w *keyWalk) matching(keys []string) []string {
	kept := keys[:0]
	for _, key := range keys {
		space, id, err := splitKey(key)
		if err == nil && checkSpaceName(space) == nil && checkID(id) == nil && w.pattern.match(key) {
			kept = append(kept, key)
		}
	}
	return kept
}

// values returns those of keys that hold a value, which it counts as found.
func (w *keyWalk) values(ctx context.Context, keys []string) (values []string, err error) {
	if len(keys) == 0 {
		return nil, nil
	}
	err = w.ask(ctx, func(ctx context.Context) (err error) {
		values, err = w.cache.remote.Values(ctx, keys)
		return err
	})
	w.progress.Found += len(values)
	return values, err
}

// describe describes those of keys that hold a value, which it counts as found.
func (w *keyWalk) describe(ctx context.Context, keys []string) (values []remote.ValueInfo, err error) {
	if len(keys) == 0 {
		return nil, nil
	}
	err = w.ask(ctx, func(ctx context.Context) (err error) {
		values, err = w.cache.remote.Describe(ctx, keys)
		return err
	})
	w.progress.Found += len(values)
	return values, err
}

// pause waits until count keys more may be looked at. Time that was lost, to a slow Redis or a slow caller, is not made up for.
func (w *keyWalk) pause(ctx context.Context, count int) error {
	if wait := time.Until(w.due); wait > 0 {
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	} else {
		w.due = time.Now()
	}
	w.due = w.due.Add(time.Duration(count) * time.Second / time.Duration(w.query.Rate))
	return nil
}

// ask makes a call to Redis.
func (w *keyWalk) ask(ctx context.Context, call func(context.Context) error) error {
	return w.insist(ctx, func(ctx context.Context) error {
		ctx, cancel := w.cache.remoteContext(ctx)
		defer cancel()
		began := time.Now()
		err := call(ctx)
		w.cache.stats.remoteCall(opScan, began, err)
		return err
	})
}

// insist calls until there is no error, keyTries times at most. What it calls must bear to be done twice.
func (w *keyWalk) insist(ctx context.Context, call func(context.Context) error) error {
	for try := 1; ; try++ {
		if w.cache.flights.isClosed() {
			return ErrClosed
		}
		err := call(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case try == keyTries:
			return err
		}
		if err := sleep(ctx, w.cache.cfg.RemoteTimeout); err != nil {
			return err
		}
	}
}

// sleep waits, or returns why ctx ended.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (w *keyWalk) tell(last bool) {
	if now := time.Now(); w.query.Progress != nil && (last || now.Sub(w.told) >= keyTelling) {
		w.told = now
		w.query.Progress(w.progress)
	}
}
