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

// TestChaos is the short run of CI.
func TestChaos(t *testing.T) {
	_, err := runChaos(t, "-pods", "3", "-for", "20s", "-calm", "1500ms", "-faults", "cut,halfopen,kill,promote,flushall,redis-empty")
	if err != nil {
		t.Error(err)
	}
}

// TestChaosFindsSabotage breaks the cache and wants each check to notice what is its own.
func TestChaosFindsSabotage(t *testing.T) {
	r, err := runChaos(t, "-pods", "2", "-for", "4s", "-faults", "none", "-sabotage", "drop,fake,herd")
	if err == nil || r.Lost.Violations == 0 || r.Backwards.Violations == 0 || r.Once.Violations == 0 {
		t.Errorf("got %v; want each promise broken", err)
	}
	r, err = runChaos(t, "-pods", "3", "-for", "5s", "-calm", "1s", "-faults", "promote", "-sabotage", "forget")
	if err == nil || r.Lost.Violations == 0 {
		t.Errorf("got %v; want invalidations lost for ever with the old master", err)
	}
}
