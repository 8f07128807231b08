package cdc

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Route says which names of the cache (tier.Key, tier.Tag, …) the changes of one entity outdate. With neither Rules nor Row every
// change outdates All; with both, each adds its names.
type Route struct {
	Rules []Rule
	// Row is for what rules can't say. It returns the names outdated by one version of a row. It is called for each row of an event,
	// from one goroutine, and must not block. Read columns with Row.Must.
	Row func(Row) []string
	// All are the names outdated by the entity as a whole: a truncate, a gap in the source, an event that neither Rules nor Row can
	// handle, a transaction of more than FollowerConfig.Collapse rows. Required.
	All []string
}

// Rule outdates names made from the columns of a changed row.
type Rule struct {
	// Names are names of the cache in which {column} stands for the value of a column of the row: tier.Tag("order", "{id}"),
	// tier.Key("orders:account", "{account}:{region}"). A name without braces is outdated as it is: tier.SpaceName("orders:recent").
	// Braces can't stand for themselves. Don't put a template through tier.ID: it escapes the braces.
	//
	// {column|filter} changes the value first, and filters can follow each other: trim (spaces at both ends), lower, upper. They are for
	// columns whose text is not what a loader says: {code|trim}, {mail|lower}.
	//
	// A value is written as tier.ID escapes it and, where that makes a difference, also as it is: both names are outdated.
	// Each version of the row that an event has gives its own names. A column that is absent from one of them makes the event poisonous:
	// it is answered with Route.All.
	Names []string
	// When names the columns that matter: an Update that is known (by Event.Changed) to have changed none of them outdates nothing by this
	// rule. An Update of which the source doesn't know what changed, and every other kind of change, always counts. "address" stands
	// for all of its parts, "address.city" too, and a change of "address" is one of "address.city". Empty: all columns matter.
	//
	// A column that the source never delivers, such as a computed or a misspelt one, never counts as changed.
	When []string
	// Optional says that a row without one of the columns in Names is no reason to outdate Route.All if the change can't have touched what
	// this rule is about: it is a Delete, or an Update that is known to have changed none of the columns in Names and When. The rule then
	// outdates nothing for that row. It is for sources that deliver only what changed, and for names whose entries depend by a tag on each
	// row that they were made from, so that the row's own tag outdates them when the row goes.
	Optional bool
}

// Routes maps Event.Entity to its route. Events of other entities are counted and otherwise ignored.
type Routes map[string]Route

// compile makes the routes ready, or reports everything that is wrong with them.
func (r Routes) compile() (router, error) {
	if len(r) == 0 {
		return nil, errors.New("cdc: FollowerConfig.Routes is empty: give each entity that the cache depends on a Route")
	}
	var errs []error
	made := make(router, len(r))
	for _, entity := range slices.Sorted(maps.Keys(r)) {
		one, err := r[entity].compile(fmt.Sprintf("cdc: FollowerConfig.Routes[%q]", entity))
		if entity == "" {
			err = errors.New(`cdc: FollowerConfig.Routes[""]: an entity has a name, such as "public.orders"`)
		}
		errs = append(errs, err)
		made[entity] = one
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return made, nil
}

// compile makes one route ready; at is where it stands.
func (r Route) compile(at string) (*route, error) {
	made := &route{row: r.Row, all: slices.Clone(r.All)}
	errs := []error{checkAll(at+".All", r.All)}
	for i, one := range r.Rules {
		ready, err := one.compile(fmt.Sprintf("%s.Rules[%d]", at, i))
		errs = append(errs, err)
		made.rules = append(made.rules, ready)
	}
	return made, errors.Join(errs...)
}

func checkAll(at string, all []string) error {
	if len(all) == 0 {
		return fmt.Errorf("%s is empty: name the tag that every entry made from this entity carries, "+
			"or the spaces that hold them; it answers a truncate", at)
	}
	for i, name := range all {
		switch {
		case name == "":
			return fmt.Errorf("%s[%d] is an empty name", at, i)
		case strings.ContainsAny(name, "{}"):
			return fmt.Errorf("%s[%d] is %q: there is no row whose columns could stand for the braces", at, i, name)
		}
	}
	return nil
}

// compile makes one rule ready; at is where it stands.
func (r Rule) compile(at string) (rule, error) {
	made := rule{when: slices.Clone(r.When), optional: r.Optional}
	var errs []error
	if len(r.Names) == 0 {
		errs = append(errs, fmt.Errorf("%s.Names is empty", at))
	}
	for i, name := range r.Names {
		t, err := parseTemplate(name)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s.Names[%d]: %w", at, i, err))
		}
		made.names = append(made.names, t)
		for _, p := range t.pieces {
			made.columns = append(made.columns, p.column)
		}
	}
	if i := slices.Index(r.When, ""); i >= 0 {
		errs = append(errs, fmt.Errorf("%s.When[%d] is an empty column", at, i))
	}
	return made, errors.Join(errs...)
}
