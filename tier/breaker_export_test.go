package tier

import "time"

// A Breaker is a breaker, for tests.
type Breaker struct{ b breaker }

func (b *Breaker) Failed(began, ended time.Duration) { b.b.failed(began, ended, "k", nil) }
func (b *Breaker) Answered(at time.Duration)         { b.b.answered(at) }
func (b *Breaker) Open() bool                        { return b.b.isOpen() }

// Pause is how long the next probe waits.
func (b *Breaker) Pause() time.Duration {
	pause, _ := b.b.next()
	return pause
}
