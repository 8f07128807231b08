package main

import (
	"bytes"
	"encoding/json"
	"testing"
)

// runCoherence runs the program and returns what it printed, and its error.
func runCoherence(t *testing.T, args ...string) (*coherenceReport, error) {
	t.Helper()
	var out bytes.Buffer
	runErr := run(t.Context(), append([]string{"coherence", "-json"}, args...), &out)
	var r coherenceReport
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v, %v\n%s", runErr, err, out.Bytes())
	}
	var text bytes.Buffer
	r.print(&printer{out: &text})
	t.Logf("%s", text.Bytes())
	return &r, runErr
}

// TestCoherence fails on what is wrong and on what proves nothing.
//
// Beside other packages' tests a run may have too few reads for a proof; a longer one then has to have them.
func TestCoherence(t *testing.T) {
	r, err := runCoherence(t, "-for", "4s")
	if err != nil && r.violations() == nil {
		t.Logf("once more, for longer: %v", err)
		_, err = runCoherence(t, "-for", "20s")
	}
	if err != nil {
		t.Error(err)
	}
}

// TestCoherenceFindsSabotage breaks the cache and wants the check that is to notice.
func TestCoherenceFindsSabotage(t *testing.T) {
	for sabotage, found := range map[string]func(*coherenceReport) bool{
		sabotageDrop: func(r *coherenceReport) bool { return r.PerPod[0].Older > 0 && r.L2Stale > 0 && r.L1Stale > 0 },
		sabotageLate: func(r *coherenceReport) bool { return r.PerPod[0].Older > 0 },
		sabotageKeep: func(r *coherenceReport) bool {
			return r.PerPod[0].Older == 0 && r.PerPod[1].Older > 0 && r.PerPod[2].Older > 0
		},
	} {
		t.Run(sabotage, func(t *testing.T) {
			var err error
			for _, long := range []string{"2s", "10s", "30s"} { // what a short run has to show is a matter of luck, and of what else the machine does
				var r *coherenceReport
				if r, err = runCoherence(t, "-for", long, "-sabotage", sabotage); err != nil && r.violations() != nil && found(r) {
					return
				}
			}
			t.Errorf("got %v; want the violations that this sabotage makes", err)
		})
	}
}

// TestCoherenceNeedsProof judges a report of a run in which nothing happened.
func TestCoherenceNeedsProof(t *testing.T) {
	idle := newCoherenceReport(coherenceOptions{pods: 3}, 0, make([]podCounts, 3))
	idle.L1Entries = make([]int, 3)
	if idle.violations() != nil || idle.verdict() == nil {
		t.Errorf("got %v and %v; want no violations and no proof", idle.violations(), idle.verdict())
	}
}
