package main

import "testing"

func TestWorlds(t *testing.T) {
	for _, w := range worlds() {
		t.Run(w.name, func(t *testing.T) {
			for _, problem := range w.verify().problems {
				t.Error(problem)
			}
		})
	}
}

// TestExplore looks at the search itself, in a world of two steps that count, where four is wrong.
func TestExplore(t *testing.T) {
	const noLimit rule = 1
	m := model[int]{
		next: func(s int, off rule, to func(string, int)) {
			if s < 2 || off == noLimit && s < 5 {
				to("one", s+1)
				to("two", min(s+2, 5))
			}
		},
		broken: func(s int) string {
			if s == 4 {
				return "four"
			}
			return ""
		},
	}
	if r := m.explore(whole); r.broken != "" || r.states != 4 || r.transitions != 4 {
		t.Errorf("whole: got %d states, %d transitions, broken %q; want 4 states, 4 transitions, not broken", r.states, r.transitions, r.broken)
	}
	r := m.explore(noLimit)
	if r.broken != "four" || len(r.trace) != 2 {
		t.Errorf("got %q by %q; want four in two steps", r.broken, r.trace)
	}
	m.broken = func(int) string { return "" }
	m.stuck = func(int) string { return "stuck" }
	if r := m.explore(whole); r.broken != "stuck" {
		t.Errorf("where nothing more can happen: got %q; want stuck", r.broken)
	}
}

// TestSurvivors shows that a world is refused whose mutation breaks nothing, that breaks by itself, or that does nothing.
func TestSurvivors(t *testing.T) {
	m := model[int]{
		next:      func(s int, _ rule, to func(string, int)) { to("one", 1) },
		broken:    func(int) string { return "" },
		mutations: []mutation{{off: 1, name: "nothing"}},
	}
	if v := m.world().verify(); len(v.problems) != 1 || v.caught != 0 {
		t.Errorf("a mutation that survives: got problems %q", v.problems)
	}
	m.mutations, m.reaches = nil, []string{"one", "two"}
	if v := m.world().verify(); len(v.problems) != 1 {
		t.Errorf("a step that is never taken: got problems %q", v.problems)
	}
	m.reaches = nil
	m.broken = func(s int) string { return "always" }
	if v := m.world().verify(); len(v.problems) != 1 {
		t.Errorf("a broken world: got problems %q", v.problems)
	}
}
