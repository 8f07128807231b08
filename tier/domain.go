package tier

import (
	"strings"
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

// countInvalidations counts names once in each domain that they concern, and by origin.
func (c *Cache) countInvalidations(origin string, names []string) {
	c.stats.invalidated(origin, len(names))
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, name := range names {
		for _, d := range c.domains {
			for _, sp := range d.spaces {
				if sp.concerned(name) {
					d.invalidations.Add(1)
					break
				}
			}
		}
	}
}

// concerned says whether entries of sp may stand on name.
func (sp *space) concerned(name string) bool {
	kind, rest := name[:2], name[2:]
	switch kind {
	case keyName:
		id, ok := strings.CutPrefix(rest, sp.name)
		return ok && strings.HasPrefix(id, ":")
	case tagName:
		entity, _, _ := strings.Cut(rest, ":")
		return sp.entities.has(Entity(entity))
	case entityName:
		return sp.entities.has(name)
	case spaceName:
		return rest == sp.name
	default:
		return rest == sp.strategy.feed
	}
}
