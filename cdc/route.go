package cdc

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Route says which names of the cache (tier.Key, tier.Tag, …) the changes of one
// entity outdate.
type Route struct {
	// Row returns the names outdated by one version of a row. It is called for
	// each row of an event, from one goroutine, and must not block. Nil: every
	// event is answered with All. Read columns with Row.Must.
	Row func(Row) []string
	// All are the names outdated by the entity as a whole: a truncate, a gap in
	// the source, or an event that Row can't handle. Required.
	All []string
}

// Routes maps Event.Entity to its route. Events of other entities are counted
// and otherwise ignored.
type Routes map[string]Route

// check reports everything that is wrong with the routes.
func (r Routes) check() error {
	if len(r) == 0 {
		return errors.New("cdc: FollowerConfig.Routes is empty: give each entity that the cache depends on a Route")
	}
	var errs []error
	for _, entity := range slices.Sorted(maps.Keys(r)) {
		all := r[entity].All
		switch {
		case entity == "":
			errs = append(errs, errors.New(`cdc: FollowerConfig.Routes[""]: an entity has a name, such as "public.orders"`))
		case len(all) == 0:
			errs = append(errs, fmt.Errorf("cdc: FollowerConfig.Routes[%q].All is empty: name the tag that every entry "+
				"made from this entity carries, or the spaces that hold them; it answers a truncate", entity))
		case slices.Contains(all, ""):
			errs = append(errs, fmt.Errorf("cdc: FollowerConfig.Routes[%q].All holds an empty name", entity))
		}
	}
	return errors.Join(errs...)
}

// copy returns routes that the caller can't change any more.
func (r Routes) copy() Routes {
	c := make(Routes, len(r))
	for entity, route := range r {
		c[entity] = Route{Row: route.Row, All: slices.Clone(route.All)}
	}
	return c
}

// names returns what the event outdates. If an error is returned with them, the
// event is poisonous and names is All.
func (r Route) names(e Event) ([]string, error) {
	rowwise := r.Row != nil && len(e.Rows) > 0 && (e.Kind == Insert || e.Kind == Update || e.Kind == Delete)
	if !rowwise {
		return r.All, nil
	}
	var names []string
	for _, row := range e.Rows {
		of, err := r.rowNames(row)
		if err != nil {
			return r.All, err
		}
		names = append(names, of...)
	}
	return names, nil
}

// rowNames calls Row and turns its panic into an error. The text of a panic may
// hold values of the row, so that only errors are passed on.
func (r Route) rowNames(row Row) (names []string, err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case error:
			err = fmt.Errorf("cdc: Route.Row panicked: %w", p)
		default:
			err = fmt.Errorf("cdc: Route.Row panicked with a %T", p)
		}
	}()
	return r.Row(row), nil
}
