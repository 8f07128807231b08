package tier_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/tier"
)

// warned reports whether health has a warning with all of words in it.
func warned(t *testing.T, c *tier.Cache, words ...string) bool {
	t.Helper()
next:
	for _, w := range c.Health(t.Context()).Warnings {
		for _, word := range words {
			if !strings.Contains(w, word) {
				continue next
			}
		}
		return true
	}
	return false
}

// declare makes a follower over a source that is never opened: its routes are declared.
func declare(t *testing.T, c *tier.Cache, feed string, routes cdc.Routes) {
	t.Helper()
	f, err := c.Feed(feed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cdc.NewFollower(cdc.FollowerConfig{Source: unopened{}, Feed: f, Routes: routes, Logger: quiet}); err != nil {
		t.Fatal(err)
	}
}

type unopened struct{ cdc.Source }

func (unopened) Identity() string { return "unopened" }

// productRoute outdates what depends on a product.
func productRoute() cdc.Route {
	return cdc.Route{Rules: []cdc.Rule{{Names: []string{tier.Tag("product", "{id}")}}}, All: []string{tier.Entity("product")}}
}

// dependent returns a space whose values depend on the objects of entity that have their identifiers; "": on nothing.
func dependent(t *testing.T, c *tier.Cache, entity string) *tier.Space[int] {
	t.Helper()
	return newSpace(t, c, tier.SpaceConfig[int]{Name: "shop:basket", Strategy: tier.CDC("shop-feed"), Load: func(ctx context.Context, id string) (int, error) {
		if entity != "" {
			tier.DependsOn(ctx, entity, id)
		}
		return 1, nil
	}})
}

func read(t *testing.T, s *tier.Space[int], ids ...string) {
	t.Helper()
	for _, id := range ids {
		if _, err := s.Get(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUnroutedDependencyIsWarnedOf(t *testing.T) {
	for name, tt := range map[string]struct {
		entity string
		routes cdc.Routes // nil: not known
		tell   string     // an entity that is invalidated by hand
		warns  bool
	}{
		"misspelt":             {entity: "prodcut", routes: cdc.Routes{"t": productRoute()}, warns: true},
		"routed by tag":        {entity: "product", routes: cdc.Routes{"t": productRoute()}},
		"routed as a whole":    {entity: "product", routes: cdc.Routes{"t": {All: []string{tier.Entity("product")}}}},
		"routes not known":     {entity: "prodcut"},
		"a function may":       {entity: "prodcut", routes: cdc.Routes{"t": {Row: func(cdc.Row) []string { return nil }, All: []string{tier.Entity("product")}}}},
		"a column names it":    {entity: "prodcut", routes: cdc.Routes{"t": {Rules: []cdc.Rule{{Names: []string{"t:{kind}:{id}"}}}, All: []string{tier.Entity("product")}}}},
		"invalidated by hand":  {entity: "prodcut", routes: cdc.Routes{"t": productRoute()}, tell: "prodcut"},
		"another by hand":      {entity: "prodcut", routes: cdc.Routes{"t": productRoute()}, tell: "product", warns: true},
		"two routes, one does": {entity: "basket", routes: cdc.Routes{"t": productRoute(), "u": {All: []string{tier.Entity("basket")}}}},
	} {
		t.Run(name, func(t *testing.T) {
			c := openCache(t, tier.Config{})
			if tt.routes != nil {
				declare(t, c, "shop-feed", tt.routes)
			}
			read(t, dependent(t, c, tt.entity), "1")
			if tt.tell != "" {
				if err := c.InvalidateTag(t.Context(), tt.tell, "1"); err != nil {
					t.Fatal(err)
				}
			}
			if got := warned(t, c, "shop:basket depend on "+tt.entity, "no route of shop-feed"); got != tt.warns {
				t.Errorf("warned: %t; want %t: %q", got, tt.warns, c.Health(t.Context()).Warnings)
			}
		})
	}
}

func TestLoadsWithoutDependenciesAreWarnedOf(t *testing.T) {
	keyRoute := cdc.Route{Rules: []cdc.Rule{{Names: []string{tier.Key("shop:basket", "{id}")}}}, All: []string{tier.SpaceName("shop:basket")}}
	for name, tt := range map[string]struct {
		entity string
		route  cdc.Route
		warns  bool
	}{
		"depends on nothing":      {route: productRoute(), warns: true},
		"depends on something":    {entity: "product", route: productRoute()},
		"a route names its keys":  {route: keyRoute},
		"a route names the space": {route: cdc.Route{All: []string{tier.SpaceName("shop:basket")}}},
		"a route names another":   {route: cdc.Route{All: []string{tier.SpaceName("shop:baskets")}}, warns: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := openCache(t, tier.Config{})
			declare(t, c, "shop-feed", cdc.Routes{"t": tt.route})
			read(t, dependent(t, c, tt.entity), "1")
			if got := warned(t, c, "1 loads of shop:basket depended on nothing"); got != tt.warns {
				t.Errorf("warned: %t; want %t: %q", got, tt.warns, c.Health(t.Context()).Warnings)
			}
		})
	}
}

func TestMisspeltFeedIsWarnedOf(t *testing.T) {
	c := openCache(t, tier.Config{})
	declare(t, c, "shop-fed", cdc.Routes{"t": productRoute()})
	if warned(t, c, "shop-fed") {
		t.Error("a process without spaces that follows a feed was warned of it")
	}
	dependent(t, c, "product")
	if !warned(t, c, "the feed shop-fed is followed here, and no space names it: spaces name shop-feed") {
		t.Errorf("warnings %q", c.Health(t.Context()).Warnings)
	}
	declare(t, c, "shop-feed", cdc.Routes{"t": productRoute()})
	if warned(t, c, "the feed shop-feed") {
		t.Errorf("warnings %q", c.Health(t.Context()).Warnings)
	}
}

// A follower runs on another pod.
func TestUnmatchedNamesAcrossPods(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	open := func() *tier.Cache {
		return openCache(t, tier.Config{Redis: connect(t, addr), RemoteTimeout: 2 * time.Second})
	}
	pod, other := open(), open()
	read(t, dependent(t, pod, "prodcut"), "1")
	report := func(feed string) {
		f, err := other.Feed(feed)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Report(t.Context(), "", nil, "7", time.Time{}, 0, nil); err != nil {
			t.Fatal(err)
		}
	}
	declare(t, other, "shop-fed", cdc.Routes{"t": productRoute()})
	report("shop-fed")
	eventually(t, "a warning of a feed that nothing names", func() bool {
		return warned(t, pod, "the feed shop-feed was never heard", "reports of shop-fed")
	})
	if warned(t, pod, "depend on prodcut") {
		t.Error("a warning of a dependency, though the routes of its feed are not known")
	}
	declare(t, other, "shop-feed", cdc.Routes{"t": productRoute()})
	report("shop-feed")
	eventually(t, "a warning of a dependency that no route names", func() bool { return warned(t, pod, "depend on prodcut") })
	eventually(t, "no warning of the feed", func() bool { return !warned(t, pod, "shop-fed") })
}

func TestTagsThatNeverMeetAreWarnedOf(t *testing.T) {
	ids := func(format func(int) string) (all []string) {
		for i := range 300 {
			all = append(all, format(i))
		}
		return all
	}
	padded := func(i int) string { return "0" + strconv.Itoa(i) }
	c := openCache(t, tier.Config{})
	read(t, dependent(t, c, "product"), ids(strconv.Itoa)...)
	tell := func(entity string, ids ...string) {
		t.Helper()
		if err := c.InvalidateTag(t.Context(), entity, ids...); err != nil {
			t.Fatal(err)
		}
	}
	tell("product", ids(padded)[:100]...)
	if warned(t, c, "product") {
		t.Error("warned after 100 changes")
	}
	tell("product", ids(padded)...)
	if !warned(t, c, "changes of product never met a value") {
		t.Errorf("warnings %q", c.Health(t.Context()).Warnings)
	}
	tell("prodcut", ids(strconv.Itoa)...)
	if !warned(t, c, "objects of prodcut are invalidated") {
		t.Errorf("warnings %q", c.Health(t.Context()).Warnings)
	}
	tell("product", "7")
	if warned(t, c, "changes of product") {
		t.Errorf("after one that met: warnings %q", c.Health(t.Context()).Warnings)
	}
}

func TestRoutesOfMalformedNamesAreRefused(t *testing.T) {
	c := openCache(t, tier.Config{})
	f, err := c.Feed("shop-feed")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"product:{id}":          `"product:x": not a name`,
		"t:product:{id}":        "",
		"t:product:":            "the id of a tag",
		"t:{kind}:{id}":         "",
		"k:shop:basket:{a}:{b}": "",
		"k:shop:{id}":           "the identifier is empty",
	} {
		routes := cdc.Routes{"t": {Rules: []cdc.Rule{{Names: []string{name}}}, All: []string{tier.Entity("product")}}}
		_, err := cdc.NewFollower(cdc.FollowerConfig{Source: unopened{}, Feed: f, Routes: routes, Logger: quiet})
		if got := err != nil; got != (want != "") || got && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v; want %q", name, err, want)
		}
	}
}
