package main

import (
	"bytes"
	"encoding/json"
	"testing"
)

// TestFanout wants all names in all pods. How many a second is for the program on a quiet machine.
func TestFanout(t *testing.T) {
	var out bytes.Buffer
	err := run(t.Context(), []string{"fanout", "-pods", "2", "-for", "1s", "-rate", "5000", "-json"}, &out)
	var got fanoutReport
	if json.Unmarshal(out.Bytes(), &got) != nil {
		t.Fatalf("%v\n%s", err, out.Bytes())
	}
	if got.Names < 500 || got.Probes == 0 || got.Resyncs > 0 || got.DelayMaxMS < got.DelayP50MS {
		t.Errorf("got %+v", got)
	}
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
