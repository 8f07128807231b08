package tier

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tandem-cache/tandem/internal/episode"
)

// ErrStillRunning is returned by a read of an entry whose loader was given up when its context had ended, and has not ended itself. No further
// loader of the entry is started in this pod until it has. The text names the entry, and when the loader began.
var ErrStillRunning = errors.New("tier: the loader that was given up is still running")

const (
	heedTime    = 500 * time.Millisecond // a loader may take to end when its context has
	maxStuckIDs = 1 << 14                // of a space, that are refused
)

// A loaderRun is one call of a loader.
type loaderRun struct {
	began time.Time
	ids   func() []string // what it has not loaded yet; called once, when it is given up
	ended chan struct{}   // closed when it has ended

	// Guarded by stuck.mu:
	over    bool
	open    []string // what ids returned
	givenUp time.Time
}

func newLoaderRun(ids func() []string) *loaderRun {
	return &loaderRun{began: time.Now(), ids: ids, ended: make(chan struct{})}
}

// stuck holds the loaders of a space that were given up and have not ended. A loader that ignores its context keeps its place. Were its key loaded
// again meanwhile:
//
//	1 the loader of a hot key hangs, and is given up after LoadTimeout
//	2 the next reader starts another, which hangs as well
//	3 after as many times LoadTimeout as the space has places, no key of the space loads any more
//
// What is loaded once more for a read inside the same load is not refused: there the first loader waits.
type stuck struct {
	mu   sync.Mutex              // guards the fields below, and those of its loaderRuns
	runs map[*loaderRun]struct{} // each is a goroutine, so they bound themselves
	byID map[string]*loaderRun   // at most maxStuckIDs; what does not fit is loaded again
	told episode.Episode         // of the watcher
}

// giveUp notes a loader whose context has ended, unless it has ended itself. Without that:
//
//	1 the context ends
//	2 the loader returns; end finds nothing to remove
//	3 giveUp notes the loader, and its key is refused for ever
func (s *stuck) giveUp(r *loaderRun) {
	open := r.ids()
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.over {
		return
	}
	if s.runs == nil {
		s.runs, s.byID = make(map[*loaderRun]struct{}), make(map[string]*loaderRun)
	}
	r.givenUp, r.open = time.Now(), open
	s.runs[r] = struct{}{}
	for _, id := range open {
		if s.byID[id] == nil && len(s.byID) < maxStuckIDs {
			s.byID[id] = r
		}
	}
}

// end is called when a loader has ended, in time or not.
func (s *stuck) end(r *loaderRun) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.over = true
	delete(s.runs, r)
	for _, id := range r.open {
		if s.byID[id] == r {
			delete(s.byID, id)
		}
	}
	close(r.ended)
}

// of returns the loader of id that was given up, and when that was; nil: there is none.
func (s *stuck) of(id string) (r *loaderRun, givenUp time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r = s.byID[id]; r != nil {
		givenUp = r.givenUp
	}
	return r, givenUp
}

// A stuckSum is about the loaders of a space that still run.
type stuckSum struct {
	count int
	since time.Time // the one that has run longest
	id    string    // of it, or one of its identifiers; "": LoadMany has given them all
}

// since counts the loaders that were given up as long ago as that.
func (s *stuck) since(ago time.Duration) (sum stuckSum) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for r := range s.runs {
		if time.Since(r.givenUp) < ago {
			continue
		}
		if sum.count++; sum.count == 1 || r.began.Before(sum.since) {
			sum.since, sum.id = r.began, ""
			if len(r.open) > 0 {
				sum.id = r.open[0]
			}
		}
	}
	return sum
}

// awaitStuck returns nil if no loader of the flight's key was given up and still runs. One that has just been given up has heedTime to end: a
// query that is canceled takes a moment.
func (f *flight) awaitStuck() error {
	for {
		r, givenUp := f.space.stuck.of(f.id)
		if r == nil {
			return nil
		}
		left := time.Until(givenUp.Add(heedTime))
		if left <= 0 || !f.await(r, left) {
			return f.refuseStuck(r)
		}
	}
}

// await reports whether a loader ends within d, as long as the flight has patience.
func (f *flight) await(r *loaderRun, d time.Duration) bool {
	ctx, cancel := f.space.patience(f.ctx)
	defer cancel()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-r.ended:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

func (f *flight) refuseStuck(r *loaderRun) error {
	if f.ctx.Err() != nil {
		return fmt.Errorf("tier: load %s: %w", shown(f.key()), context.Cause(f.ctx))
	}
	f.space.stats.refusedLoads[refusedRunning].Inc()
	return fmt.Errorf("tier: load %s: %w since %s (%s): a loader must end when its context does",
		shown(f.key()), ErrStillRunning, timestamp(r.began), time.Since(r.began).Round(time.Second))
}

// partStuck sends the flights whose loaders were given up on their own ways, so that the others of their batch don't wait for them.
func partStuck(missing []miss, alone []*flight, leased func(miss), lone func(*flight)) (restMissing []miss, restAlone []*flight) {
	for _, m := range missing {
		if r, _ := m.flight.space.stuck.of(m.flight.id); r != nil {
			leased(m)
			continue
		}
		restMissing = append(restMissing, m)
	}
	for _, f := range alone {
		if r, _ := f.space.stuck.of(f.id); r != nil {
			lone(f)
			continue
		}
		restAlone = append(restAlone, f)
	}
	return restMissing, restAlone
}

// stuckProblem is what health says of a space; "": nothing.
func (sp *space) stuckProblem() string {
	sum := sp.stuck.since(heedTime)
	if sum.count == 0 {
		return ""
	}
	return fmt.Sprintf("loaders of %s that were given up still run: %d, the oldest since %s (%s): their keys are refused, and they hold places of MaxLoads; "+
		"a loader must end when its context does", sp.name, sum.count, timestamp(sum.since), time.Since(sum.since).Round(time.Second))
}

// lookAtStuck logs that loaders of a space were given up, and that the last of them has ended.
func (w *watcher) lookAtStuck() {
	c := w.cache
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, sp := range c.spaces {
		if sum := sp.stuck.since(heedTime); sum.count > 0 {
			if so, due := sp.stuck.told.Fails(); due {
				c.cfg.Logger.Warn("tier: a loader was given up and still runs, its key is refused", lasting(so, "cache", c.cfg.Name, "space", sp.name,
					"key", beginning(sp.key(sum.id)), "since", timestamp(sum.since), "loaders", sum.count)...)
			}
		} else if so, was := sp.stuck.told.Ends(); was {
			c.cfg.Logger.Info("tier: the last loader that was given up has ended", lasting(so, "cache", c.cfg.Name, "space", sp.name)...)
		}
	}
}

// stuckSpaces tells Close what it waits for; "": no loader.
func (c *Cache) stuckSpaces() (text string) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, sp := range c.spaces {
		if sum := sp.stuck.since(0); sum.count > 0 {
			text += fmt.Sprintf(": loaders of %s still run: %d", sp.name, sum.count)
		}
	}
	return text
}
