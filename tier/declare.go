package tier

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tandem-cache/tandem/bus"
)

// declareEvery is the time between two notices of a feed's routes. A pod that has missed one hears the next.
const declareEvery = 30 * time.Second

// Declare tells the cache which names the routes of the feed can give: names as [Key], [Tag] and their kin make them, with {column} where a
// route puts the value of a column. open says that there may be others. Health warns of dependencies that no route names. A cdc.Follower
// declares its routes when it is made, and while it reports, other pods hear of them every 30 s. A name that [Cache.Invalidate] would refuse is a
// [BadNameError].
func (f *Feed) Declare(names []string, open bool) error {
	kinds := make(map[string]struct{})
	for _, name := range names {
		kind := kindOf(name)
		if strings.Contains(kind, "{") {
			open = true
			continue
		}
		kinds[kind] = struct{}{}
	}
	if err := checkNames(filled(names)); err != nil {
		return &BadNameError{err}
	}
	if open {
		kinds[anyName] = struct{}{}
	}
	list := slices.Sorted(maps.Keys(kinds))
	f.cache.unmatched.declared(f.name, list)
	s := f.state()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.declared, s.told = list, time.Time{}
	return nil
}

// hearRoutes notes what a follower on another pod tells of its routes. Those of feeds that nothing here names are not kept.
func (c *Cache) hearRoutes(feed string, kinds []string) {
	c.mu.RLock()
	known := c.feeds[feed] != nil
	c.mu.RUnlock()
	if known {
		c.unmatched.declared(feed, kinds)
	}
}

// filled returns templates with a letter in each place of a column.
func filled(templates []string) []string {
	names := make([]string, len(templates))
	for i, t := range templates {
		var b strings.Builder
		for rest := t; rest != ""; {
			before, after, _ := strings.Cut(rest, "{")
			b.WriteString(before)
			if before != rest {
				b.WriteByte('x')
			}
			_, rest, _ = strings.Cut(after, "}")
		}
		names[i] = b.String()
	}
	return names
}

// tellRoutes tells other pods what was declared, every 30 s: a notice, which pods of builds before this one do not understand, and which costs
// them nothing.
func (f *Feed) tellRoutes(ctx context.Context) {
	s := f.state()
	s.mu.Lock()
	kinds := s.declared
	due := len(kinds) > 0 && time.Since(s.told) >= declareEvery
	if due {
		s.told = time.Now()
	}
	s.mu.Unlock()
	if !due {
		return
	}
	if len(kinds) > maxKinds {
		kinds = []string{anyName}
	}
	_ = f.cache.bus.Notify(ctx, bus.Message{Kind: bus.Routes, Origin: f.name, Names: kinds}) // again in 30 s
}
