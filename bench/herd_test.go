package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// TestHerd counts loads. How long the answers take is for the program on a quiet machine: -within.
func TestHerd(t *testing.T) {
	for _, redis := range []string{"auto", "none"} {
		for _, load := range []string{"0", "1ms", "20ms"} {
			t.Run("redis="+redis+"/load="+load, func(t *testing.T) {
				goroutines := "10000"
				if raceDetector && redis == "none" {
					goroutines = "5000"
				}
				args := []string{"herd", "-redis", redis, "-load", load, "-goroutines", goroutines, "-rounds", "3", "-json"}
				var out bytes.Buffer
				if err := run(t.Context(), args, &out); err != nil {
					t.Error(err)
				}
				var got herdReport
				if err := json.Unmarshal(out.Bytes(), &got); err != nil {
					t.Fatalf("%v\n%s", err, out.Bytes())
				}
				want := map[string]int{"auto": 4, "none": 3}[redis] // the broadcast has no time to take in one process
				if len(got.Kinds) != want {
					t.Errorf("got %d kinds of round; want %d", len(got.Kinds), want)
				}
				for _, k := range got.Kinds {
					if k.Rounds != 3 || k.P50MS <= 0 || k.MaxMS < k.P50MS {
						t.Errorf("%s: got %d rounds, p50 %g ms, max %g ms; want 3 and times", k.Name, k.Rounds, k.P50MS, k.MaxMS)
					}
				}
			})
		}
	}
}

// TestHerdSeveralKeys wants one load of each.
func TestHerdSeveralKeys(t *testing.T) {
	args := []string{"herd", "-pods", "2", "-keys", "7", "-goroutines", "500", "-rounds", "3", "-load", "2ms"}
	var out bytes.Buffer
	if err := run(t.Context(), args, &out); err != nil {
		t.Error(err)
	}
	if !strings.Contains(out.String(), "2 processes with Redis, 7 keys a round") {
		t.Errorf("got\n%s", out.String())
	}
}

// TestHerdVerdict judges reports that no cache should give.
func TestHerdVerdict(t *testing.T) {
	good := herdKind{Name: cold, Rounds: 1, LoadsMin: 1, LoadsMax: 1, P50MS: 30}
	if err := (&herdReport{Keys: 1, Kinds: []herdKind{good, {Name: bare}}}).verdict(50 * time.Millisecond); err != nil {
		t.Errorf("one load: got %v; want nil", err)
	}
	for name, bad := range map[string]herdKind{
		"two loads": {Name: cold, LoadsMin: 1, LoadsMax: 2},
		"no load":   {Name: invalidatedOnce, LoadsMin: 0, LoadsMax: 1},
		"old":       {Name: invalidatedAll, LoadsMin: 1, LoadsMax: 1, Old: 1},
		"slow":      {Name: cold, LoadsMin: 1, LoadsMax: 1, P50MS: 51},
	} {
		if err := (&herdReport{Keys: 1, Kinds: []herdKind{good, bad}}).verdict(50 * time.Millisecond); err == nil {
			t.Errorf("%s: got nil; want an error", name)
		}
	}
}

// TestPodEndsWithItsProgram closes a pod's input, as the program's death does, while goroutines are parked in it.
func TestPodEndsWithItsProgram(t *testing.T) {
	f, err := startFleet(t.Context(), []podConfig{{Herd: &herdPodConfig{Cache: "herd", Goroutines: 10}}}, func(int, message) {})
	if err != nil {
		t.Fatal(err)
	}
	if err := f[0].call(t.Context(), "arm", herdArm{IDs: []string{"a"}}, nil); err != nil {
		t.Error(err)
	}
	if err := f.stop(); err != nil {
		t.Error(err)
	}
}

// TestHerdStart opens the caches of some pods together.
func TestHerdStart(t *testing.T) {
	args := []string{"herd", "-suite", "start", "-pods", "8", "-keys", "50", "-rounds", "1"}
	var out bytes.Buffer
	if err := run(t.Context(), args, &out); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// TestHerdStall ends pods in the middle of a load. The bar is for a quiet machine; what was fixed before, 3 s, is told from what is now by its half.
func TestHerdStall(t *testing.T) {
	args := []string{"herd", "-suite", "stall", "-pods", "3", "-rounds", "2", "-load", "50ms", "-json"}
	var out bytes.Buffer
	if err := run(t.Context(), args, &out); err != nil {
		t.Log(err)
	}
	var got stallReport
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v\n%s", err, out.Bytes())
	}
	if len(got.Kinds) != 3 {
		t.Errorf("got %d kinds of end; want 3", len(got.Kinds))
	}
	for _, k := range got.Kinds {
		if k.Rounds != 2 || k.P50MS <= 0 || k.P50MS > 1500 {
			t.Errorf("%s: got %d rounds, p50 %g ms; want 2, and less than half of what a fixed lease of 3 s costs", k.Signal, k.Rounds, k.P50MS)
		}
	}
	good := stallKind{Signal: "SIGKILL", P99MS: 250}
	if err := (&stallReport{BarMS: 300, Kinds: []stallKind{good}}).verdict(); err != nil {
		t.Errorf("within the bar: got %v", err)
	}
	good.P99MS = 301
	if err := (&stallReport{BarMS: 300, Kinds: []stallKind{good}}).verdict(); err == nil {
		t.Error("above the bar: got nil; want an error")
	}
}
