package remote_test

import (
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/remote"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// onEach runs a test on a real Redis and on miniredis: the scripts use only what both have.
func onEach(t *testing.T, test func(t *testing.T, client *redis.Client, store *remote.Store)) {
	t.Helper()
	run := func(name string, addr func(*testing.T) string) {
		t.Run(name, func(t *testing.T) {
			client := redis.NewClient(&redis.Options{Addr: addr(t)})
			t.Cleanup(func() { _ = client.Close() })
			test(t, client, remote.New(client, "shop"))
		})
	}
	run("redis", func(t *testing.T) string { return servertest.StartRedis(t).Addr })
	run("miniredis", func(t *testing.T) string { return miniredis.RunT(t).Addr() })
}

const lease = time.Minute

func mustAcquire(t *testing.T, s *remote.Store, key string, token remote.Token, dead []byte) remote.Lease {
	t.Helper()
	l, err := s.Acquire(t.Context(), key, token, lease, dead)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func mustFill(t *testing.T, s *remote.Store, key string, token remote.Token, value []byte) (stored, waiters bool) {
	t.Helper()
	stored, waiters, err := s.Fill(t.Context(), key, token, value, 0)
	if err != nil {
		t.Fatal(err)
	}
	return stored, waiters
}

// envelope is a value's bytes with a token.
func envelope(t *testing.T, token remote.Token, payload string) []byte {
	t.Helper()
	b, err := (&remote.Envelope{Token: token, Payload: []byte(payload)}).AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
