package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// An instant is a reading of the machine's monotonic clock, which all processes share, in nanoseconds.
type instant int64

func now() instant {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic("bug: " + err.Error()) // every Linux has it
	}
	return instant(t.Nano())
}

func (i instant) add(d time.Duration) instant { return i + instant(d) }

func (i instant) sub(j instant) time.Duration { return time.Duration(i - j) }
