package tier

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// DependsOn records, inside a loader, that the value being loaded was made from the object id of entity: a row, a document.
// Invalidating that object, by [Cache.InvalidateTag] or a feed, outdates the value. Outside a load it does nothing.
//
// A loader must read the source. A Get inside it does not hand over what its entry depends on, nor how old that is: a value that another
// pod is just about to hear is outdated would become part of a fresh one, and DependsOn does not make that good.
//
// It may be called from several goroutines of one load, before the load returns. A malformed entity or id fails the load.
func DependsOn(ctx context.Context, entity, id string) {
	if d, ok := ctx.Value(dependenciesKey{}).(*dependencies); ok {
		d.add(entity, id)
	}
}

type dependenciesKey struct{}

// loading says whether ctx belongs to a load.
func loading(ctx context.Context) bool { return ctx.Value(dependenciesKey{}) != nil }

// dependencies collects what one load depends on.
type dependencies struct {
	mu     sync.Mutex // guards the fields below
	names  map[string]struct{}
	err    error
	sealed bool // the load has returned
}

func withDependencies(ctx context.Context) (context.Context, *dependencies) {
	d := &dependencies{}
	return context.WithValue(ctx, dependenciesKey{}, d), d
}

func (d *dependencies) add(entity, id string) {
	err := checkTag(entity, id)
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.sealed:
	case err != nil:
		d.err = errors.Join(d.err, fmt.Errorf("DependsOn(%q, %q): %w", entity, id, err))
	default:
		if d.names == nil {
			d.names = make(map[string]struct{})
		}
		d.names[Tag(entity, id)] = struct{}{}
		d.names[Entity(entity)] = struct{}{}
	}
}

// seal ends the recording and returns the names in a fixed order.
func (d *dependencies) seal() ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sealed = true
	names := make([]string, 0, len(d.names))
	for name := range d.names {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, d.err
}
