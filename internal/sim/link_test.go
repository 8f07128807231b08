package sim

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// A link is one pod's network.
type link struct {
	cluster *cluster
	dice    *dice
	name    string

	mu      sync.Mutex // guards the fields below
	conns   map[*conn]struct{}
	dialled int
	down    bool          // dials fail
	stall   chan struct{} // not nil: nothing arrives until it is closed
	delay   time.Duration // of each answer, at most
	lossy   bool          // pub/sub messages are dropped, delayed, repeated
}

func (c *cluster) newLink(d *dice, name string) *link {
	l := &link{cluster: c, dice: d, name: name, conns: make(map[*conn]struct{})}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.links = append(c.links, l)
	return l
}

func (l *link) client() *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr: "127.0.0.1:1", Dialer: l.dial, Protocol: 2, DisableIdentity: true, ContextTimeoutEnabled: true, DialerRetries: 1,
		PoolSize: poolSize, MaxRetries: poolSize + 3, MinRetryBackoff: -1, MaxRetryBackoff: -1,
	})
}

var errDown = errors.New("sim: the network is down")

func (l *link) dial(context.Context, string, string) (net.Conn, error) {
	l.mu.Lock()
	down := l.down
	l.mu.Unlock()
	if down {
		return nil, errDown
	}
	inner, err := l.cluster.current().Dial()
	if err != nil {
		return nil, err
	}
	outer, end := net.Pipe()
	c := newConn(l, inner, end)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dialled++
	c.number = l.dialled
	l.conns[c] = struct{}{}
	return socket{outer}, nil
}

// A socket is the client's end of a connection. Where the other end is closed, a client that looks at a real socket before it uses it, as
// go-redis does, takes another. At a pipe it cannot look: here it learns it when it writes, and tries again, with each that it has pooled.
type socket struct{ net.Conn }

const poolSize = 64 // enough for all that runs at once: who waits in go-redis for a connection does so on a timer from outside the bubble

const greeting = "hello " // how go-redis begins on each connection

func (s socket) Write(b []byte) (int, error) {
	n, err := s.Conn.Write(b)
	if errors.Is(err, io.ErrClosedPipe) {
		err = io.EOF // which makes go-redis try again
	}
	return n, err
}

// A deadline can be set while the other end is closed.

func (s socket) SetDeadline(t time.Time) error { return unlessClosed(s.Conn.SetDeadline(t)) }

func (s socket) SetReadDeadline(t time.Time) error { return unlessClosed(s.Conn.SetReadDeadline(t)) }

func (s socket) SetWriteDeadline(t time.Time) error { return unlessClosed(s.Conn.SetWriteDeadline(t)) }

func unlessClosed(err error) error {
	if errors.Is(err, io.ErrClosedPipe) {
		return nil
	}
	return err
}

// reset ends all connections.
func (l *link) reset() {
	l.mu.Lock()
	conns := slices.Collect(maps.Keys(l.conns))
	l.mu.Unlock()
	slices.SortFunc(conns, func(a, b *conn) int { return a.number - b.number })
	for _, c := range conns {
		c.close()
	}
}

func (l *link) cut(down bool) {
	l.mu.Lock()
	l.down = down
	l.mu.Unlock()
	l.reset()
}

func (l *link) freeze(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case on && l.stall == nil:
		l.stall = make(chan struct{})
	case !on && l.stall != nil:
		close(l.stall)
		l.stall = nil
	}
}

func (l *link) set(delay time.Duration, lossy bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay, l.lossy = delay, lossy
}

// heal ends all faults of the link.
func (l *link) heal() {
	l.freeze(false)
	l.set(0, false)
	l.mu.Lock()
	l.down = false
	l.mu.Unlock()
}

// latency is how long a command takes to the server, or its answer back. A greeting takes no time: whether go-redis makes a new
// connection or has one left is decided by the order of goroutines, and would show in all that follows.
func (l *link) latency(what string) time.Duration {
	if strings.Contains(what, greeting) {
		return 0
	}
	l.mu.Lock()
	delay := l.delay
	l.mu.Unlock()
	rnd := l.dice.roll(l.name + what)
	d := between(30*time.Microsecond, 150*time.Microsecond, rnd)
	if delay > 0 {
		d += below(delay, rnd)
	}
	return d
}

// fate decides what becomes of a message: how often it arrives, and after which delays.
func (l *link) fate() []time.Duration {
	l.mu.Lock()
	lossy := l.lossy
	l.mu.Unlock()
	delays := []time.Duration{l.latency("message")}
	if rnd := l.dice.roll(l.name + "fate"); lossy {
		switch rnd.IntN(5) {
		case 0, 1:
			delays = nil
		case 2:
			delays = append(delays, below(3*time.Second, rnd))
		case 3:
			delays[0] = below(time.Second, rnd)
		}
	}
	return delays
}

// stalled is nil, or closed when the network moves again.
func (l *link) stalled() chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stall
}
