package tier

import (
	"context"
	"time"
)

// tellEvery is how often the log hears that L2 is left out, where it comes and goes.
const tellEvery = 30 * time.Second

// A prober asks Redis for a sign of life while the breaker is open, so that no reader has to.
type prober struct {
	cache *Cache
	due   chan struct{} // holds one request
	tell  time.Time     // no line of the log before this; of the goroutine
	stop  context.CancelFunc
	done  chan struct{}
}

func newProber(c *Cache) *prober {
	ctx, stop := context.WithCancel(context.Background())
	p := &prober{cache: c, due: make(chan struct{}, 1), stop: stop, done: make(chan struct{})}
	go p.run(ctx)
	return p
}

// wake says that the breaker has opened.
func (p *prober) wake() {
	select {
	case p.due <- struct{}{}:
	default: // it was told already, and looks at the breaker after that
	}
}

func (p *prober) close() {
	p.stop()
	<-p.done
}

func (p *prober) run(ctx context.Context) {
	defer close(p.done)
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.due:
			p.watch(ctx)
		}
	}
}

// watch probes until the breaker is closed, and tells the log of both ends. Of several times within tellEvery it tells the first.
func (p *prober) watch(ctx context.Context) {
	c := p.cache
	since, _, _ := c.breaker.trouble()
	skipped, told := c.breaker.skipped.value(), false
	for c.breaker.isOpen() {
		pause, key := c.breaker.next()
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		if c.breaker.isOpen() {
			c.probe(ctx, key)
		}
		if now := time.Now(); !told && c.breaker.isOpen() && now.After(p.tell) {
			_, cause, _ := c.breaker.trouble()
			told, p.tell = true, now.Add(tellEvery)
			c.cfg.Logger.Warn("tier: L2 is left out: Redis fails, reads load without it", "cache", c.cfg.Name, "error", cause)
		}
	}
	if told {
		c.cfg.Logger.Info("tier: L2 is back", "cache", c.cfg.Name, "after", (c.now() - since).Round(time.Millisecond),
			"reads", c.breaker.skipped.value()-skipped)
	}
}

// probe asks for a key as a read would.
func (c *Cache) probe(caller context.Context, key string) {
	ctx, cancel := c.remoteContext(caller)
	defer cancel()
	began := time.Now()
	_, err := c.remote.Get(ctx, key)
	c.stats.remoteCall(opProbe, began, err)
	if err != nil && caller.Err() == nil {
		ctx, cancel := c.remoteContext(caller)
		defer cancel()
		c.breaker.learned(c.remote.Cause(ctx, err))
	}
}
