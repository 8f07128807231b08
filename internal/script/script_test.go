package script_test

import (
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/tandem-cache/tandem/internal/script"
	"github.com/tandem-cache/tandem/internal/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var set = script.NewBounded("return redis.call('SET', KEYS[1], ARGV[1])")

func connect(t *testing.T, addr string) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: addr})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// A bounded script writes while Redis is full, another does not.
func TestBoundedScriptRunsWhileRedisIsFull(t *testing.T) {
	client := connect(t, servertest.StartRedis(t).Addr)
	for _, maxmemory := range []string{"0", "1000"} {
		if err := client.ConfigSet(t.Context(), "maxmemory", maxmemory).Err(); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time the server knows the script
			if err := set.Run(t.Context(), client, []string{"a"}, maxmemory).Err(); err != nil {
				t.Fatalf("maxmemory %s: %v", maxmemory, err)
			}
		}
		if got := client.Get(t.Context(), "a").Val(); got != maxmemory {
			t.Errorf("got %q; want %s", got, maxmemory)
		}
	}
	if err := set.Plain.Run(t.Context(), client, []string{"a"}, "b").Err(); !script.IsFull(err) {
		t.Errorf("the script without its flag: %v; want Redis to be full, or this test shows nothing", err)
	}
	if known, err := set.Load(t.Context(), client); !known || err != nil {
		t.Errorf("load: %v, %v; want it known", known, err)
	}
}

// A replica refuses in the words that it has for each script: the flag is not tried there.
func TestBoundedScriptOnAReplica(t *testing.T) {
	client := connect(t, servertest.StartRedis(t).Addr)
	if err := client.ReplicaOf(t.Context(), "127.0.0.1", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if err := set.Run(t.Context(), client, []string{"a"}, "b").Err(); err == nil || !strings.HasPrefix(err.Error(), "READONLY") {
		t.Errorf("got %v; want READONLY", err)
	}
}

// A server that can't read the flag says that it is full, not that it can't compile.
func TestServerWithoutTheFlag(t *testing.T) {
	server := miniredis.RunT(t) // as a server before 7.0 does
	client := connect(t, server.Addr())
	if known, err := set.Load(t.Context(), client); known || err != nil {
		t.Errorf("load: %v, %v; want it not known", known, err)
	}
	full := script.NewBounded("return redis.error_reply('OOM command not allowed')")
	if err := full.Run(t.Context(), client, []string{"a"}).Err(); !script.IsFull(err) {
		t.Errorf("got %v; want that Redis is full", err)
	}
}
