//go:build !race

package sim

import (
	"flag"
	"fmt"
	"testing"
)

var failures = flag.Int("failures", 10, "how many failing seeds TestFailingSeedsFailAgain runs again")

// The source hands over changes before they are visible: a fault that the checks must see, and the same seed must show it again, the
// same read at the same instant. The race detector, which shuffles goroutines, is not used here.
func TestFailingSeedsFailAgain(t *testing.T) {
	failed, again, same := 0, 0, 0
	for seed := *first; failed < *failures; seed++ {
		if seed == *first+uint64(*failures)*20 {
			t.Fatalf("%d of %d seeds failed", failed, seed-*first)
		}
		one := simulate(t, seed, true)
		if one.broken == "" {
			continue
		}
		failed++
		other := simulate(t, seed, true)
		if other.broken != "" {
			again++
		}
		if other.broken == one.broken {
			same++
		}
	}
	fmt.Printf("of %d failing seeds %d failed again, %d in the same read at the same instant\n", failed, again, same)
	if again*10 < failed*9 {
		t.Errorf("%d of %d failing seeds failed again; want nearly all", again, failed)
	}
}
