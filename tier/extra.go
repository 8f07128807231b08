package tier

import (
	"strings"

	"github.com/tandem-cache/tandem/remote"
)

// extra is what few entries have: an Entry's Extra.
type extra struct {
	feeds []*feedState // those of other spaces that the entry was made from; see space.current
}

// extraOf returns what an entry has, or nil.
func extraOf(v any) *extra {
	x, _ := v.(*extra)
	return x
}

// extraFor is what an entry that stands on names has; nil for nothing.
func (sp *space) extraFor(names []remote.Name) any {
	var feeds []*feedState
	for _, n := range names {
		if feed, ok := strings.CutPrefix(n.Text, feedName); ok && feed != sp.strategy.feed {
			feeds = append(feeds, sp.cache.feedNamed(feed))
		}
	}
	if feeds == nil {
		return nil
	}
	return &extra{feeds: feeds}
}
