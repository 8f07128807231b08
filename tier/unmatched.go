package tier

import (
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/tandem-cache/tandem/remote"
)

const (
	maxKinds    = 256 // kinds of names that the routes of a feed may declare; more: any name
	maxNamed    = 1024
	maxMeetings = 256  // entities whose tags are compared
	maxSample   = 1024 // tags of an entity that are remembered
	maxStrange  = 16   // feeds that report and that nothing here names

	// From so many on, that nothing ever met is worth a warning.
	manyChanges    = 200 // changes of an entity's objects, of those that are sampled
	manyDependents = 20  // objects that values depended on, of those that are sampled
	manyLoads      = 200 // values loaded

	anyName = "*" // in a declaration: the routes may give names that they do not spell out
)

// unmatched compares the names that loaders depend on with those that routes and invalidations name, for warnings in health: a misspelt
// name is no error anywhere, and what stands on it stays stale. Nothing else rests on it. The zero value is ready.
type unmatched struct {
	seed maphash.Seed

	mu      sync.Mutex                     // guards the fields below
	routed  map[string]map[string]struct{} // by feed: the kinds of names that its routes can give
	named   map[string]struct{}            // the kinds of names that were invalidated since the pod started
	tags    map[string]*meeting            // by entity
	loads   uint64                         // values loaded
	strange map[string]struct{}            // feeds that were heard and that nothing here names
}

func (u *unmatched) init() {
	u.seed = maphash.MakeSeed()
	u.routed, u.named = make(map[string]map[string]struct{}), make(map[string]struct{})
	u.tags, u.strange = make(map[string]*meeting), make(map[string]struct{})
}

// A meeting is where the tags of one entity that loaders depend on meet those that are invalidated. It remembers a sample of the former: the
// tags whose hash ends in a number of zero bits, one more each time the sample is full.
type meeting struct {
	bits    uint
	sample  map[uint64]struct{}
	changes uint64 // invalidations of tags that would be in the sample
	met     bool   // one of them was in it
}

func (m *meeting) samples(hash uint64) bool { return hash&(1<<m.bits-1) == 0 }

func (m *meeting) depend(hash uint64) {
	if !m.samples(hash) {
		return
	}
	if len(m.sample) >= maxSample {
		m.bits++
		maps.DeleteFunc(m.sample, func(h uint64, _ struct{}) bool { return !m.samples(h) })
	}
	if m.samples(hash) {
		m.sample[hash] = struct{}{}
	}
}

func (m *meeting) change(hash uint64) {
	if !m.met && m.samples(hash) {
		m.changes++
		_, m.met = m.sample[hash]
	}
}

// meetingLocked returns the meeting of an entity; nil where there are too many.
func (u *unmatched) meetingLocked(entity string) *meeting {
	m := u.tags[entity]
	if m == nil && len(u.tags) < maxMeetings {
		m = &meeting{sample: make(map[uint64]struct{})}
		u.tags[entity] = m
	}
	return m
}

// depended notes what a loaded value depends on.
func (u *unmatched) depended(names []remote.Name) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.loads++
	for _, n := range names {
		entity, isTag := strings.CutPrefix(kindOf(n.Text), tagName)
		if !isTag {
			continue
		}
		if m := u.meetingLocked(entity); m != nil {
			m.depend(maphash.String(u.seed, n.Text))
		}
	}
}

// invalidated notes names that were invalidated.
func (u *unmatched) invalidated(names []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for kind, run := range runs(names) {
		if len(u.named) < maxNamed {
			u.named[kind] = struct{}{}
		}
		entity, isTag := strings.CutPrefix(kind, tagName)
		if !isTag {
			continue
		}
		m := u.meetingLocked(entity)
		for _, name := range run {
			if m != nil && !m.met {
				m.change(maphash.String(u.seed, name))
			}
		}
	}
}

// heardOf notes a feed that reports and that nothing here names.
func (u *unmatched) heardOf(feed string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.strange) < maxStrange {
		u.strange[feed] = struct{}{}
	}
}

// declared notes the kinds of names that the routes of a feed can give.
func (u *unmatched) declared(feed string, kinds []string) {
	set := make(map[string]struct{}, len(kinds))
	for _, kind := range kinds[:min(len(kinds), maxKinds)] {
		set[kind] = struct{}{}
	}
	if len(kinds) > maxKinds {
		set[anyName] = struct{}{}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.routed[feed] = set
}

// namesAnyLocked reports whether a route of one of feeds may give a name of one of kinds, or an invalidation has named one. Where the routes of a
// feed are not known, they may.
func (u *unmatched) namesAnyLocked(feeds []string, kinds ...string) bool {
	for _, kind := range kinds {
		if _, ok := u.named[kind]; ok {
			return true
		}
	}
	for _, feed := range feeds {
		routed, known := u.routed[feed]
		if !known {
			return true
		}
		for _, kind := range append(kinds, anyName) {
			if _, ok := routed[kind]; ok {
				return true
			}
		}
	}
	return false
}

// unmatchedNames returns warnings of names that never meet, by reason, in a fixed order.
func (c *Cache) unmatchedNames() (warnings []unmatchedName) {
	c.mu.RLock()
	spaces, feeds := slices.Clone(c.spaces), maps.Clone(c.feeds)
	c.mu.RUnlock()
	u := &c.unmatched
	u.mu.Lock()
	defer u.mu.Unlock()
	warnings = append(warnings, u.feedsLocked(spaces, feeds)...)
	for _, sp := range spaces {
		warnings = append(warnings, u.spaceLocked(sp)...)
	}
	return append(warnings, u.tagsLocked(spaces)...)
}

// An unmatchedName is a warning, with its reason as the metric has it.
type unmatchedName struct{ reason, text string }

const (
	unmatchedFeed       = "feed"       // it is followed, and no space names it, or the reverse
	unmatchedDependency = "dependency" // no route names it
	unmatchedSpace      = "space"      // its values depend on nothing that a route names
	unmatchedTag        = "tag"        // its changes never met a value
)

var unmatchedReasons = []string{unmatchedFeed, unmatchedDependency, unmatchedSpace, unmatchedTag}

// feedsLocked compares the feeds that spaces name with those that are followed.
func (u *unmatched) feedsLocked(spaces []*space, feeds map[string]*feedState) (warnings []unmatchedName) {
	named := make(map[string]bool)
	for _, sp := range spaces {
		for _, feed := range sp.feedNames() {
			named[feed] = true
		}
	}
	if len(named) == 0 {
		return nil // a process that only follows, or a cache without feeds
	}
	used := strings.Join(slices.Sorted(maps.Keys(named)), ", ")
	for _, feed := range slices.Sorted(maps.Keys(feeds)) {
		_, heard := feeds[feed].last()
		switch {
		case !named[feed]:
			warnings = append(warnings, unmatchedName{unmatchedFeed, fmt.Sprintf("the feed %s is followed here, and no space names it: spaces name %s", feed, used)})
		case heard.IsZero() && len(u.strange) > 0:
			warnings = append(warnings, unmatchedName{unmatchedFeed, fmt.Sprintf("the feed %s was never heard, while a follower reports of %s, which nothing here names: is one of them misspelt?",
				feed, strings.Join(slices.Sorted(maps.Keys(u.strange)), ", "))})
		}
	}
	return warnings
}

// spaceLocked looks for dependencies of a space that no route names.
func (u *unmatched) spaceLocked(sp *space) (warnings []unmatchedName) {
	feeds := sp.feedNames()
	if len(feeds) == 0 {
		return nil
	}
	for _, entity := range sp.entities.list() {
		if !u.namesAnyLocked(feeds, tagName+entity, entityName+entity) {
			warnings = append(warnings, unmatchedName{unmatchedDependency, fmt.Sprintf(
				"values of %s depend on %s, which no route of %s names and nobody has invalidated: a change of it outdates nothing", sp.name, entity, strings.Join(feeds, ", "))})
		}
	}
	if n := sp.stats.independent.value(); n > 0 && sp.strategy.ttl == 0 && !u.namesAnyLocked(feeds, keyName+sp.name, spaceName+sp.name) {
		warnings = append(warnings, unmatchedName{unmatchedSpace, fmt.Sprintf(
			"%d loads of %s depended on nothing, and no route of %s names its keys: what they read stays until the space is flushed", n, sp.name, strings.Join(feeds, ", "))})
	}
	return warnings
}

// tagsLocked looks for entities whose changes never met a value that depends on the object.
func (u *unmatched) tagsLocked(spaces []*space) (warnings []unmatchedName) {
	for _, entity := range slices.Sorted(maps.Keys(u.tags)) {
		m := u.tags[entity]
		switch {
		case m.met || m.changes < manyChanges:
		case len(m.sample) >= manyDependents:
			warnings = append(warnings, unmatchedName{unmatchedTag, fmt.Sprintf(
				"changes of %s never met a value that depends on the object: do loaders and routes write its identifiers alike?", entity)})
		case len(m.sample) == 0 && u.loads >= manyLoads && !slices.ContainsFunc(spaces, func(sp *space) bool { return sp.entities.has(Entity(entity)) }):
			warnings = append(warnings, unmatchedName{unmatchedTag, fmt.Sprintf(
				"objects of %s are invalidated, and no loader of this pod has ever depended on one: is its name misspelt?", entity)})
		}
	}
	return warnings
}
