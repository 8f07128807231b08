package main

import (
	"bytes"
	"os"
	"testing"
)

// TestMain makes the test binary the processes of the fleet, too.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && (os.Args[1] == podCommand || os.Args[1] == followerCommand) {
		exit(serve(os.Args[1], os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

// runChaos runs the program and returns what it reports, and its verdict.
func runChaos(t *testing.T, args ...string) (*report, error) {
	t.Helper()
	o, err := parseFlags(args)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	r, err := chaos(t.Context(), o, &out)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.Bytes())
	}
	r.print(&out)
	t.Logf("%s", out.Bytes())
	return r, r.verdict()
}

// TestChaos is the short run of CI. Beside other work too little may happen in it for a proof; a longer one then has to have it.
func TestChaos(t *testing.T) {
	for _, long := range []string{"20s", "60s"} {
		r, err := runChaos(t, "-pods", "3", "-for", long, "-calm", "1500ms", "-faults", "cut,halfopen,kill,promote,flushall,redis-empty")
		if err == nil {
			return
		}
		if r.broken() != nil || long == "60s" {
			t.Fatal(err)
		}
		t.Logf("once more, for longer: %v", err)
	}
}

// TestChaosFindsSabotage breaks the cache and wants each check to notice what is its own.
func TestChaosFindsSabotage(t *testing.T) {
	for name, run := range map[string]struct {
		args  []string
		found func(*report) bool
	}{
		"each promise is broken": {
			[]string{"-pods", "2", "-faults", "none", "-sabotage", "drop,fake,herd"},
			func(r *report) bool {
				return r.Lost.Violations > 0 && r.Backwards.Violations > 0 && r.Once.Violations > 0
			},
		},
		"invalidations are lost for ever with the old master": {
			[]string{"-pods", "3", "-calm", "1s", "-faults", "promote", "-sabotage", "forget"},
			func(r *report) bool { return r.Lost.Violations > 0 },
		},
		"a promoted standby is taken for the primary": {
			[]string{"-pods", "2", "-calm", "1s", "-faults", "pg-promote", "-sabotage", "timeline"},
			func(r *report) bool { return r.Lost.Violations > 0 },
		},
	} {
		if !findsSabotage(t, run.found, run.args...) {
			t.Errorf("not found: %s", name)
		}
	}
}

// findsSabotage makes runs, each longer than the one before, until the checks have found what was broken. What a short run has to show is a
// matter of luck, and of what else the machine does.
func findsSabotage(t *testing.T, found func(*report) bool, args ...string) bool {
	t.Helper()
	for _, long := range []string{"5s", "15s", "45s"} {
		if r, err := runChaos(t, append(args, "-for", long)...); err != nil && found(r) {
			return true
		}
	}
	return false
}
