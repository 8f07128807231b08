package tier

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/tandem-cache/tandem/bus"
	"github.com/tandem-cache/tandem/local"
	"github.com/tandem-cache/tandem/remote"
)

const (
	minPoll = 50 * time.Millisecond
	maxPoll = 500 * time.Millisecond
	maxDead = 4 // dead values found in a row before a load goes ahead without a lease
	maxLate = 3 // leases that were granted too slowly to be sure of them, before a load goes ahead with one
)

// A lease is the right to load a key, held by one load in all pods.
type lease struct {
	space    *space
	hold     remote.Hold
	asked    time.Time        // before it was asked for: it lasts from then on at most
	stop     func()           // ends its renewal; nil: it is not renewed
	env      *remote.Envelope // what to fill; nil gives the lease back
	unfilled bool             // it is given back in any case
}

func (l *lease) refuse(why reason) { l.space.refuse(l.hold.Key, why) }

// fetchLeased asks for the lease and loads, or waits for who holds it. dead is the outdated value found at the key.
//
// It waits for a notice of the fill and, since a notice may get lost, looks again from time to time. After LoadTimeout, and
// whenever Redis fails, it loads on its own: the lease saves loads, nothing rests on it.
func (c *Cache) fetchLeased(ctx context.Context, f *flight, dead []byte) fetched {
	key := f.key()
	f.asked = true
	if err := f.awaitStuck(); err != nil {
		return fetched{err: err, from: tierSource}
	}
	hold := remote.Hold{Key: key, Token: c.pod.NewToken()}
	wake := c.waiters.add(key) // before asking: a fill after the answer "busy" finds us here
	defer c.waiters.remove(key, wake)
	waiting, cancel := f.space.patience(ctx)
	defer cancel()
	deaths, late, unanswered, waited := 0, 0, 0, false
	life := f.space.leaseLife(0)
	for poll := minPoll; deaths < maxDead; poll = min(poll*2, maxPoll) {
		var found fetched
		release, err := c.takePlace(waiting, f, func() bool {
			found = c.look(ctx, f, dead)
			return found.entry != nil
		})
		if err != nil {
			return f.noPlace(err)
		}
		if found.entry != nil {
			release()
			return found
		}
		born, at, asked := c.guard.Number(), c.now(), time.Now()
		answer := c.desk.acquire(ctx, remote.Ask{Hold: hold, Dead: dead, Life: life})
		took := time.Since(asked)
		if answer.Granted && (took <= life/2 || late == maxLate) {
			return c.loadLeased(ctx, f, release, &lease{space: f.space, hold: hold, asked: asked}, life, answer.Tick)
		}
		release()
		switch {
		case answer.Granted: // perhaps long ago, and it may be another's by now: the same load asks again, for a life that fits
			late++
			life = f.space.leaseLife(4 * took)
		case answer.Err != nil && unanswered < graceAsks && c.inGrace(f) && waiting.Err() == nil:
			unanswered++
		case answer.Err != nil:
			// The lease may have been granted: it is given back, lest others wait for it. It is not filled: the counter was
			// not read, and may stand below what this pod has heard.
			got := c.loadAlone(ctx, f)
			got.lease = &lease{space: f.space, hold: hold}
			return got
		case answer.Busy:
			if !waited {
				f.space.stats.waited.Inc()
				waited = true
			}
			select {
			case <-wake:
			case <-time.After(min(poll, answer.Left+time.Millisecond)):
			case <-waiting.Done():
				if ctx.Err() != nil {
					return fetched{err: ErrClosed} // only Close cancels a flight
				}
				return c.loadAlone(ctx, f)
			}
		default:
			f.space.sizes.note(len(answer.Value))
			got, err := c.admitted(f, answer.Value, born, at, c.judge(ctx))
			if err != nil {
				return c.loadSkipping(ctx, f, err)
			}
			if got.entry != nil {
				return got
			}
			dead = answer.Value
			deaths++
		}
	}
	return c.loadAlone(ctx, f)
}

// look returns what another pod has filled while a flight waits for a place, if it has.
func (c *Cache) look(ctx context.Context, f *flight, dead []byte) fetched {
	born, at := c.guard.Number(), c.now()
	raw, err := f.space.remoteGet(ctx, f.id)
	if err != nil || raw == nil || bytes.Equal(raw, dead) {
		return fetched{}
	}
	got, err := c.admitted(f, raw, born, at, c.judge(ctx))
	if err != nil {
		return fetched{}
	}
	return got
}

// loadLeased loads while it renews the lease. The renewal goes on until the lease is settled: a fill may have to wait for Redis.
func (c *Cache) loadLeased(ctx context.Context, f *flight, release func(), held *lease, life time.Duration, tick uint64) fetched {
	c.renew(ctx, []*lease{held}, life)
	return c.loadSource(ctx, f, release, held, tick)
}

// renew extends leases of one space that were asked for together, some of which may be nil, until one of them is settled. life is what they
// were given.
func (c *Cache) renew(ctx context.Context, leases []*lease, life time.Duration) {
	held := slices.DeleteFunc(slices.Clone(leases), func(l *lease) bool { return l == nil || l.unfilled })
	if len(held) == 0 {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	for _, l := range held {
		l.stop = func() {
			cancel()
			<-done
		}
	}
	go func() {
		defer close(done)
		defer cancel()
		c.keepRenewing(ctx, held, life)
	}()
}

// keepRenewing extends leases until ctx ends, and forgets those that have become another's. A life counts from when the attempt began that
// gives it, whenever the answer comes.
func (c *Cache) keepRenewing(ctx context.Context, held []*lease, life time.Duration) {
	space, asked := held[0].space, held[0].asked
	holds := make([]remote.Hold, len(held))
	for i, l := range held {
		holds[i] = l.hold
	}
	turn := time.NewTimer(time.Until(asked.Add(life / leaseTurns)))
	defer turn.Stop()
	for len(holds) > 0 {
		select {
		case <-ctx.Done():
			return
		case <-turn.C:
		}
		began := time.Now()
		life = space.leaseLife(began.Sub(asked))
		holds = c.remoteRenew(ctx, life, holds)
		turn.Reset(time.Until(began.Add(life / leaseTurns)))
	}
}

// settle fills L2 or gives leases back, and wakes who waits on other pods.
func (c *Cache) settle(ctx context.Context, gots []fetched) {
	ctx = context.WithoutCancel(ctx) // Close cancels loads; what they brought is still worth a call
	fills := make([]remote.Fill, len(gots))
	for i, got := range gots {
		fills[i] = c.fillOf(got)
	}
	var woken []string
	var back []remote.Fill
	var stored []remote.Dependent
	for i, filled := range c.fillMany(ctx, fills) {
		held := gots[i].lease
		if held.stop != nil {
			held.stop()
		}
		if filled.Stored {
			stored = append(stored, dependentOf(fills[i], held.env))
			if held.stop != nil {
				held.space.usual.note(time.Since(held.asked))
			}
		}
		if fills[i].Value != nil && !filled.Stored {
			held.refuse(reasonLease)
		}
		if fills[i].Value != nil && filled.Err != nil { // give the marker back, lest others wait until it expires
			back = append(back, remote.Fill{Hold: fills[i].Hold})
		}
		if filled.Waiters {
			woken = append(woken, fills[i].Key)
		}
	}
	for i, released := range c.remoteFill(ctx, back) {
		if released.Waiters {
			woken = append(woken, back[i].Key)
		}
	}
	c.notifyFilled(ctx, woken)
	c.noter.offer(stored)
}

// fillMany stores values in calls of about maxFillBytes, each of which has RemoteTimeout: one call for all would not end in that, each time
// anew, and the values would never be stored. After breakAfter calls in a row that failed it sends no more.
func (c *Cache) fillMany(ctx context.Context, fills []remote.Fill) []remote.Filled {
	filled := make([]remote.Filled, 0, len(fills))
	failures := 0
	for some := range batches(fills, maxFillBytes, func(f remote.Fill) int { return len(f.Value) }) {
		if failures >= breakAfter {
			for range some {
				filled = append(filled, remote.Filled{Err: errUnasked})
			}
			continue
		}
		answers := c.remoteFill(ctx, some)
		if failures++; slices.ContainsFunc(answers, func(f remote.Filled) bool { return f.Err == nil }) {
			failures = 0
		}
		filled = append(filled, answers...)
	}
	return filled
}

func (c *Cache) notifyFilled(ctx context.Context, keys []string) {
	if len(keys) == 0 {
		return
	}
	ctx, cancel := c.remoteContext(ctx)
	defer cancel()
	_ = c.bus.Notify(ctx, bus.Message{Kind: bus.Filled, Names: keys}) // they also poll
}

// fillOf is what becomes of a lease.
func (c *Cache) fillOf(got fetched) remote.Fill {
	fill := remote.Fill{Hold: got.lease.hold}
	if !c.worthFilling(got) {
		return fill
	}
	sp, env := got.lease.space, got.lease.env
	if !env.Hard.IsZero() {
		if fill.Life = time.Until(env.Hard); fill.Life <= 0 {
			got.lease.refuse(reasonStale)
			return fill
		}
	}
	value, err := sp.pack(fill.Key, env)
	if err != nil {
		got.lease.refuse(reasonEncode)
		if sp.unstorable.now(c.now()) {
			c.cfg.Logger.Error("tier: a value cannot be stored in L2", "key", fill.Key, "error", err)
		}
		return fill
	}
	fill.Value = value
	sp.sizes.note(len(value))
	return fill
}

// worthFilling is false for a failed load and for a value that was invalidated while it was read: it would be dead in L2.
func (c *Cache) worthFilling(got fetched) bool {
	if got.err != nil || got.lease.env == nil {
		return false
	}
	if c.guard.Judge(got.entry.Names) == local.Dead { // not Check: a flush of L1 says nothing of L2
		got.lease.refuse(reasonMoved)
		return false
	}
	return true
}

// waiters are the flights of this pod that wait for another pod's load, by key.
type waiters struct {
	mu    sync.Mutex // guards byKey
	byKey map[string]map[chan struct{}]struct{}
}

func (w *waiters) add(key string) chan struct{} {
	wake := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byKey[key] == nil {
		w.byKey[key] = make(map[chan struct{}]struct{})
	}
	w.byKey[key][wake] = struct{}{}
	return wake
}

func (w *waiters) remove(key string, wake chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.byKey[key], wake)
	if len(w.byKey[key]) == 0 {
		delete(w.byKey, key)
	}
}

// some says whether anybody waits.
func (w *waiters) some() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.byKey) > 0
}

func (w *waiters) wake(keys ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, key := range keys {
		for wake := range w.byKey[key] {
			select {
			case wake <- struct{}{}:
			default: // woken already
			}
		}
	}
}
