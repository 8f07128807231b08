package postgres_test

import (
	"net"
	"net/url"
	"sync"
	"testing"
)

// network is the way to a server: a proxy that can be cut and frozen.
type network struct {
	net.Listener
	to []string
	wg sync.WaitGroup

	mu     sync.Mutex // guards the fields below
	conns  map[net.Conn]bool
	thawed chan struct{} // closed unless the network is frozen
	frozen bool
	closed bool
}

// newNetwork leads to the server of a URL, or of several in turn, and ends with the test.
func newNetwork(t *testing.T, servers ...string) *network {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &network{Listener: listener, conns: make(map[net.Conn]bool), thawed: make(chan struct{})}
	for _, server := range servers {
		n.to = append(n.to, parse(t, server).Host)
	}
	close(n.thawed)
	n.wg.Go(n.run)
	t.Cleanup(func() {
		n.mu.Lock()
		n.closed = true
		n.mu.Unlock()
		_ = n.Close()
		n.thaw()
		n.cut()
		n.wg.Wait()
	})
	return n
}

// through is the URL that leads through the network.
func (n *network) through(t *testing.T, server string) string {
	u := parse(t, server)
	u.Host = n.Addr().String()
	return u.String()
}

func parse(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func (n *network) run() {
	for turn := 0; ; turn++ {
		in, err := n.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", n.to[turn%len(n.to)])
		if err != nil {
			_ = in.Close()
			continue
		}
		n.mu.Lock()
		n.conns[in], n.conns[out] = true, true
		closed := n.closed
		n.mu.Unlock()
		if closed {
			n.cut()
		}
		n.wg.Go(func() { n.copy(in, out) })
		n.wg.Go(func() { n.copy(out, in) })
	}
}

// copy ends both connections when one has ended.
func (n *network) copy(to, from net.Conn) {
	defer func() {
		_, _ = to.Close(), from.Close()
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.conns, to)
		delete(n.conns, from)
	}()
	buf := make([]byte, 32<<10)
	for {
		read, err := from.Read(buf)
		n.mu.Lock()
		thawed := n.thawed
		n.mu.Unlock()
		<-thawed
		if _, failed := to.Write(buf[:read]); failed != nil || err != nil {
			return
		}
	}
}

func (n *network) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		_ = c.Close()
	}
}

func (n *network) freeze() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.frozen, n.thawed = true, make(chan struct{})
}

func (n *network) thaw() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.frozen {
		n.frozen = false
		close(n.thawed)
	}
}
