package sim

import (
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"time"
)

// Dice give what is random in a simulation. The nth roll for a label depends on the seed, the label and n alone: which goroutine
// comes first at some instant changes nothing for the others.
type dice struct {
	seed uint64

	mu    sync.Mutex // guards rolls
	rolls map[string]uint64
}

func newDice(seed uint64) *dice { return &dice{seed: seed, rolls: make(map[string]uint64)} }

func (d *dice) roll(label string) *rand.Rand {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rolls[label]++
	h := fnv.New64a()
	_, _ = h.Write([]byte(label)) // never fails
	return rand.New(rand.NewPCG(d.seed, h.Sum64()+d.rolls[label]))
}

// below is a duration below limit, to the nanosecond: so that hardly two things happen at the same instant.
func below(limit time.Duration, rnd *rand.Rand) time.Duration {
	return time.Duration(rnd.Int64N(int64(limit)))
}

func between(from, to time.Duration, rnd *rand.Rand) time.Duration { return from + below(to-from, rnd) }
