package cdctest

import "testing"

// CheckNames lists the subtests of Run.
func CheckNames() (names []string) {
	for _, c := range checks {
		names = append(names, c.name)
	}
	return names
}

// RunCheck runs one of them.
func RunCheck(t testing.TB, name string, rig Rig) {
	for _, c := range checks {
		if c.name == name {
			c.run(&probe{TB: t, rig: rig.withDefaults(t)})
			return
		}
	}
	t.Fatalf("no check %q", name)
}

// NotApplicable is why a check is skipped; "": it isn't.
func NotApplicable(name string, rig Rig) string {
	for _, c := range checks {
		if c.name == name {
			return rig.missing(c.needs)
		}
	}
	return "no such check"
}
