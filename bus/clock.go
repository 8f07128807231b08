package bus

import "time"

// An instant is read from both clocks, as times since fixed ones. On Linux the monotonic clock stands still while a machine is
// suspended, and L1 would be trusted as if no time had passed.
type instant struct {
	wall time.Duration
	mono time.Duration
}

var started = time.Now()

func readClocks() instant {
	now := time.Now()
	return instant{wall: now.Round(0).Sub(started.Round(0)), mono: now.Sub(started)}
}

// stalled says whether the monotonic clock has lost more than limit on the wall clock since then. A step of the wall clock looks
// the same and costs a moment without L1.
func (i instant) stalled(then instant, limit time.Duration) bool {
	return (i.wall-then.wall)-(i.mono-then.mono) > limit
}
