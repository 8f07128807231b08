package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// A proxy stands before one process's connections to one server. Its methods may be called from any goroutine: a promotion cuts
// every proxy, also those that another fault has cut.
type proxy struct {
	p    *toxiproxy.Proxy
	addr string

	mu       sync.Mutex // guards the fields below
	upstream string
	cuts     int // faults that want it cut
}

// Proxies listen below the ports that systems give to outgoing connections, and above those of servertest: a client that dials a proxy
// which is cut would otherwise be given the proxy's own port now and then, and connect to itself.
const (
	firstPort = 22_000
	portSpan  = 10_000
)

func newProxy(name, upstream string) (*proxy, error) {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	var err error
	for range 20 {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(firstPort+rand.IntN(portSpan)))
		p := toxiproxy.NewProxy(server, name, addr, upstream)
		if err = p.Start(); err == nil {
			return &proxy{p: p, addr: addr, upstream: upstream}, nil
		}
	}
	return nil, fmt.Errorf("proxy %s: %w", name, err)
}

// cut closes all connections and refuses new ones, until join.
func (p *proxy) cut() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cuts++
	return p.setLocked(false)
}

// join ends a cut.
func (p *proxy) join() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cuts--
	return p.setLocked(p.cuts == 0)
}

// lead sends connections to another server, once the proxy is not cut.
func (p *proxy) lead(upstream string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.upstream = upstream
}

func (p *proxy) setLocked(enabled bool) error {
	var err error
	for range 20 { // somebody's probe for a free port may hold ours for a moment
		if err = p.p.Update(&toxiproxy.Proxy{Listen: p.addr, Upstream: p.upstream, Enabled: enabled}); err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("proxy %s: %w", p.p.Name, err)
}

// poison puts a toxic on what flows to the client ("downstream") or to the server ("upstream").
func (p *proxy) poison(kind, direction, attributes string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := p.p.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(
		`{"type": %q, "stream": %q, "toxicity": 1, "attributes": {%s}}`, kind, direction, attributes)))
	if err != nil {
		return fmt.Errorf("proxy %s: %s: %w", p.p.Name, kind, err)
	}
	return nil
}

// heal ends the toxics, and with them the connections that have them: toxiproxy takes a toxic off a live connection only after it has
// tried for 5 s to deliver each chunk that it holds, also where the client is gone.
func (p *proxy) heal() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.setLocked(false); err != nil {
		return err
	}
	p.p.Toxics = toxiproxy.NewToxicCollection(p.p) // nothing accepts now, and a connection keeps the collection it began with
	return p.setLocked(p.cuts == 0)
}

func (p *proxy) close() { p.p.Stop() }
