package remote_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/remote"
)

func TestBoundRefuses(t *testing.T) {
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}})
	ring := redis.NewRing(&redis.RingOptions{})
	replicas := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}, ContextTimeoutEnabled: true, ReadOnly: true})
	t.Cleanup(func() { _, _, _ = cluster.Close(), replicas.Close(), ring.Close() })
	for name, test := range map[string]struct {
		client redis.UniversalClient
		want   string
	}{
		"nil":                       {nil, "nil pointer"},
		"a typed nil":               {(*redis.Client)(nil), "nil pointer"},
		"a typed nil of a cluster":  {(*redis.ClusterClient)(nil), "nil pointer"},
		"a cluster without timeout": {cluster, "ContextTimeoutEnabled"},
		"a cluster's replicas":      {replicas, "ReadOnly"},
		"a ring":                    {ring, "not supported"},
	} {
		if _, err := remote.Bound(test.client, time.Second); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v; want an error with %q", name, err, test.want)
		}
	}
}

// A frozen server accepts connections and never answers; go-redis by default waits for seconds, several times.
func TestBoundLimitsAFrozenServer(t *testing.T) {
	for name, follows := range map[string]bool{"a client as it comes": false, "a client that follows contexts": true} {
		t.Run(name, func(t *testing.T) {
			server := servertest.StartRedis(t)
			client := redis.NewClient(&redis.Options{Addr: server.Addr, ContextTimeoutEnabled: follows})
			t.Cleanup(func() { _ = client.Close() })
			bounded, err := remote.Bound(client, 50*time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			s := remote.New(bounded, "shop")
			if err := s.Ping(t.Context()); err != nil {
				t.Fatal(err)
			}
			server.Freeze()
			defer server.Thaw()
			for range 3 { // a connection of the pool, then new ones
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				began := time.Now()
				_, err := s.Get(ctx, "k")
				cancel()
				if took := time.Since(began); err == nil || took > 500*time.Millisecond {
					t.Errorf("got %v after %s; want an error after about 50 ms", err, took)
				}
			}
		})
	}
}
