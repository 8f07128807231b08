package sim

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

// A conn carries bytes between a client and the server, and is where answers get lost, late and out of order.
type conn struct {
	link   *link
	number int      // of the link's; they end in this order
	inner  net.Conn // to the server
	outer  net.Conn // to the client

	once   sync.Once
	closed chan struct{}
	more   chan struct{} // holds one notice that the queue has grown

	mu    sync.Mutex // guards the fields below
	asked string     // what the client last sent, by its label
	queue []arrival  // in order
}

// An arrival is an answer or a message, and when it gets there.
type arrival struct {
	reply []byte
	due   time.Time
}

func newConn(l *link, inner, outer net.Conn) *conn {
	c := &conn{link: l, inner: inner, outer: outer, closed: make(chan struct{}), more: make(chan struct{}, 1)}
	l.cluster.running.Go(c.upstream)
	l.cluster.running.Go(c.receive)
	l.cluster.running.Go(c.deliver)
	return c
}

func (c *conn) close() {
	c.once.Do(func() {
		close(c.closed)
		_ = c.inner.Close()
		_ = c.outer.Close()
		c.link.mu.Lock()
		delete(c.link.conns, c)
		c.link.mu.Unlock()
	})
}

// upstream brings commands to the server.
func (c *conn) upstream() {
	defer c.close()
	buf := make([]byte, 64<<10)
	for {
		n, err := c.outer.Read(buf)
		if err != nil {
			return
		}
		what := label(buf[:n])
		c.mu.Lock()
		c.asked = what
		c.mu.Unlock()
		if !c.pause(time.Now().Add(c.link.latency("to "+what))) || !c.stalled() {
			return
		}
		if _, err := c.inner.Write(buf[:n]); err != nil {
			return
		}
	}
}

// label names what a client sends by what is the same each time: the command, its script, and the keys of the cache.
func label(chunk []byte) string {
	var words []byte
	taken := 0
	for line := range bytes.SplitSeq(chunk[:min(len(chunk), 1000)], []byte("\r\n")) {
		if len(line) == 0 || line[0] == '*' || line[0] == '$' {
			continue
		}
		if taken < 2 || bytes.HasPrefix(line, []byte("sim:")) {
			words = append(append(words, line...), ' ')
		}
		taken++
	}
	return string(words)
}

// receive takes answers from the server at once, so that the server never waits for a client.
func (c *conn) receive() {
	defer c.close()
	r := bufio.NewReader(c.inner)
	for {
		reply, err := readReply(r)
		if err != nil {
			return
		}
		if bytes.HasPrefix(reply, []byte("*3\r\n$7\r\nmessage\r\n")) {
			for _, d := range c.link.fate() {
				time.AfterFunc(d, func() { c.push(arrival{reply, time.Now()}) })
			}
			continue
		}
		c.mu.Lock()
		what := c.asked
		c.mu.Unlock()
		c.push(arrival{reply, time.Now().Add(c.link.latency("of " + what))}) // answers stay in their order
	}
}

func (c *conn) push(a arrival) {
	c.mu.Lock()
	c.queue = append(c.queue, a)
	c.mu.Unlock()
	select {
	case c.more <- struct{}{}:
	default:
	}
}

// deliver hands answers to the client.
func (c *conn) deliver() {
	defer c.close()
	for {
		select {
		case <-c.more:
		case <-c.closed:
			return
		}
		c.mu.Lock()
		queue := c.queue
		c.queue = nil
		c.mu.Unlock()
		for _, a := range queue {
			if !c.pause(a.due) || !c.stalled() {
				return
			}
			if _, err := c.outer.Write(a.reply); err != nil {
				return
			}
		}
	}
}

// pause waits until an instant. It is false when the connection ended.
func (c *conn) pause(until time.Time) bool {
	select {
	case <-time.After(time.Until(until)):
		return true
	case <-c.closed:
		return false
	}
}

// stalled waits while the network stands still. It is false when the connection ended.
func (c *conn) stalled() bool {
	stall := c.link.stalled()
	if stall == nil {
		return true
	}
	select {
	case <-stall:
		return true
	case <-c.closed:
		return false
	}
}

// readReply reads one whole reply in RESP 2 and returns its bytes.
func readReply(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	n, _ := strconv.Atoi(string(bytes.TrimSpace(line[1:])))
	switch {
	case line[0] == '$' && n >= 0:
		body := make([]byte, n+2)
		_, err = io.ReadFull(r, body)
		return append(line, body...), err
	case line[0] == '*':
		for range n {
			part, err := readReply(r)
			if err != nil {
				return nil, err
			}
			line = append(line, part...)
		}
	}
	return line, nil
}
