package main

import (
	"bytes"
	"encoding/json"
	"testing"
)

// TestFanout wants all names in all pods. How many a second is for the program on a quiet machine; beside other work they may be too few in
// one second, and not in twenty.
func TestFanout(t *testing.T) {
	for _, long := range []string{"1s", "20s"} {
		var out bytes.Buffer
		err := run(t.Context(), []string{"fanout", "-pods", "2", "-for", long, "-rate", "5000", "-json"}, &out)
		var got fanoutReport
		if json.Unmarshal(out.Bytes(), &got) != nil {
			t.Fatalf("%v\n%s", err, out.Bytes())
		}
		if got.Resyncs > 0 || got.DelayMaxMS < got.DelayP50MS {
			t.Fatalf("got %+v", got)
		}
		if got.Names >= 500 && got.Probes > 0 {
			return
		}
		t.Logf("too few names or probes in %s: %+v", long, got)
	}
	t.Error("too few names or probes")
}

// TestFanoutVerdict judges reports.
func TestFanoutVerdict(t *testing.T) {
	good := fanoutReport{PerSecond: fanoutBar, Probes: 1}
	if err := good.verdict(); err != nil {
		t.Errorf("got %v; want nil", err)
	}
	paced := fanoutReport{PerSecond: 960, Rate: 1000, Probes: 1}
	if err := paced.verdict(); err != nil {
		t.Errorf("paced: got %v; want nil", err)
	}
	for name, bad := range map[string]fanoutReport{
		"slow":     {PerSecond: fanoutBar - 1, Probes: 1},
		"resyncs":  {PerSecond: fanoutBar, Probes: 1, Resyncs: 1},
		"no probe": {PerSecond: fanoutBar},
	} {
		if bad.verdict() == nil {
			t.Errorf("%s: got nil; want an error", name)
		}
	}
}
