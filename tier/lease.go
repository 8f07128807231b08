package tier

import (
	"context"
	"sync"
	"time"

	"github.com/tandem-cache/tandem/bus"
	"github.com/tandem-cache/tandem/local"
	"github.com/tandem-cache/tandem/remote"
)

const (
	leaseLife = 3 * time.Second // a holder that died keeps others waiting no longer
	leaseTurn = leaseLife / 3   // how often a living one renews
	minPoll   = 50 * time.Millisecond
	maxPoll   = 500 * time.Millisecond
	maxDead   = 4 // dead values found in a row before a load goes ahead without a lease
)

// A lease is the right to load a key, held by one load in all pods.
type lease struct {
	space *space
	key   string
	token remote.Token
	env   *remote.Envelope // what to fill; nil gives the lease back
}

// fetchLeased asks for the lease and loads, or waits for who holds it. dead is the outdated value found at the key.
//
// It waits for a notice of the fill and, since a notice may get lost, looks again from time to time. After LoadTimeout, and
// whenever Redis fails, it loads on its own: the lease saves loads, nothing rests on it.
func (c *Cache) fetchLeased(ctx context.Context, f *flight, dead []byte) fetched {
	key, token := f.space.key(f.id), remote.NewToken()
	wake := c.waiters.add(key) // before asking: a fill after the answer "busy" finds us here
	defer c.waiters.remove(key, wake)
	waiting, cancel := f.space.patience(ctx)
	defer cancel()
	deaths, waited := 0, false
	for poll := minPoll; deaths < maxDead; poll = min(poll*2, maxPoll) {
		release, err := c.takePlace(waiting, f)
		if err != nil {
			return fetched{err: err, from: tierSource}
		}
		born, at := c.guard.Number(), c.now()
		answer, err := c.remoteAcquire(ctx, key, token, dead)
		if err == nil && answer.Granted {
			return c.loadLeased(ctx, f, release, token, answer.Tick)
		}
		release()
		switch {
		case err != nil:
			// The lease may have been granted: it is given back, lest others wait for it. It is not filled: the counter was
			// not read, and may stand below what this pod has heard.
			got := c.loadAlone(ctx, f)
			got.lease = &lease{space: f.space, key: key, token: token}
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
			got, err := c.admitted(ctx, f, answer.Value, born, at)
			if err != nil {
				return c.loadAlone(ctx, f)
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

// loadLeased loads while it renews the lease.
func (c *Cache) loadLeased(ctx context.Context, f *flight, release func(), token remote.Token, tick uint64) fetched {
	held := &lease{space: f.space, key: f.space.key(f.id), token: token}
	stop := c.renew(ctx, held)
	defer stop()
	got, env := c.loadSource(ctx, f, release, token, tick)
	held.env, got.lease = env, held
	return got
}

// renew extends a lease until stop is called. It ends by itself when the lease is another's.
func (c *Cache) renew(ctx context.Context, held *lease) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		turn := time.NewTicker(leaseTurn)
		defer turn.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-turn.C:
			}
			if still, err := c.remoteRenew(ctx, held); err == nil && !still {
				return
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// settle fills L2 or gives the lease back, and wakes who waits on other pods.
func (c *Cache) settle(ctx context.Context, got fetched) {
	ctx = context.WithoutCancel(ctx) // Close cancels loads; what they brought is still worth a call
	held := got.lease
	waiters := false
	if c.worthFilling(got) {
		stored, waiting, err := c.remoteFill(ctx, got)
		waiters = waiting
		if !stored {
			held.space.stats.refuse(reasonLease)
		}
		if err != nil { // give the marker back, lest others wait until it expires
			waiters = c.remoteRelease(ctx, held)
		}
	} else {
		waiters = c.remoteRelease(ctx, held)
	}
	if waiters {
		ctx, cancel := c.remoteContext(ctx)
		defer cancel()
		_ = c.bus.Notify(ctx, bus.Message{Kind: bus.Filled, Names: []string{held.key}}) // they also poll
	}
}

// worthFilling is false for a failed load and for a value that was invalidated while it was read: it would be dead in L2.
func (c *Cache) worthFilling(got fetched) bool {
	if got.err != nil || got.lease.env == nil {
		return false
	}
	if c.guard.Judge(got.entry.Names) == local.Dead { // not Check: a flush of L1 says nothing of L2
		got.lease.space.stats.refuse(reasonMoved)
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
