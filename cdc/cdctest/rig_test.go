package cdctest_test

import (
	"strings"
	"testing"

	"github.com/tandem-cache/tandem/cdc/cdctest"
)

// A fault that can't be given is said, and the checks that need it are skipped with
// the reason; one that is forgotten fails them all.
func TestLacks(t *testing.T) {
	rig := newServer(t, "").rig()
	rig.Lose = nil
	failures := failuresOf(t, "resume", rig)
	if len(failures) != 1 || !strings.Contains(failures[0], "Rig.Lose is required") {
		t.Errorf("got %q; want one failure, which names Rig.Lose", failures)
	}
	rig.Lacks = map[string]string{"Lose": "its log is kept for ever"}
	if failures := failuresOf(t, "resume", rig); len(failures) > 0 {
		t.Errorf("got %q; want none: the rig says why", failures)
	}
	for check, skipped := range map[string]bool{"position lost": true, "follower killed after a loss": true, "resume": false, "stream cut": false} {
		why := cdctest.NotApplicable(check, rig)
		if got := strings.Contains(why, "its log is kept for ever"); got != skipped {
			t.Errorf("%s: got %q; want it skipped: %t", check, why, skipped)
		}
	}
}
