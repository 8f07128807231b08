package tier

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tandem-cache/tandem/remote"
)

const (
	sweepQueue = 256     // invalidations not looked at yet
	sweepLook  = 4096    // tags looked at in one go, and at most those of one invalidation more
	sweepTags  = 1 << 14 // tags whose dependents are being deleted
	sweepTurn  = 16      // tags in one step
	sweepStep  = 64      // dependents in one step; Redis is busy for about 0.3 ms
)

// A sweeper deletes from L2 what invalidated tags outdate. An invalidation does not wait for it, however many dependents there are: they are
// dead from the moment on that the tag's tick is known, and a sweep only frees their room, so that no reader has to find them dead.
//
// One goroutine does it in small steps and rests after each for as long as that took: at least half of Redis's time is for others, and an
// invalidation waits for one step at most. All tags under way take turns.
//
// Only tags have an index: what an invalidated entity, space or feed outdates is left to its readers.
//
// What it can't do, because its queue is full or Redis fails, it counts and forgets: those values stay until they are read, expire or
// are evicted. So does what is queued when the cache is closed.
type sweeper struct {
	cache *Cache
	jobs  chan []remote.Name // the tags of an acknowledged invalidation; full: they are dropped
	stop  context.CancelFunc
	done  chan struct{}

	pending map[string]uint64 // tags with an index → highest tick; run's own, like turns
	turns   []string          // the tags pending, in the order in which it is their turn

	queued  atomic.Int64  // tags in jobs and pending
	deleted atomic.Uint64 // values
	dropped atomic.Uint64 // tags not swept, or not to the end
}

func newSweeper(c *Cache) *sweeper {
	ctx, stop := context.WithCancel(context.Background())
	s := &sweeper{cache: c, jobs: make(chan []remote.Name, sweepQueue), stop: stop, done: make(chan struct{}), pending: make(map[string]uint64)}
	go s.run(ctx)
	return s
}

// offer asks for the dependents of the tags among names, which were invalidated at tick. It does not wait, and keeps no part of names.
func (s *sweeper) offer(names []string, tick uint64) {
	tags := make([]remote.Name, 0, len(names))
	for _, name := range names {
		if strings.HasPrefix(name, tagName) {
			tags = append(tags, remote.Name{Text: name, Tick: tick})
		}
	}
	if len(tags) == 0 {
		return
	}
	s.queued.Add(int64(len(tags)))
	select {
	case s.jobs <- tags:
	default:
		s.drop(len(tags))
	}
}

// drop counts tags that leave the queue unswept.
func (s *sweeper) drop(tags int) {
	s.queued.Add(-int64(tags))
	s.dropped.Add(uint64(tags))
}

func (s *sweeper) close() {
	s.stop()
	<-s.done
}

// run looks at what is new before each step: most are objects that nothing depends on, and must not pile up behind one with a million.
func (s *sweeper) run(ctx context.Context) {
	defer close(s.done)
	for {
		var tags []remote.Name
		if len(s.pending) == 0 {
			select {
			case <-ctx.Done():
				return
			case tags = <-s.jobs:
			}
		}
		for len(tags) < sweepLook && len(s.jobs) > 0 {
			tags = append(tags, <-s.jobs...) // nobody else reads them
		}
		began := time.Now()
		s.look(ctx, tags)
		s.step(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Since(began)):
		}
	}
}

// look finds out which tags have an index: those are pending.
func (s *sweeper) look(ctx context.Context, tags []remote.Name) {
	if len(tags) == 0 {
		return
	}
	ctx, cancel := s.cache.remoteContext(ctx)
	defer cancel()
	began := time.Now()
	indexed, err := s.cache.remote.Indexed(ctx, tags)
	s.cache.stats.remoteCall(opSweep, began, err)
	if err != nil {
		s.drop(len(tags))
		return
	}
	s.queued.Add(int64(len(indexed) - len(tags)))
	for _, tag := range indexed {
		tick, again := s.pending[tag.Text]
		switch {
		case again:
			s.queued.Add(-1)
		case len(s.pending) >= sweepTags:
			s.drop(1)
			continue
		default:
			s.turns = append(s.turns, tag.Text)
		}
		s.pending[tag.Text] = max(tick, tag.Tick)
	}
}

// step deletes some dependents of some tags, those that have waited longest.
func (s *sweeper) step(ctx context.Context) {
	if len(s.turns) == 0 {
		return
	}
	turn := make([]remote.Name, min(len(s.turns), sweepTurn))
	for i := range turn {
		turn[i] = remote.Name{Text: s.turns[i], Tick: s.pending[s.turns[i]]}
	}
	s.turns = slices.Delete(s.turns, 0, len(turn))
	more, deleted, err := s.sweep(ctx, turn)
	s.deleted.Add(uint64(deleted))
	for _, tag := range turn {
		delete(s.pending, tag.Text)
	}
	if err != nil {
		s.drop(len(turn))
		return
	}
	s.queued.Add(int64(len(more) - len(turn)))
	for _, tag := range more {
		s.pending[tag.Text] = tag.Tick
		s.turns = append(s.turns, tag.Text)
	}
}

func (s *sweeper) sweep(ctx context.Context, turn []remote.Name) (more []remote.Name, deleted int, err error) {
	ctx, cancel := s.cache.remoteContext(ctx)
	defer cancel()
	began := time.Now()
	more, deleted, err = s.cache.remote.Sweep(ctx, turn, sweepStep/len(turn))
	s.cache.stats.remoteCall(opSweep, began, err)
	return more, deleted, err
}
