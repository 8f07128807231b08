package remote

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrNoConnection says that a call was not sent: until the end of its wait all connections of the client's pool were in use. It says nothing
// of Redis.
var ErrNoConnection = errors.New("remote: all connections of the client's pool are in use")

// FromSending bounds one call by timeout, counted from when it has a connection: waiting for others to give one back is no failure of Redis,
// and takes at most wait. A connection that has to be made counts: when timeout is over and the pool has room, the call ends. cancel must be
// called, after the last question to the context.
func (s *Store) FromSending(ctx context.Context, timeout, wait time.Duration) (_ *Sending, cancel context.CancelFunc) {
	inner, end := context.WithCancelCause(ctx)
	c := &Sending{Context: inner, end: end, timeout: timeout, began: time.Now(), crowded: s.crowded}
	c.until, c.due = c.began.Add(wait), c.began.Add(c.turn())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = time.AfterFunc(c.turn(), c.look)
	return c, c.cancel
}

// A Sending is the context of one call. Its clock starts when somebody asks for its deadline: go-redis does so with the connection in its
// hands, to set the deadline of the socket. (A client without ContextTimeoutEnabled does not ask; there Bound has set the socket's own.)
type Sending struct {
	context.Context //nolint:containedctx // it is one
	end             context.CancelCauseFunc
	timeout         time.Duration
	began           time.Time
	until           time.Time   // the end of the wait for a connection
	crowded         func() bool // reports whether all connections are in use

	mu       sync.Mutex  // guards the fields below
	timer    *time.Timer // of look
	due      time.Time   // when look should run next
	deadline time.Time   // zero: not sent
	roomy    int         // looks in a row that found the call unsent, and connections to be had
	starved  bool
}

// turn is how often look looks: a quarter of the call's time.
func (c *Sending) turn() time.Duration { return c.timeout / 4 }

// Deadline starts the clock.
func (c *Sending) Deadline() (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deadline.IsZero() {
		c.deadline = time.Now().Add(c.timeout)
		if outer, ok := c.Context.Deadline(); ok && outer.Before(c.deadline) {
			c.deadline = outer
		}
	}
	return c.deadline, true
}

// Err says DeadlineExceeded also for the clock's end.
func (c *Sending) Err() error {
	if cause := context.Cause(c.Context); errors.Is(cause, ErrNoConnection) || errors.Is(cause, context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return c.Context.Err()
}

// NotSent reports whether the call ended, with err, before it had a connection, and for want of one.
func (c *Sending) NotSent(err error) bool {
	return errors.Is(context.Cause(c.Context), ErrNoConnection) || errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrPoolExhausted)
}

// Starved reports whether this process got so little of the processor during the call that its end says nothing of Redis: the container is
// throttled, or thousands of goroutines wake up together. The answer may have lain in the socket all the time.
func (c *Sending) Starved() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.starved || time.Since(c.due) > c.turn()
}

// look runs each quarter of the call's time. One that comes late shows that the process had to wait for the processor; one that has to queue
// up behind other goroutines, that the call's goroutine has to as well. (A timer's own goroutine runs ahead of the queue.)
func (c *Sending) look() {
	yielded := time.Now()
	runtime.Gosched()
	queued := time.Since(yielded)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.Context.Err() != nil { // also after cancel
		return
	}
	now := time.Now()
	c.starved = c.starved || queued > c.turn()/2 || now.Sub(c.due) > c.turn()/2
	if cause := c.overLocked(now); cause != nil {
		c.end(cause)
		return
	}
	c.due = now.Add(c.turn())
	c.timer.Reset(c.turn())
}

// overLocked says why a call has to end. One look that finds room in the pool may have come between the moment when a connection became free
// and the one when this call is sent on it; after two there must be another reason, such as a connection that can't be made.
func (c *Sending) overLocked(now time.Time) error {
	if !c.deadline.IsZero() {
		if now.Before(c.deadline) {
			return nil
		}
		return context.DeadlineExceeded
	}
	if c.roomy++; c.crowded() {
		c.roomy = 0
	}
	switch {
	case now.Sub(c.began) < c.timeout:
		return nil
	case c.roomy >= 2:
		return context.DeadlineExceeded
	case !now.Before(c.until):
		return ErrNoConnection
	}
	return nil
}

func (c *Sending) cancel() {
	c.end(nil)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer.Stop()
}

// crowded reports whether all connections of the client are in use. A cluster's client has a pool for each node, of which it tells the sum:
// there the wait counts.
func (s *Store) crowded() bool {
	single, ok := s.client.(*redis.Client)
	if !ok {
		return false
	}
	stats := single.PoolStats()
	return int(stats.TotalConns)-int(stats.IdleConns) >= single.Options().PoolSize
}

// Connections is how many connections the client's pool has, for each node in a cluster.
func (s *Store) Connections() int {
	switch c := s.client.(type) {
	case *redis.Client:
		return c.Options().PoolSize
	case *redis.ClusterClient:
		return c.Options().PoolSize
	}
	return 1
}
