package tier

import (
	"slices"
	"strings"
	"time"

	"github.com/tandem-cache/tandem/local"
	"github.com/tandem-cache/tandem/remote"
)

// extra is what few entries carry besides: the Extra of a local.Entry.
type extra struct {
	feeds    []*feedState // those of other spaces that the entry was made from; see space.current
	original []byte       // the payload that the value came from, or went to; only with Config.DetectMutation

	// alone says that the value was loaded without a lease, because Redis was away: it is newer than what L2 had then, and L2 never got it.
	alone bool

	// expires is when the entry would end, if it could be kept: it is too large, or does not encode. What is made from it may be kept
	// as long.
	expires time.Duration
}

// extraOf returns e's extra, or nil.
func extraOf(e *local.Entry) *extra {
	x, _ := e.Extra.(*extra)
	return x
}

// addExtra returns e's extra, new if there is none. Nobody else has e yet.
func addExtra(e *local.Entry) *extra {
	x := extraOf(e)
	if x == nil {
		x = new(extra)
		e.Extra = x
	}
	return x
}

// lifeOf is when what is made from an entry ends.
func lifeOf(e *local.Entry) time.Duration {
	if x := extraOf(e); x != nil && e.Expires == uncached {
		return x.expires
	}
	return e.Expires
}

// size is about what x takes in memory; the feeds are there once. It may be asked of nil.
func (x *extra) size() int64 {
	if x == nil {
		return 0
	}
	return local.SizeOf(extra{original: x.original})
}

// noteAlone says that e was loaded without a lease. Where there is no L2, nobody asks. Nobody else has e yet.
func (sp *space) noteAlone(e *local.Entry) {
	if sp.cache.remote == nil {
		return
	}
	before := extraOf(e).size()
	x := addExtra(e)
	x.alone = true
	e.Cost += x.size() - before
}

// isAlone may be asked of nil.
func (x *extra) isAlone() bool { return x != nil && x.alone }

// otherFeeds may be asked of nil.
func (x *extra) otherFeeds() []*feedState {
	if x == nil {
		return nil
	}
	return x.feeds
}

// otherFeeds are the feeds, besides the space's own, that cover an entry which stands on names.
func (sp *space) otherFeeds(names []remote.Name) (feeds []*feedState) {
	for _, n := range names {
		if feed, ok := strings.CutPrefix(n.Text, feedName); ok && !slices.Contains(sp.strategy.feeds, feed) {
			feeds = append(feeds, sp.cache.feedNamed(feed))
		}
	}
	return feeds
}

// coverBy makes feeds cover e.
func coverBy(e *local.Entry, feeds []*feedState) {
	if len(feeds) > 0 {
		addExtra(e).feeds = feeds
	}
}
