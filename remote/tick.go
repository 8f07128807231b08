package remote

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"
)

// jump is how much further ahead of the clock the counter begins where it finds itself on another server, or lost: more than a
// failover can lose of it. What one loses is bounded by the difference of the nodes' clocks; the caller's seen covers the rest.
const jump = time.Hour

// TakeTick gives out a tick: above every tick given out before and above seen. seen is the highest that the caller knows.
func (s *Store) TakeTick(ctx context.Context, seen uint64) (uint64, error) {
	return s.tick(ctx, seen, "take")
}

// LastTick reads the last tick given out, and raises the counter to seen where that is higher: another server, or one that lost
// the counter, has begun below. After it, every new tick is above the answer.
func (s *Store) LastTick(ctx context.Context, seen uint64) (uint64, error) {
	return s.tick(ctx, seen, "read")
}

func (s *Store) tick(ctx context.Context, seen uint64, mode string) (uint64, error) {
	run := func(least any) (string, error) {
		return tickScript.Run(ctx, s.client, []string{s.tickKey()}, seen, mode, jump.Microseconds(), least).Text()
	}
	text, err := run("")
	if err == nil && text == "" {
		var least uint64
		if least, err = s.leastTick(ctx); err == nil {
			text, err = run(least)
		}
	}
	if err != nil {
		return 0, fmt.Errorf("remote: %s tick: %w", mode, err)
	}
	return parseTick(text)
}

// leastTick is where a counter that was lost has to begin at least. It may have been lost alone, and be asked for by a pod that has heard
// less than others: the table knows the ticks of all invalidations but those under way, which are hardly above. Not an hour above: a
// counter that is evicted again and again would run away from the clock.
func (s *Store) leastTick(ctx context.Context) (uint64, error) {
	highest, err := s.highest(ctx)
	if err != nil || highest == 0 {
		return 0, err
	}
	return highest + uint64(time.Minute.Microseconds()), nil
}

// MaxTick is the highest tick: up to here Redis's numbers are exact. Ticks are microseconds of Unix time and somewhat ahead of
// it; they reach this in the year 2255.
const MaxTick = 1 << 53

// LatestTick is the highest that a pod may believe: ten years ahead of its clock. One that is corrupt, and higher, would be passed on to
// the counter, and use up all that there are.
func LatestTick() uint64 { return uint64(time.Now().AddDate(10, 0, 0).UnixMicro()) }

func parseTick(text string) (uint64, error) {
	tick, err := strconv.ParseUint(text, 10, 64)
	if err != nil || tick > MaxTick {
		return 0, fmt.Errorf("remote: the counter holds %.128q: %w", text, cmp.Or(err, strconv.ErrRange))
	}
	return tick, nil
}
