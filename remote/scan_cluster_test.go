package remote_test

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/remote"
)

// startCluster starts a cluster of two masters, without replicas.
func startCluster(t *testing.T) *redis.ClusterClient {
	t.Helper()
	var addrs []string
	ranges := [][2]int{{0, 8191}, {8192, 16383}}
	for i, slots := range ranges {
		bus := freeBusPort(t)
		server := servertest.StartRedis(t, "--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "5000")
		node := redis.NewClient(&redis.Options{Addr: server.Addr})
		t.Cleanup(func() { _ = node.Close() })
		for _, args := range [][]any{
			{"cluster", "addslotsrange", slots[0], slots[1]},
			{"cluster", "set-config-epoch", i + 1},
		} {
			if err := node.Do(t.Context(), args...).Err(); err != nil {
				t.Fatal(err)
			}
		}
		addrs = append(addrs, server.Addr)
		if i == 0 {
			continue
		}
		first := redis.NewClient(&redis.Options{Addr: addrs[0]})
		t.Cleanup(func() { _ = first.Close() })
		host, port, err := net.SplitHostPort(server.Addr)
		if err == nil {
			err = first.Do(t.Context(), "cluster", "meet", host, port, bus).Err()
		}
		if err != nil {
			t.Fatal(err)
		}
		awaitCluster(t, first, node)
	}
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func awaitCluster(t *testing.T, nodes ...*redis.Client) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		ok := 0
		for _, node := range nodes {
			info, err := node.ClusterInfo(t.Context()).Result()
			if err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:2") {
				ok++
			}
		}
		if ok == len(nodes) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the cluster did not form within 15 s")
		}
	}
}

// freeBusPort is a port for a node's bus: the default, its port + 10000, may be above all ports.
func freeBusPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func TestScannerOnACluster(t *testing.T) {
	client := startCluster(t)
	value := envelope(t, remote.NewToken(), "v")
	const count = 400
	for i := range count {
		if err := client.Set(t.Context(), fmt.Sprint("shop:a:b:", i), value, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	store := remote.New(client, "shop")
	sc := store.Scanner("*")
	keys, _ := scanAll(t, sc)
	if len(keys) != count {
		t.Errorf("found %d keys; want %d", len(keys), count)
	}
	if looked, total := sc.Progress(); looked != count || total != count {
		t.Errorf("looked at %d of %d; want %d of as many", looked, total, count)
	}
	if values, err := store.Values(t.Context(), keys); len(values) != count || err != nil {
		t.Errorf("%d values, %v; want %d", len(values), err, count)
	}
	if described, err := store.Describe(t.Context(), keys); len(described) != count || err != nil {
		t.Errorf("%d described, %v; want %d", len(described), err, count)
	}
	if err := store.Delete(t.Context(), keys); err != nil {
		t.Fatal(err)
	}
	if keys, _ := scanAll(t, store.Scanner("*")); len(keys) != 0 {
		t.Errorf("%d keys after they were deleted", len(keys))
	}
}
