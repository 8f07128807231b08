package tier

import (
	"context"
	"errors"
	"time"

	"github.com/tandem-cache/tandem/local"
	"github.com/tandem-cache/tandem/remote"
)

// The questions that reads have for Redis: what lies at a key, and whether names were invalidated. Each kind has a line.

// A verdict is what Redis's table says of a value.
type verdict struct {
	valid bool
	err   error
}

// openLines makes the lines. Half of the client's connections are for calls of one caller each; others are for leases, fills, the bus.
func (c *Cache) openLines() {
	direct := min(max(1, c.remote.Connections()/2), maxDirect)
	wait := lineTurns * c.cfg.RemoteTimeout
	c.reads = &line[string, remote.Stored]{
		send: c.sendGets, maxDirect: direct, maxCount: maxBatch, maxCost: maxReadBytes, wait: wait, open: c.breaker.isOpen,
	}
	c.judges = &line[[]local.Name, verdict]{
		send: c.sendJudges, maxDirect: direct, maxCount: maxBatch, maxCost: maxJudged, wait: wait, open: c.breaker.isOpen,
	}
}

// remoteGet returns what L2 has for an identifier.
func (sp *space) remoteGet(ctx context.Context, id string) ([]byte, error) {
	stored, err := sp.cache.reads.ask(ctx, []string{sp.key(id)}, sp.sizes.expected)
	if err != nil {
		return nil, err
	}
	return stored[0].Raw, stored[0].Err
}

// remoteGetMany returns what L2 has for many keys of the space, in one call.
func (sp *space) remoteGetMany(ctx context.Context, keys []string) []remote.Stored {
	stored, err := sp.cache.reads.ask(ctx, keys, sp.sizes.expected)
	if err != nil {
		stored = make([]remote.Stored, len(keys))
		for i := range stored {
			stored[i].Err = err
		}
	}
	return stored
}

// attempt makes a call whose clock starts when it has a connection. An error that has errLine says that it never had one.
//
// A call that failed while this process did not get the processor is made again, for sendTurns RemoteTimeouts: it says nothing of Redis. A container that is throttled for 100 ms would take Redis for dead else, and so would one in which 8,000 readers wake up together.
func (c *Cache) attempt(caller context.Context, op remoteOp, call func(context.Context) error) error {
	for until := time.Now().Add(sendTurns * c.cfg.RemoteTimeout); ; {
		ctx, cancel := c.remote.FromSending(caller, c.cfg.RemoteTimeout, time.Until(until))
		began := time.Now()
		err := call(ctx)
		again := err != nil && remote.TimedOut(err) && ctx.Starved() && caller.Err() == nil && time.Now().Before(until)
		unsent := err != nil && ctx.NotSent(err)
		cancel()
		switch {
		case again && !c.breaker.isOpen():
			continue
		case unsent:
			return errors.Join(errLine, err)
		}
		c.stats.remoteCall(op, began, err)
		return err
	}
}

// sendGets is one call, or more: see attempt.
func (c *Cache) sendGets(caller context.Context, keys []string) ([]remote.Stored, error) {
	stored := make([]remote.Stored, len(keys))
	open := make([]int, len(keys)) // those that have no answer
	for i := range open {
		open[i] = i
	}
	at := c.now()
	err := c.attempt(caller, opGet, func(ctx context.Context) (failure error) {
		at = c.now()
		asked := make([]string, len(open))
		for i, of := range open {
			asked[i] = keys[of]
		}
		left := open[:0]
		for i, s := range c.remote.GetMany(ctx, asked) {
			if stored[open[i]] = s; s.Err != nil {
				left, failure = append(left, open[i]), s.Err
			}
		}
		open = left
		return failure
	})
	switch {
	case errors.Is(err, errLine) && len(open) == len(keys):
		return nil, err
	case len(open) < len(keys):
		c.breaker.answered(c.now())
	case caller.Err() == nil: // else it says nothing of Redis
		c.readFailed(at, keys[open[0]], err)
	}
	return stored, nil
}

// readFailed tells the breaker of a call that began at an instant of the cache's clock.
func (c *Cache) readFailed(at time.Duration, key string, err error) {
	if c.breaker.failed(at, c.now(), key, err) {
		c.reads.release()
		c.judges.release()
		c.prober.wake()
	}
}

// remoteJudge asks Redis's table about several values; after an error none of them is valid.
func (c *Cache) remoteJudge(ctx context.Context, values [][]local.Name) ([]bool, error) {
	valid := make([]bool, len(values))
	names := 0
	for _, of := range values {
		names += len(of)
	}
	verdicts, err := c.judges.ask(ctx, values, func() int { return names / max(1, len(values)) })
	if err != nil {
		return valid, err
	}
	for i, v := range verdicts {
		if v.err != nil {
			return make([]bool, len(values)), v.err
		}
		valid[i] = v.valid
	}
	return valid, nil
}

// sendJudges is one call.
func (c *Cache) sendJudges(caller context.Context, values [][]local.Name) ([]verdict, error) {
	asked := make([][]remote.Name, len(values))
	for i, names := range values {
		asked[i] = make([]remote.Name, len(names))
		for j, n := range names {
			asked[i][j] = remote.Name{Text: n.Text, Tick: n.Tick}
		}
	}
	var valid []bool
	whole := true
	err := c.attempt(caller, opJudge, func(ctx context.Context) (err error) {
		valid, whole, err = c.remote.Judge(ctx, asked)
		return err
	})
	if !whole {
		c.mender.wake()
	}
	verdicts := make([]verdict, len(values))
	for i := range verdicts {
		verdicts[i] = verdict{valid: valid[i], err: err}
	}
	return verdicts, nil
}

// A skip says why a read loaded without having L2's answer.
type skip uint8

const (
	skipOpen   skip = iota // the breaker was open
	skipFailed             // Redis was asked and failed
	skipLine               // it had to wait too long for its turn, or for a connection
	skipCount
)

var skipTexts = [skipCount]string{"left_out", "failed", "line"}

// skipped counts a read that goes to the source because of err.
func (sp *space) skipped(err error) {
	switch {
	case errors.Is(err, errLeftOut):
		sp.stats.skips[skipOpen].Inc()
		sp.cache.breaker.skipped.Inc()
	case errors.Is(err, errLine):
		sp.stats.skips[skipLine].Inc()
	case !errors.Is(err, ErrClosed):
		sp.stats.skips[skipFailed].Inc()
	}
}

// loadSkipping is loadAlone for a read that L2 did not answer.
func (c *Cache) loadSkipping(ctx context.Context, f *flight, err error) fetched {
	f.space.skipped(err)
	return c.loadAlone(ctx, f)
}
