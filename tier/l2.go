package tier

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tandem-cache/tandem/local"
	"github.com/tandem-cache/tandem/remote"
)

// admit turns bytes from L2 into an entry, or nil when they are outdated, expired or unreadable and may be replaced. born is
// the guard's number noted before they were read. An error says that Redis, which had to be asked, did not answer.
func (c *Cache) admit(ctx context.Context, sp *space, id string, raw []byte, born uint64) (*local.Entry, error) {
	env, why := sp.open(raw)
	if env == nil {
		sp.stats.dead(why)
		return nil, nil
	}
	extra := sp.extraFor(env.Names)
	if now := c.now(); !sp.current(now, now-age(env), extraOf(extra)) {
		sp.stats.dead(reasonSilent)
		return nil, nil
	}
	names := sp.names(id, env.Tick, env.Names)
	valid, err := c.judge(ctx, names)
	if err != nil {
		return nil, err
	}
	if !valid {
		sp.stats.dead(reasonInvalidated)
		return nil, nil
	}
	value, err := sp.decodeValue(id, env)
	if err != nil {
		sp.stats.dead(reasonUnreadable)
		return nil, nil
	}
	c.guard.Hear(env.Tick) // an invalidation by this pod is above it, also where the counter was lost
	e := local.NewEntry(sp.number, id, value, born, names)
	e.Extra = extra
	e.Cost = entryCost(e, len(env.Payload))
	e.Read = c.now() - age(env)
	if !env.Hard.IsZero() {
		e.Expires = expiry(c.now(), sp.life(env))
	}
	return e, nil
}

// open reads an envelope that this space may use, or says why not.
func (sp *space) open(raw []byte) (*remote.Envelope, reason) {
	env, err := remote.Decode(raw)
	switch {
	case err != nil || env.Codec != remote.CodecName && env.Codec != absentCodec || env.KeyID != 0 || env.Tick > remote.LatestTick():
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

func (sp *space) decodeValue(id string, env *remote.Envelope) (value any, err error) {
	if env.Codec == absentCodec {
		return sp.absent(id), nil
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("tier: decode: panic: %v", r)
		}
	}()
	return sp.decode(env.Payload)
}

// judge decides on a value from L2. What this pod has heard is final; where it may have missed something, Redis's table decides.
//
// A resync may come between the two looks, or after both. It flushes L1 when it has raised the floor: what was judged by the floor of before
// does not stay.
func (c *Cache) judge(ctx context.Context, names []local.Name) (bool, error) {
	trusted := c.isTrusted()
	switch verdict := c.guard.Judge(names); {
	case verdict == local.Dead:
		return false, nil
	case verdict == local.Valid && trusted:
		return true, nil
	}
	asked := make([]remote.Name, len(names))
	for i, n := range names {
		asked[i] = remote.Name{Text: n.Text, Tick: n.Tick}
	}
	ctx, cancel := c.remoteContext(ctx)
	defer cancel()
	began := time.Now()
	valid, whole, err := c.remote.Judge(ctx, asked)
	c.stats.remoteCall(opJudge, began, err)
	if !whole {
		c.mender.wake()
	}
	return valid, err
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
	if c.remote == nil || checkID(id) != nil || !c.breaker.allow(c.now()) {
		return nil
	}
	born := c.guard.Number()
	raw, err := c.remoteGet(ctx, sp.key(id))
	if err != nil || raw == nil {
		return nil
	}
	e, err := c.admit(ctx, sp, id, raw, born)
	if err != nil {
		return nil
	}
	return e
}

func (c *Cache) remoteGet(caller context.Context, key string) ([]byte, error) {
	ctx, cancel := c.remoteContext(caller)
	defer cancel()
	began := time.Now()
	raw, err := c.remote.Get(ctx, key)
	c.stats.remoteCall(opGet, began, err)
	if caller.Err() == nil { // else it says nothing of Redis
		c.breaker.note(c.now(), err)
	}
	return raw, err
}

func (c *Cache) remoteAcquire(ctx context.Context, key string, token remote.Token, dead []byte) (remote.Lease, error) {
	ctx, cancel := c.remoteContext(ctx)
	defer cancel()
	began, heard := time.Now(), c.guard.Heard()
	answer, err := c.remote.Acquire(ctx, key, token, leaseLife, dead)
	c.stats.remoteCall(opLease, began, err)
	if err == nil && answer.Tick < heard {
		// The counter was lost and made anew below what this pod has heard. A value filled with that would outlive the
		// invalidations to come.
		answer.Tick, err = c.remote.LastTick(ctx, heard)
	}
	if err == nil {
		c.guard.Hear(answer.Tick)
	}
	return answer, err
}

func (c *Cache) remoteRenew(ctx context.Context, held *lease) (bool, error) {
	ctx, cancel := c.remoteContext(ctx)
	defer cancel()
	began := time.Now()
	still, err := c.remote.Renew(ctx, held.key, held.token, leaseLife)
	c.stats.remoteCall(opRenew, began, err)
	return still, err
}

func (c *Cache) remoteFill(ctx context.Context, got fetched) (stored, waiters bool, err error) {
	var life time.Duration
	if hard := got.lease.env.Hard; !hard.IsZero() {
		if life = time.Until(hard); life <= 0 {
			return false, false, errors.New("tier: expired before it was stored")
		}
	}
	value, err := got.lease.env.AppendTo(nil)
	if err != nil {
		c.cfg.Logger.Error("tier: a value cannot be stored in L2", "key", got.lease.key, "error", err)
		return false, false, err
	}
	ctx, cancel := c.remoteContext(ctx)
	defer cancel()
	began := time.Now()
	stored, waiters, err = c.remote.Fill(ctx, got.lease.key, got.lease.token, value, life)
	c.stats.remoteCall(opFill, began, err)
	return stored, waiters, err
}

func (c *Cache) remoteRelease(ctx context.Context, held *lease) (waiters bool) {
	ctx, cancel := c.remoteContext(ctx)
	defer cancel()
	began := time.Now()
	waiters, err := c.remote.Release(ctx, held.key, held.token)
	c.stats.remoteCall(opRelease, began, err)
	return waiters
}
