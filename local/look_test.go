package local_test

import (
	"testing"

	"github.com/tandem-cache/tandem/local"
)

// Look finds what Check finds, and leaves the entry as it is.
func TestLook(t *testing.T) {
	g := local.NewGuard(16)
	names := []local.Name{local.NewName("k:a", 0), local.NewName("t:b", 0)}
	entry := func() *local.Entry { return local.NewEntry(1, "a", 1, g.Number(), names) }
	want := func(what string, e *local.Entry, want local.Finding) {
		t.Helper()
		before := e.Verified()
		if got := g.Look(e); got != want {
			t.Errorf("%s: got %+v; want %+v", what, got, want)
		}
		if e.Verified() != before {
			t.Errorf("%s: the entry has changed", what)
		}
		if got := g.Check(e); got != want.Verdict {
			t.Errorf("%s: Check says %v, Look %v", what, got, want.Verdict)
		}
	}
	e := entry()
	want("new", e, local.Finding{})
	g.Apply([]string{"t:other"}, 1)
	want("another name was invalidated", e, local.Finding{})
	g.Apply([]string{"t:b"}, 7)
	want("its name was invalidated", e, local.Finding{Verdict: local.Dead})
	if got := g.Ticks(names); got[0] != 0 || got[1] != 7 {
		t.Errorf("ticks %v; want 0 and 7", got)
	}
	names[0], names[1] = local.NewName("k:a", 7), local.NewName("t:b", 7)
	e = entry()
	g.Flush()
	want("flushed", e, local.Finding{Verdict: local.Dead, Flushed: true})
	e = entry()
	for tick := range uint64(1000) { // more than the table holds, its names among them
		g.Apply([]string{"t:" + string(rune(tick+1000))}, tick+8)
	}
	g.Apply([]string{"t:b"}, 3) // late
	if got := g.Look(e).Verdict; got != g.Check(e) {
		t.Errorf("a full table: Look says %v, Check another", got)
	}
}
