package tier

import (
	"context"
	"time"

	"github.com/tandem-cache/tandem/internal/episode"
)

// watchEvery is how late a line in the log may be about what happens by itself.
const watchEvery = time.Second

// A watcher logs when L1 is not trusted any more, when a feed's spaces fall back, when loaders hang, and when each of that is over. They begin by the passing of
// time: there is no call that could log it. One goroutine owns the fields.
type watcher struct {
	cache *Cache
	stop  context.CancelFunc
	done  chan struct{}

	l1    episode.Episode
	feeds map[string]*episode.Episode
}

func newWatcher(c *Cache) *watcher {
	ctx, stop := context.WithCancel(context.Background())
	w := &watcher{cache: c, stop: stop, done: make(chan struct{}), feeds: make(map[string]*episode.Episode)}
	go w.run(ctx)
	return w
}

func (w *watcher) close() {
	w.stop()
	<-w.done
}

func (w *watcher) run(ctx context.Context) {
	defer close(w.done)
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.lookAtL1()
			w.lookAtFeeds()
			w.lookAtStuck()
		}
	}
}

// lookAtL1 says nothing of a pod that has not been trusted yet: Open did.
func (w *watcher) lookAtL1() {
	c := w.cache
	select {
	case <-c.synced:
	default:
		return
	}
	if !c.isTrusted() {
		if so, due := w.l1.Fails(); due {
			c.cfg.Logger.Warn("tier: L1 is not trusted, reads go to L2 and the source", lasting(so, "cache", c.cfg.Name)...)
		}
		return
	}
	if so, was := w.l1.Ends(); was {
		c.cfg.Logger.Info("tier: L1 is trusted again", lasting(so, "cache", c.cfg.Name)...)
	}
}

// lookAtFeeds says nothing of a feed that was not heard yet until it has had FeedLimit.
func (w *watcher) lookAtFeeds() {
	c := w.cache
	for name, s := range w.covering() {
		e := w.feeds[name]
		if e == nil {
			e = new(episode.Episode)
			w.feeds[name] = e
		}
		if now := c.now(); !s.isFresh(now) {
			if now < c.cfg.FeedLimit {
				continue
			}
			if so, due := e.Fails(); due {
				c.cfg.Logger.Warn("tier: the feed is not fresh, entries live for FallbackTTL", lasting(so, "cache", c.cfg.Name, "feed", name)...)
			}
		} else if so, was := e.Ends(); was {
			c.cfg.Logger.Info("tier: the feed is fresh again", lasting(so, "cache", c.cfg.Name, "feed", name)...)
		}
	}
}

// covering returns the feeds that spaces name.
func (w *watcher) covering() map[string]*feedState {
	c := w.cache
	c.mu.RLock()
	defer c.mu.RUnlock()
	feeds := make(map[string]*feedState)
	for _, sp := range c.spaces {
		for i, feed := range sp.feeds {
			feeds[sp.strategy.feeds[i]] = feed
		}
	}
	return feeds
}

// lasting adds how long it has lasted. What failed is no call, so there is no number of failures.
func lasting(so episode.Far, attrs ...any) []any {
	if so.For == 0 {
		return attrs
	}
	return append(attrs, "for", so.For.Round(time.Millisecond).String())
}
