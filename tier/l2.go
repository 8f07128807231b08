package tier

import (
	"context"
	"slices"
	"time"

	"github.com/tandem-cache/tandem/local"
	"github.com/tandem-cache/tandem/remote"
)

// admit turns bytes from L2 into an entry, or nil when they are outdated, expired or unreadable and may be replaced. born is
// the guard's number noted before they were read. dead says why, as in metrics. An error says that Redis, which had to be asked, did not
// answer, or was not asked yet.
func (c *Cache) admit(sp *space, id string, raw []byte, born uint64, judge judge) (e *local.Entry, dead string, err error) {
	e, why, err := sp.examine(id, raw, born, judge)
	switch {
	case err != nil:
		return nil, "", err
	case e == nil:
		sp.stats.dead(why)
		return nil, reasonTexts[why], nil
	}
	if sp.usual.mean() == 0 { // once: what another pod's load took
		if env, err := remote.Decode(raw); err == nil {
			sp.usual.guess(env.LoadTime)
		}
	}
	c.guard.Hear(e.Names[0].Tick) // the envelope's: an invalidation by this pod is above it, also where the counter was lost
	return e, "", nil
}

// A judge says whether a value from L2 that stands on names is valid.
type judge func(names []local.Name) (bool, error)

// examine makes bytes from L2 an entry, or says why they are of no use. It counts nothing and leaves no trace, but for a line in the log of a
// value that does not decode.
func (sp *space) examine(id string, raw []byte, born uint64, judge judge) (*local.Entry, reason, error) {
	c := sp.cache
	env, why := sp.open(raw)
	if env == nil {
		return nil, why, nil
	}
	feeds := sp.otherFeeds(env.Names)
	if now := c.now(); !sp.current(now, now-age(env), feeds) {
		return nil, reasonSilent, nil
	}
	names := sp.names(id, env.Tick, env.Names)
	valid, err := judge(names)
	if err != nil {
		return nil, 0, err
	}
	if !valid {
		return nil, reasonInvalidated, nil
	}
	payload, why := sp.unpack(sp.key(id), env)
	if why != 0 {
		return nil, why, nil
	}
	value, err := sp.decodeFound(id, env, payload)
	if err != nil {
		sp.logUndecodable(id, err)
		return nil, reasonUnreadable, nil
	}
	e := local.NewEntry(sp.number, id, value, born, names)
	coverBy(e, feeds)
	sp.noteOriginal(e, payload)
	e.Cost = sp.entryCost(e)
	e.Read = c.now() - age(env)
	if !env.Hard.IsZero() {
		e.Expires = expiry(c.now(), sp.life(env))
	}
	return e, 0, nil
}

// open reads an envelope that this space may use, or says why not.
func (sp *space) open(raw []byte) (*remote.Envelope, reason) {
	env, err := remote.Decode(raw)
	switch {
	case err != nil || env.Codec != sp.format.name && env.Codec != absentCodec || env.Tick > remote.LatestTick():
		return nil, reasonUnreadable
	case env.Schema != sp.schema:
		return nil, reasonSchema
	case !env.Hard.IsZero() && sp.life(env) <= 0, env.Hard.IsZero() && sp.strategy.ttl > 0:
		return nil, reasonExpired
	}
	return env, 0
}

// age is how long ago the source was read, by this pod's clock, and not less than nothing: the pod that wrote it may have a clock
// ahead.
func age(env *remote.Envelope) time.Duration { return max(0, time.Since(env.Written)) }

// life is what remains of an envelope's, by this pod's clock, and never more than the strategy gives: the pod that wrote it may
// have a clock ahead.
func (sp *space) life(env *remote.Envelope) time.Duration {
	left := time.Until(env.Hard)
	if ttl := sp.ttl(env.Codec == absentCodec); ttl > 0 {
		left = min(left, ttl)
	}
	return left
}

// judgeHere is what this pod knows of a value from L2; not known: Redis's table decides.
func (c *Cache) judgeHere(names []local.Name) (valid, known bool) {
	trusted := c.isTrusted()
	switch verdict := c.guard.Judge(names); {
	case verdict == local.Dead:
		return false, true
	case verdict == local.Valid && trusted:
		return true, true
	}
	return false, false
}

// judge decides on a value from L2. What this pod has heard is final; where it may have missed something, Redis's table decides.
//
// A resync may come between the two looks, or after both. It flushes L1 when it has raised the floor: what was judged by the floor of before
// does not stay.
func (c *Cache) judge(ctx context.Context) judge {
	return func(names []local.Name) (bool, error) {
		if valid, known := c.judgeHere(names); known {
			return valid, nil
		}
		valid, err := c.remoteJudge(ctx, [][]local.Name{names})
		return valid[0], err
	}
}

// peek returns the entry of id if one of the tiers has a valid one.
func (sp *space) peek(ctx context.Context, id string) *local.Entry {
	if e := sp.local(id); e != nil {
		return e
	}
	if e := sp.cache.landed(sp, id); e != nil {
		return e
	}
	return sp.peekRemote(ctx, id)
}

// peekRemote returns L2's entry of id if it is valid.
func (sp *space) peekRemote(ctx context.Context, id string) *local.Entry {
	c := sp.cache
	if c.remote == nil || checkID(id) != nil {
		return nil
	}
	born := c.guard.Number()
	raw, err := sp.remoteGet(ctx, id)
	if err != nil || raw == nil {
		return nil
	}
	e, _, err := c.admit(sp, id, raw, born, c.judge(ctx))
	if err != nil || e != nil && sp.overtaken(id, nil, e) {
		return nil
	}
	return e
}

// remoteAcquire asks for leases, which come with one tick.
func (c *Cache) remoteAcquire(ctx context.Context, asks []remote.Ask) []remote.Lease {
	ctx, cancel := c.leaseContext(ctx)
	defer cancel()
	began, heard := time.Now(), c.guard.Heard()
	leases := c.leases.Acquire(ctx, coldLease, asks)
	c.stats.remoteCall(opLease, began, firstError(leases, func(l remote.Lease) error { return l.Err }))
	tick, err := leases[0].Tick, error(nil)
	answered := func(l remote.Lease) bool { return l.Err == nil }
	if tick < heard && slices.ContainsFunc(leases, answered) {
		// The counter was lost and made anew below what this pod has heard. A value filled with that would outlive the
		// invalidations to come.
		tick, err = c.leases.LastTick(ctx, heard)
	}
	c.guard.Hear(tick)
	for i := range leases {
		if leases[i].Tick = tick; err != nil && leases[i].Err == nil {
			leases[i] = remote.Lease{Err: err}
		}
	}
	return leases
}

// remoteRenew returns the holds that are the caller's still, as far as it could be learned.
func (c *Cache) remoteRenew(ctx context.Context, life time.Duration, holds []remote.Hold) (left []remote.Hold) {
	ctx, cancel := c.leaseContext(ctx)
	defer cancel()
	began := time.Now()
	still, err := c.leases.Renew(ctx, life, holds)
	c.stats.remoteCall(opRenew, began, err)
	for i, h := range holds {
		if still[i] {
			left = append(left, h)
		}
	}
	return left
}

// remoteFill stores values, and gives back the leases of those that have none.
func (c *Cache) remoteFill(ctx context.Context, fills []remote.Fill) []remote.Filled {
	if len(fills) == 0 {
		return nil
	}
	ctx, cancel := c.leaseContext(ctx)
	defer cancel()
	began, op := time.Now(), opRelease
	if slices.ContainsFunc(fills, func(f remote.Fill) bool { return f.Value != nil }) {
		op = opFill
	}
	filled := c.leases.Fill(ctx, fills)
	c.stats.remoteCall(op, began, firstError(filled, func(f remote.Filled) error { return f.Err }))
	return filled
}

func firstError[T any](of []T, err func(T) error) error {
	for _, one := range of {
		if err := err(one); err != nil {
			return err
		}
	}
	return nil
}
