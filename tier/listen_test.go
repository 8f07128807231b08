package tier

import (
	"testing"
	"time"
)

// The proof from before the clock stood still is void: nobody knows how old it is.
func TestStalledClockStopsL1(t *testing.T) {
	c, err := Open(t.Context(), Config{Name: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(t.Context()) }()
	l := listener{c}
	l.Fresh(time.Now())
	if !c.isTrusted() {
		t.Error("not trusted after a proof")
	}
	l.Stalled()
	if c.isTrusted() {
		t.Error("trusted after the clock stood still")
	}
}
