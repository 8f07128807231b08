package servertest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are taken from below the range that systems use for outgoing
// connections. From inside of it, a client that dials a stopped server could be
// given the server's own port, connect to itself, and keep the server from
// starting again. The span is 10,000 so that a Redis Cluster's second port (the
// first one + 10,000) falls into nobody's way.
const (
	firstPort = 12_000
	portSpan  = 10_000
)

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// freePort returns a port that nobody listened on a moment ago. Somebody else
// may be faster: start tries another one then.
func freePort() (int, error) {
	var last error
	for range 100 {
		port := firstPort + rand.IntN(portSpan)
		l, err := net.Listen("tcp", address(port))
		if err != nil {
			last = err
			continue
		}
		return port, l.Close()
	}
	return 0, fmt.Errorf("servertest: no free port: %w", last)
}
