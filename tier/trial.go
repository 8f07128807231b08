package tier

import (
	"context"
	"time"
)

const (
	trialEvery  = 5 * time.Second
	originTrial = "trial"
)

// trialNames are of a space that nobody has: invalidating them goes the whole way, and outdates nothing.
var trialNames = []string{Key("tandem:trial", "trial")}

// A trial invalidates what nobody has, from time to time while invalidations fail, so that health knows when that is over: the next real one
// may be hours away.
type trial struct {
	cache *Cache
	due   chan struct{} // holds one request
	stop  context.CancelFunc
	done  chan struct{}
}

func newTrial(c *Cache) *trial {
	ctx, stop := context.WithCancel(context.Background())
	t := &trial{cache: c, due: make(chan struct{}, 1), stop: stop, done: make(chan struct{})}
	go t.run(ctx)
	return t
}

// failed asks for trials if an invalidation has failed.
func (t *trial) failed(op remoteOp) {
	if op != opInvalidate && op != opSet {
		return
	}
	select {
	case t.due <- struct{}{}:
	default:
	}
}

func (t *trial) close() {
	t.stop()
	<-t.done
}

func (t *trial) run(ctx context.Context) {
	defer close(t.done)
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.due: // also from the trial before, if it has failed
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(trialEvery):
		}
		began := time.Now()
		err := t.cache.invalidateRemote(ctx, originTrial, trialNames)
		if ctx.Err() != nil {
			return
		}
		t.cache.stats.remoteCall(opInvalidate, began, err)
		if err == nil { // a Set goes the same way
			t.cache.stats.failing.note(opSet, nil)
		}
	}
}
