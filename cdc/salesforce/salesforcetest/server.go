package salesforcetest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/tandem-cache/tandem/cdc/salesforce"
	"github.com/tandem-cache/tandem/cdc/salesforce/internal/eventbus"
)

// What programs log in with.
const (
	ClientID     = "salesforcetest-client-id"
	ClientSecret = "salesforcetest-client-secret"
)

// loopback is where a server listens first; the ports that it gets are its own from then on.
const loopback = "127.0.0.1:0"

// Server is an org, with its part of the service. Make it with Start.
type Server struct {
	opts     Options
	endpoint string // of gRPC, host:port; doesn't change after Start
	login    string // of HTTP, host:port; likewise

	life   sync.Mutex // serializes Stop, Restart and Close; taken before mu
	closed bool       // guarded by life
	up     *sockets   // guarded by life; nil while the server is down

	mu          sync.Mutex // guards the fields below, and all topics, entities and subscriptions
	bus         *bus
	topics      map[string]*topic
	entities    map[string]*entity
	schemas     map[string]string    // texts by id
	tokens      map[string]time.Time // when each ends
	commits     int64                // number of the last transaction
	allocation  int                  // events that may still be delivered
	refuse      bool                 // all logins
	faults      map[string]*fault    // by method, or by topic
	calls       map[string]int       // by method
	logins      int                  // that were granted
	streams     int                  // that are open
	starved     int                  // streams that were closed for asking for nothing
	history     []*subscription      // the last ones, oldest first
	connections map[*conn]struct{}   // of gRPC
}

// sockets is what listens while the server is up.
type sockets struct {
	rpc  *grpc.Server
	http *http.Server
	wg   sync.WaitGroup // the two servers, and the readers of streams
}

// Start starts an org with no entities, on two free ports of the loopback interface.
func Start(opts Options) (*Server, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{
		opts: opts, endpoint: loopback, login: loopback, bus: newBus(opts.Retention),
		topics: map[string]*topic{}, entities: map[string]*entity{}, schemas: map[string]string{}, tokens: map[string]time.Time{},
		allocation: opts.Allocation, faults: map[string]*fault{}, calls: map[string]int{}, connections: map[*conn]struct{}{},
	}
	s.addTopicLocked(allChanges, nil)
	return s, s.Restart()
}

// Endpoint is where the Pub/Sub API is, as host:port. It speaks without TLS.
func (s *Server) Endpoint() string { return s.endpoint }

// LoginURL is where to log in, and the org's own URL.
func (s *Server) LoginURL() string { return "http://" + s.login }

// Config is for a source that follows a topic of this org. It logs in with client credentials.
func (s *Server) Config(topicName string) salesforce.Config {
	return salesforce.Config{
		Auth:        salesforce.ClientCredentials{Domain: s.LoginURL(), ClientID: ClientID, ClientSecret: ClientSecret},
		Topic:       topicName,
		Endpoint:    s.Endpoint(),
		DialOptions: []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())},
	}
}

// Stop takes the server down: its ports refuse connections and what was connected is cut. The org goes on: changes are published.
func (s *Server) Stop() {
	s.life.Lock()
	defer s.life.Unlock()
	s.stopLocked()
}

// Restart brings the server up, on the same ports, if it is down.
func (s *Server) Restart() error {
	s.life.Lock()
	defer s.life.Unlock()
	if s.closed {
		return errors.New("salesforcetest: the server is closed")
	}
	if s.up != nil {
		return nil
	}
	rpc, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", s.endpoint)
	if err != nil {
		return fmt.Errorf("salesforcetest: %w", err)
	}
	web, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", s.login)
	if err != nil {
		return errors.Join(fmt.Errorf("salesforcetest: %w", err), rpc.Close())
	}
	if s.endpoint == loopback { // once, before anybody reads them
		s.endpoint, s.login = rpc.Addr().String(), web.Addr().String()
	}
	s.up = s.serve(rpc, web)
	return nil
}

func (s *Server) serve(rpc, web net.Listener) *sockets {
	up := &sockets{
		rpc:  grpc.NewServer(grpc.WaitForHandlers(true), grpc.MaxConcurrentStreams(uint32(s.opts.MaxStreams))),
		http: &http.Server{Handler: s.oauth(), ReadHeaderTimeout: 10 * time.Second},
	}
	eventbus.RegisterPubSubServer(up.rpc, &pubsub{s: s, readers: &up.wg})
	up.wg.Go(func() { _ = up.rpc.Serve(&listener{rpc, s}) }) // ends with Stop
	up.wg.Go(func() { _ = up.http.Serve(web) })              // ends with Close
	return up
}

func (s *Server) stopLocked() {
	if s.up == nil {
		return
	}
	_ = s.up.http.Close() // a listener that can't be closed is closed
	s.up.rpc.Stop()
	s.up.wg.Wait()
	s.up = nil
}

// Close takes the server down for good and waits for its goroutines.
func (s *Server) Close() {
	s.life.Lock()
	defer s.life.Unlock()
	s.stopLocked()
	s.closed = true
}

// listener knows the connections, so that they can be cut.
type listener struct {
	net.Listener
	s *Server
}

type conn struct {
	net.Conn
	s *Server
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	known := &conn{c, l.s}
	l.s.connections[known] = struct{}{}
	return known, nil
}

func (c *conn) Close() error {
	c.s.mu.Lock()
	delete(c.s.connections, c)
	c.s.mu.Unlock()
	return c.Conn.Close()
}
