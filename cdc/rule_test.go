package cdc_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/tier"
)

// sent runs a follower over batches and returns the steps that changed the cache, each call of Feed.Invalidate one, and its stats. The
// entity of the routes is "t".
func sent(t *testing.T, cfg cdc.FollowerConfig, w *world) (steps []string, stats cdc.Stats) {
	t.Helper()
	w.set(func() { w.names[""] = time.Now().Add(time.Hour) }) // these events have no column "name" to check
	cfg.Source, cfg.Feed, cfg.Logger, cfg.Rewind = source{w}, feed{w}, w.config().Logger, time.Millisecond
	f, stop := run(t, cfg)
	nap(500 * time.Millisecond)
	stop()
	for _, s := range w.steps {
		if names, ok := strings.CutPrefix(s, "invalidate "); ok || s == "flush" {
			steps = append(steps, names)
		}
	}
	return steps, f.Stats()
}

// answered is what a route makes of one event: the names, and whether it counts as poisonous.
func answered(t *testing.T, route cdc.Route, e cdc.Event) (names []string, poisonous bool) {
	t.Helper()
	steps, stats := sent(t, cdc.FollowerConfig{Routes: cdc.Routes{"t": route}}, newWorld(t, cdc.Batch{Events: []cdc.Event{e}}))
	if len(steps) > 0 {
		names = strings.Fields(steps[0])
	}
	return names, stats.Poisonous == 1
}

// All of what makes a rule count, and what a missing column does.
func TestRules(t *testing.T) {
	rules := func(r ...cdc.Rule) []cdc.Rule { return r }
	id := cdc.Rule{Names: []string{"order:{Id}"}}
	member := cdc.Rule{Names: []string{"orders-of:{AccountId}"}, When: []string{"AccountId"}, Optional: true}
	status := cdc.Rule{Names: []string{"by-status:{AccountId}"}, When: []string{"Status"}, Optional: true}
	city := cdc.Rule{Names: []string{"cities"}, When: []string{"BillingAddress"}}
	part := cdc.Rule{Names: []string{"cities"}, When: []string{"BillingAddress.City"}}
	all := []string{"all"}
	for _, c := range []struct {
		name    string
		rules   []cdc.Rule
		kind    cdc.Kind
		changed []string
		rows    []cdc.Row
		want    []string
		poison  bool
	}{
		{"insert", rules(id, member), cdc.Insert, nil, []cdc.Row{{"Id": "1", "AccountId": "a"}}, []string{"order:1", "orders-of:a"}, false},
		{"insert counts whatever When says", rules(city), cdc.Insert, nil, []cdc.Row{{"Id": "1"}}, []string{"cities"}, false},
		{"insert lacks an optional column", rules(id, member), cdc.Insert, nil, []cdc.Row{{"Id": "1"}}, all, true},
		{
			"filters", rules(cdc.Rule{Names: []string{"code:{Code|trim}", "mail:{Mail|trim|lower}:{Id}", "up:{Code|trim|upper}"}}), cdc.Insert, nil,
			[]cdc.Row{{"Id": "1", "Code": " ab ", "Mail": "Ann@Example.ORG "}},
			[]string{"code:ab", "mail:ann@example.org:1", "up:AB"},
			false,
		},
		{"filtered column is absent", rules(cdc.Rule{Names: []string{"code:{Code|trim}"}}), cdc.Insert, nil, []cdc.Row{{"Id": "1"}}, all, true},
		{"both versions", rules(id), cdc.Update, nil, []cdc.Row{{"Id": "new"}, {"Id": "old"}}, []string{"order:new", "order:old"}, false},
		{"each once", rules(id, id), cdc.Update, nil, []cdc.Row{{"Id": "1"}, {"Id": "1"}}, []string{"order:1"}, false},
		{"old version lacks a column", rules(id, member), cdc.Update, nil, []cdc.Row{{"Id": "1", "AccountId": "a"}, {"Id": "1"}}, all, true},
		{"unknown what changed", rules(id, city), cdc.Update, nil, []cdc.Row{{"Id": "1"}}, []string{"order:1", "cities"}, false},
		{"another column changed", rules(id, city), cdc.Update, []string{"Phone"}, []cdc.Row{{"Id": "1"}}, []string{"order:1"}, false},
		{"nothing changed", rules(city), cdc.Update, []string{}, []cdc.Row{{"Id": "1"}}, nil, false},
		{"a part changed", rules(city), cdc.Update, []string{"Phone", "BillingAddress.City"}, []cdc.Row{{"Id": "1"}}, []string{"cities"}, false},
		{"the whole of a part changed", rules(part), cdc.Update, []string{"BillingAddress"}, []cdc.Row{{"Id": "1"}}, []string{"cities"}, false},
		{"another part changed", rules(part), cdc.Update, []string{"BillingAddress.Street"}, []cdc.Row{{"Id": "1"}}, nil, false},
		{"a longer name is no part", rules(city), cdc.Update, []string{"BillingAddressLine"}, []cdc.Row{{"Id": "1"}}, nil, false},
		{"delete counts", rules(id, city), cdc.Delete, nil, []cdc.Row{{"Id": "1"}}, []string{"order:1", "cities"}, false},
		{"delete lacks an optional column", rules(id, member), cdc.Delete, nil, []cdc.Row{{"Id": "1"}}, []string{"order:1"}, false},
		{"delete lacks a column", rules(cdc.Rule{Names: member.Names}), cdc.Delete, nil, []cdc.Row{{"Id": "1"}}, all, true},
		{"moved", rules(id, member), cdc.Update, []string{"AccountId"}, []cdc.Row{{"Id": "1", "AccountId": "b"}}, []string{"order:1", "orders-of:b"}, false},
		{"moved to nowhere", rules(id, member), cdc.Update, []string{"AccountId"}, []cdc.Row{{"Id": "1"}}, all, true},
		{"a gap", rules(id, member), cdc.Update, nil, []cdc.Row{{"Id": "1"}}, all, true},
		{
			"optional, without When, untouched",
			rules(id, cdc.Rule{Names: member.Names, Optional: true}), cdc.Update,
			[]string{"Phone"},
			[]cdc.Row{{"Id": "1"}},
			[]string{"order:1"},
			false,
		},
		{"whose list, nobody knows", rules(id, status), cdc.Update, []string{"Status"}, []cdc.Row{{"Id": "1", "Status": "paid"}}, all, true},
		{"whole", rules(id), cdc.Whole, nil, []cdc.Row{{"Id": "1"}}, all, false},
		{"no rows", rules(id), cdc.Update, []string{"Phone"}, nil, all, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := cdc.Event{Entity: "t", Kind: c.kind, Changed: c.changed, Rows: c.rows}
				got, poisonous := answered(t, cdc.Route{Rules: c.rules, All: all}, e)
				if diff := cmp.Diff(c.want, got); diff != "" || poisonous != c.poison {
					t.Errorf("poisonous: %v; want %v; names (-want +got):\n%s", poisonous, c.poison, diff)
				}
			})
		})
	}
}

// Rules and a function add up, and if one of them fails nothing of either remains.
func TestRulesAndRow(t *testing.T) {
	route := cdc.Route{
		Rules: []cdc.Rule{{Names: []string{"{id}"}}},
		Row:   func(r cdc.Row) []string { return []string{"account-" + r.Must("account")} },
		All:   []string{"all"},
	}
	for _, c := range []struct {
		row  cdc.Row
		want []string
	}{
		{cdc.Row{"id": "1", "account": "a"}, []string{"1", "account-a"}},
		{cdc.Row{"id": "1"}, []string{"all"}},
		{cdc.Row{"account": "a"}, []string{"all"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			got, _ := answered(t, route, cdc.Event{Entity: "t", Kind: cdc.Insert, Rows: []cdc.Row{c.row}})
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%v (-want +got):\n%s", c.row, diff)
			}
		})
	}
}

// A value is outdated as tier.ID writes it and as it is: a loader may have used either.
func TestRuleNamesAreThoseOfTier(t *testing.T) {
	values := []string{"1", "a:b", "50%", "{x}", "é", "\x7f", "\n", "a%3Ab", strings.Repeat("é:", 100)}
	for b := range 256 {
		values = append(values, "a"+string([]byte{byte(b)})+"b")
	}
	rules := cdc.Routes{"t": {
		Rules: []cdc.Rule{{Names: []string{tier.Key("shop:order", "{a}:{b}"), tier.Tag("order", "{a}")}}},
		All:   []string{"all"},
	}}
	for _, v := range values {
		x := rules.Explain(cdc.Event{Entity: "t", Kind: cdc.Insert, Rows: []cdc.Row{{"a": v, "b": "7"}}})
		for _, want := range []string{
			tier.Key("shop:order", tier.ID(v, "7")), tier.Tag("order", tier.ID(v)), tier.Tag("order", v),
		} {
			if !slices.Contains(x.Names, want) {
				t.Errorf("got %q; want %q among them", x.Names, want)
			}
		}
		if n := 2; tier.ID(v) == v && len(x.Names) != n {
			t.Errorf("got %q; want %d names: nothing is to be escaped", x.Names, n)
		}
	}
}

// A wrong rule is refused when the follower is made, and the error says which.
func TestWrongRules(t *testing.T) {
	for name, want := range map[string]string{
		"":              `Routes["Order"].Rules[1].Names[0]: an empty name`,
		"t:order:{":     `Routes["Order"].Rules[1].Names[0]: "t:order:{" opens a brace and does not close it`,
		"t:order:{a{b}": `opens a brace and does not close it`,
		"t:order:a}":    `closes a brace that is not open`,
		"t:order:{a}}":  `closes a brace that is not open`,
		"t:order:{}":    `has empty braces`,
		"o:{Id|trimm}":  `{Id|trimm} has the filter "trimm": want one of lower, trim, upper`,
		"o:{Id|}":       `{Id|} has the filter ""`,
		"o:{|trim}":     `{|trim} names no column`,

		tier.Tag("order", tier.ID("{Id}")): `has escaped braces: write {column} without tier.ID`,
	} {
		cfg := newWorld(t).config()
		cfg.Routes = cdc.Routes{"Order": {
			Rules: []cdc.Rule{{Names: []string{"fine"}}, {Names: []string{name}}}, All: []string{"all"},
		}}
		if _, err := cdc.NewFollower(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v; want %q", name, err, want)
		}
	}
	for want, route := range map[string]cdc.Route{
		`Routes["Order"].Rules[0].Names is empty`:           {Rules: []cdc.Rule{{}}, All: []string{"all"}},
		`Routes["Order"].Rules[0].When[1] is an empty`:      {Rules: []cdc.Rule{{Names: []string{"a"}, When: []string{"a", ""}}}, All: []string{"all"}},
		`Routes["Order"].All is empty`:                      {},
		`Routes["Order"].All[1] is an empty name`:           {All: []string{"a", ""}},
		`Routes["Order"].All[0] is "t:order:{Id}": there i`: {All: []string{"t:order:{Id}"}},
	} {
		cfg := newWorld(t).config()
		cfg.Routes = cdc.Routes{"Order": route}
		if _, err := cdc.NewFollower(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want %q", err, want)
		}
	}
}

// The caller may change what the follower was made of.
func TestRoutesAreCopied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rules := []cdc.Rule{{Names: []string{"{id}"}, When: []string{"a"}}}
		all := []string{"all"}
		w := newWorld(t, cdc.Batch{Events: []cdc.Event{
			{Entity: "t", Kind: cdc.Update, Changed: []string{"a"}, Rows: []cdc.Row{{"id": "1"}}}, {Entity: "t", Kind: cdc.Whole},
		}})
		w.names[""] = time.Now()
		cfg := w.config()
		cfg.Routes = cdc.Routes{"t": {Rules: rules, All: all}}
		f, err := cdc.NewFollower(cfg)
		if err != nil {
			t.Fatal(err)
		}
		rules[0].Names[0], rules[0].When[0], all[0] = "changed", "b", "changed"
		delete(cfg.Routes, "t")
		stop := start(t, f)
		nap(500 * time.Millisecond)
		stop()
		if w.count("invalidate 1 all") != 1 {
			t.Errorf("got %v; want names of the routes as they were", w.steps)
		}
	})
}

var errUnreadable = errors.New("no schema")

// A change that the source could not read outdates all of its entity; one of an unknown entity everything; one of an entity that
// concerns nobody nothing.
func TestUnreadable(t *testing.T) {
	rows := []cdc.Row{{"id": "1"}}
	good := cdc.Event{Entity: "t", Kind: cdc.Update, Rows: rows}
	for _, c := range []struct {
		name  string
		event cdc.Event
		want  []string
		stats cdc.Stats
	}{
		{
			"known entity",
			cdc.Event{Entity: "t", Kind: cdc.Update, Rows: rows, Err: errUnreadable},
			[]string{"all 1"},
			cdc.Stats{Poisonous: 1, PoisonousBy: map[string]uint64{"t": 1}},
		},
		{
			"no entity",
			cdc.Event{Err: errUnreadable},
			[]string{"flush", "1"},
			cdc.Stats{Poisonous: 1, PoisonousBy: map[string]uint64{"(none)": 1}, Flushes: 1},
		},
		{
			"no entity, no error",
			cdc.Event{Kind: cdc.Update, Rows: rows},
			[]string{"flush", "1"},
			cdc.Stats{Poisonous: 1, PoisonousBy: map[string]uint64{"(none)": 1}, Flushes: 1},
		},
		{
			"nobody's entity",
			cdc.Event{Entity: "other", Err: errUnreadable},
			[]string{"1"},
			cdc.Stats{Unrouted: 1, UnroutedBy: map[string]uint64{"other": 1}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				routes := cdc.Routes{"t": {Rules: []cdc.Rule{{Names: []string{"{id}"}}}, All: []string{"all"}}}
				w := newWorld(t, cdc.Batch{Events: []cdc.Event{c.event, good}})
				got, st := sent(t, cdc.FollowerConfig{Routes: routes}, w)
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				st = cdc.Stats{
					Poisonous: st.Poisonous, PoisonousBy: st.PoisonousBy, Unrouted: st.Unrouted, UnroutedBy: st.UnroutedBy, Flushes: st.Flushes,
				}
				if diff := cmp.Diff(c.stats, st); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

// With a settle time the flush for a change of an unknown entity is repeated too.
func TestUnreadableIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cdc.Batch{Events: []cdc.Event{{Err: errUnreadable}}})
		cfg := w.config()
		cfg.Settle = 100 * time.Millisecond
		f, stop := run(t, cfg)
		nap(time.Second)
		stop()
		if st := f.Stats(); st.Flushes != 2 || st.Poisonous != 1 || st.Position != "1" {
			t.Errorf("got %d flushes, %d poisonous, position %q; want 2, 1, 1", st.Flushes, st.Poisonous, st.Position)
		}
		f.Stats().PoisonousBy["(none)"] = 7 // the map is the caller's
		if n := f.Stats().PoisonousBy["(none)"]; n != 1 {
			t.Errorf("%d poisonous events by name; want 1", n)
		}
	})
}

// Entities are counted by name as long as they are few, and the report holds those with the most events.
func TestCountsByEntity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var events []cdc.Event
		for n := range 1500 {
			events = append(events, cdc.Event{Entity: fmt.Sprintf("u%04d", n)})
		}
		for range 3 {
			events = append(events, cdc.Event{Entity: "u0007"}, cdc.Event{Entity: "u1499"}, cdc.Event{Entity: "t", Err: errUnreadable})
		}
		events = append(events, cdc.Event{Entity: strings.Repeat("x", 4000)}, cdc.Event{Entity: ""})
		w := newWorld(t, cdc.Batch{Events: events})
		_, st := sent(t, cdc.FollowerConfig{Routes: w.config().Routes}, w)
		if len(st.UnroutedBy) != 1001 || st.UnroutedBy["u0007"] != 4 || st.UnroutedBy["other"] != 504 {
			t.Errorf("got %d entities, u0007 %d, other %d; want 1001, 4, 504", len(st.UnroutedBy), st.UnroutedBy["u0007"], st.UnroutedBy["other"])
		}
		counts := st.Counts()
		if len(counts) != tier.MaxCounts {
			t.Errorf("got %d counts; want %d", len(counts), tier.MaxCounts)
		}
		want := map[string]uint64{"unrouted:other": 504, "unrouted:u0007": 4, "poisonous:t": 3, "poisonous:(none)": 1, "unrouted": 1507, "poisonous": 4}
		for key, n := range want {
			if counts[key] != n {
				t.Errorf("%s: got %d; want %d", key, counts[key], n)
			}
		}
	})
}

// Neither of the two lists crowds the other out.
func TestCountsShareTheRoom(t *testing.T) {
	many := func(n int) map[string]uint64 {
		m := make(map[string]uint64)
		for i := range n {
			m[fmt.Sprint("e", i)] = uint64(i + 1)
		}
		return m
	}
	base := len(cdc.Stats{}.Counts())
	room := tier.MaxCounts - base
	for _, c := range []struct{ poisonous, unrouted, wantPoisonous, wantUnrouted int }{
		{100, 100, room / 2, room - room/2}, {2, 100, 2, room - 2}, {100, 3, room - 3, 3}, {0, 100, 0, room}, {100, 0, room, 0}, {1, 1, 1, 1},
	} {
		counts := cdc.Stats{PoisonousBy: many(c.poisonous), UnroutedBy: many(c.unrouted)}.Counts()
		n := map[string]int{}
		for key := range counts {
			kind, _, byEntity := strings.Cut(key, ":")
			if byEntity {
				n[kind]++
			}
		}
		if n["poisonous"] != c.wantPoisonous || n["unrouted"] != c.wantUnrouted {
			t.Errorf("%+v: got %v", c, n)
		}
		if c.poisonous > 0 && counts[fmt.Sprintf("poisonous:e%d", c.poisonous-1)] != uint64(c.poisonous) {
			t.Errorf("%+v: the one with the most is not there", c)
		}
	}
}
