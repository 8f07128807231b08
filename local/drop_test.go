package local_test

import (
	"fmt"
	"testing"

	"github.com/tandem-cache/tandem/local"
)

// A dropped name outdates what was read before; what is read from the source afterwards may stand at the highest tick heard.
func TestDropped(t *testing.T) {
	g := local.NewGuard(16)
	g.Hear(7)
	before, other := entry(g, 7, "k:a", "t:b"), entry(g, 7, "k:c")
	born := g.Number()
	g.Drop([]string{"t:b"})
	late := local.NewEntry(0, "id", nil, born, []local.Name{local.NewName("t:b", 7)})
	for name, c := range map[string]struct {
		entry *local.Entry
		want  local.Verdict
	}{
		"read before": {before, local.Dead}, "read before, stored after": {late, local.Dead},
		"read after": {entry(g, 7, "t:b"), local.Valid}, "of another name": {other, local.Valid},
	} {
		if got := g.Check(c.entry); got != c.want {
			t.Errorf("%s: got %v; want %v", name, got, c.want)
		}
	}
	after := entry(g, 7, "t:b")
	g.Apply([]string{"t:b"}, 6) // a late message
	if got := g.Check(after); got != local.Valid {
		t.Errorf("read after, and then a message that it reflects: got %v; want Valid", got)
	}
	if got := g.Heard(); got != 7 {
		t.Errorf("heard %d; want 7: a drop has no tick", got)
	}
}

// Of values from elsewhere, those up to the highest tick heard may be from before the change.
func TestDroppedValueFromElsewhere(t *testing.T) {
	g := local.NewGuard(16)
	g.Apply([]string{"k:a"}, 5)
	g.Hear(7)
	g.Drop([]string{"k:a"})
	wantJudged := func(tick uint64, want local.Verdict) {
		t.Helper()
		if got := g.Judge([]local.Name{local.NewName("k:a", tick)}); got != want {
			t.Errorf("at tick %d: got %v; want %v", tick, got, want)
		}
	}
	wantJudged(7, local.Dead)
	wantJudged(8, local.Valid)
	g.Apply([]string{"k:a"}, 6) // a late message
	wantJudged(7, local.Dead)
	g.Drop([]string{"k:a"}) // the call is made again
	wantJudged(7, local.Dead)
	g.Apply([]string{"k:a"}, 8) // and again, with success
	wantJudged(7, local.Dead)
	wantJudged(8, local.Valid)
	if got := g.Ticks([]local.Name{local.NewName("k:a", 1)}); got[0] != 8 {
		t.Errorf("the tick of its last invalidation is %d; want 8", got[0])
	}
}

// A dropped name that has left the table leaves doubt behind.
func TestDroppedAndForgotten(t *testing.T) {
	g := local.NewGuard(16)
	g.Hear(7)
	before := entry(g, 7, "k:a")
	g.Drop([]string{"k:a"})
	for i := range 16 {
		g.Apply([]string{fmt.Sprint("k:", i)}, 7)
	}
	if got := g.Check(before); got == local.Valid {
		t.Error("an entry from before is valid")
	}
	if got := g.Judge([]local.Name{local.NewName("k:a", 7)}); got == local.Valid {
		t.Error("a value from elsewhere is valid")
	}
	if got := g.Judge([]local.Name{local.NewName("k:a", 8)}); got != local.Valid {
		t.Errorf("a later value from elsewhere: got %v; want Valid", got)
	}
}
