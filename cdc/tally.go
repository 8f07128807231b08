package cdc

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

const (
	maxEntities  = 1000     // that a tally remembers
	maxEntityLen = 128      // in bytes; longer names are cut
	otherEntity  = "other"  // the rest
	unnamed      = "(none)" // events whose source can't tell the entity
)

// tally counts events by entity.
type tally map[string]uint64

// add counts one, as that of an entity or of the rest. first: its entity was not there, and is remembered.
func (t tally) add(entity string) (as string, first bool) {
	if len(entity) > maxEntityLen {
		entity = strings.ToValidUTF8(entity[:maxEntityLen], "")
	}
	entity = cmp.Or(entity, unnamed)
	_, known := t[entity]
	if !known && len(t) >= maxEntities {
		t[otherEntity]++
		return otherEntity, false
	}
	t[entity]++
	return entity, !known
}

// clone is a copy to give away; nil: nothing was counted.
func (t tally) clone() map[string]uint64 {
	if len(t) == 0 {
		return nil
	}
	return maps.Clone(t)
}

// top returns the entities with the highest counts, the highest first.
func top(counts map[string]uint64) []string {
	return slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
}
