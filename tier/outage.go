package tier

import (
	"sync"
	"time"
)

// An outage is a time in which the bus reads no head: Redis is frozen, refuses, or cannot be reached.
type outage struct {
	mu   sync.Mutex // guards the fields below
	last time.Duration
	over chan struct{} // closed when the present outage, or the next one, is over; nil: nobody asks
}

// heard says that the bus has read a head. More than limit after the one before, that is the end of an outage.
func (s *outage) heard(now, limit time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now-s.last > limit && s.over != nil {
		close(s.over)
		s.over = nil
	}
	s.last = now
}

func (s *outage) end() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over == nil {
		s.over = make(chan struct{})
	}
	return s.over
}

// Back returns a channel that is closed when this pod hears Redis again after it did not for a while. Who pauses because Redis has failed may
// go on then. With L1 alone it is never closed.
func (f *Feed) Back() <-chan struct{} { return f.cache.outage.end() }
