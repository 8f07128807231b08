package remote

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"reflect"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Bound returns client with every call limited to timeout. go-redis by default lets a call to a frozen server last for its
// ReadTimeout of seconds, times its retries, whatever the context says.
//
// A client made with ContextTimeoutEnabled is returned as it is. Of a *redis.Client (also of Sentinel) without it, a copy is
// returned that shares its connections but, as go-redis makes it, not its hooks. A *redis.ClusterClient has no such copy and
// must be made with ContextTimeoutEnabled, and without ReadOnly, RouteByLatency and RouteRandomly. The caller keeps client and closes it.
func Bound(client redis.UniversalClient, timeout time.Duration) (redis.UniversalClient, error) {
	if v := reflect.ValueOf(client); client == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, errors.New("remote: the Redis client is a nil pointer (an interface without a client is L1 alone)")
	}
	switch c := client.(type) {
	case *redis.Client:
		if c.Options().ContextTimeoutEnabled {
			return c, nil
		}
		return c.WithTimeout(timeout), nil
	case *redis.ClusterClient:
		if !c.Options().ContextTimeoutEnabled {
			return nil, errors.New("remote: set ContextTimeoutEnabled on the ClusterClient: without it a frozen node would hold every read for ReadTimeout")
		}
		if o := c.Options(); o.ReadOnly || o.RouteByLatency || o.RouteRandomly {
			return nil, errors.New("remote: ReadOnly, RouteByLatency and RouteRandomly of the ClusterClient must be off: a replica that lags does not know what was invalidated")
		}
		return c, nil
	default:
		return nil, fmt.Errorf("remote: %T is not supported: use *redis.Client or *redis.ClusterClient", client)
	}
}

// A Store is one cache's part of a Redis.
type Store struct {
	client  redis.UniversalClient
	cluster bool   // keys of one call must lie in one slot
	prefix  string // "<name>:"

	indexCapacity int           // a test has less of it
	indexLife     time.Duration // a test has less of it

	tokens sync.Map // feed → the token of the script that tells its server; see witness
	pod    string   // names this Store's witnesses
}

// New returns the part of Redis that belongs to the cache called name. It does not talk to Redis.
func New(client redis.UniversalClient, name string) *Store {
	_, single := client.(*redis.Client)
	return &Store{client: client, cluster: !single, prefix: name + ":", indexCapacity: indexCapacity, indexLife: indexLife, pod: rand.Text()}
}

// Ping says whether Redis answers.
func (s *Store) Ping(ctx context.Context) error { return s.client.Ping(ctx).Err() }

// Cause returns why a call that failed with err could not be made. go-redis makes connections in the background and tries again and again, so
// that the call's time is over before the first refusal is told: after a timeout, Cause makes a connection of its own, and closes it.
func (s *Store) Cause(ctx context.Context, err error) error {
	if !TimedOut(err) {
		return err
	}
	if refused := s.dial(ctx); refused != nil && ctx.Err() == nil {
		return refused
	}
	return err
}

// TimedOut reports whether a call failed because its time was over, or that of a wait before it.
func TimedOut(err error) bool {
	var network net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, redis.ErrPoolTimeout) || errors.As(err, &network) && network.Timeout()
}

// dial makes a connection to each address that the client was given, as the client would, until one fails.
func (s *Store) dial(ctx context.Context) error {
	dialer, network, addrs := (&net.Dialer{}).DialContext, "tcp", []string(nil)
	switch c := s.client.(type) {
	case *redis.Client:
		dialer, network, addrs = c.Options().Dialer, c.Options().Network, []string{c.Options().Addr}
	case *redis.ClusterClient:
		if addrs = c.Options().Addrs; c.Options().Dialer != nil {
			dialer = c.Options().Dialer
		}
	}
	for _, addr := range addrs {
		conn, err := dialer(ctx, network, addr)
		if err != nil {
			return err
		}
		_ = conn.Close()
	}
	return nil
}

// EntryKey is the Redis key at which the entry of key lies.
func (s *Store) EntryKey(key string) string { return s.prefix + key }

func (s *Store) tickKey() string               { return s.prefix + "{tick}" }
func (s *Store) feedKey(feed string) string    { return s.prefix + "{feed:" + feed + "}" }
func (s *Store) witnessKey(feed string) string { return s.feedKey(feed) + ":witness:" + s.pod }
func (s *Store) leadKey(feed string) string    { return s.feedKey(feed) + ":lease" }
func (s *Store) bucketKey(b int) string        { return fmt.Sprintf("%s{names:%02x}", s.prefix, b) }
