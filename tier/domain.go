package tier

import (
	"slices"
	"sync/atomic"
)

// A domain is the spaces whose names begin with the same word.
type domain struct {
	name          string
	spaces        []*space      // guarded by Cache.mu
	invalidations atomic.Uint64 // names applied that entries of the domain may stand on
}

func (c *Cache) domainLocked(name string) *domain {
	for _, d := range c.domains {
		if d.name == name {
			return d
		}
	}
	d := &domain{name: name}
	c.domains = append(c.domains, d)
	return d
}

// countInvalidations counts names once in each domain that they concern, and by origin. It looks for the domains once for all
// names of a kind: a feed's batch has hundreds of one space.
func (c *Cache) countInvalidations(origin string, names []string) {
	c.stats.invalidated(origin, len(names))
	c.unmatched.invalidated(names)
	kinds := make(map[string]int)
	for kind, run := range runs(names) {
		kinds[kind] += len(run)
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	for kind, count := range kinds {
		for _, d := range c.domains {
			if d.concerned(kind) {
				d.invalidations.Add(uint64(count))
			}
		}
	}
}

func (d *domain) concerned(kind string) bool {
	return slices.ContainsFunc(d.spaces, func(sp *space) bool { return sp.concerned(kind) })
}

// concerned says whether entries of sp may stand on names of a kind.
func (sp *space) concerned(kind string) bool {
	switch rest := kind[2:]; kind[:2] {
	case keyName, spaceName:
		return rest == sp.name
	case tagName:
		return sp.entities.has(Entity(rest))
	case entityName:
		return sp.entities.has(kind)
	default:
		return slices.Contains(sp.strategy.feeds, rest)
	}
}
