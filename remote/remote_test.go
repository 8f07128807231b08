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
			test(t, client, remote.New(asUser(t, name, client), "shop"))
		})
	}
	run("redis", func(t *testing.T) string { return servertest.StartRedis(t).Addr })
	run("miniredis", func(t *testing.T) string { return miniredis.RunT(t).Addr() })
}

const lease = remote.MaxLease

func mustAcquire(t *testing.T, s *remote.Store, key string, token remote.Token, dead []byte) remote.Lease {
	t.Helper()
	l := s.Acquire(t.Context(), lease, []remote.Ask{{Hold: remote.Hold{Key: key, Token: token}, Dead: dead}})[0]
	if l.Err != nil {
		t.Fatal(l.Err)
	}
	return l
}

func mustFill(t *testing.T, s *remote.Store, key string, token remote.Token, value []byte) remote.Filled {
	t.Helper()
	return fillFor(t, s, key, token, value, 0)
}

func fillFor(t *testing.T, s *remote.Store, key string, token remote.Token, value []byte, life time.Duration) remote.Filled {
	t.Helper()
	f := s.Fill(t.Context(), []remote.Fill{{Hold: remote.Hold{Key: key, Token: token}, Value: value, Life: life}})[0]
	if f.Err != nil {
		t.Fatal(f.Err)
	}
	return f
}

func mustRelease(t *testing.T, s *remote.Store, key string, token remote.Token) (waiters bool) {
	t.Helper()
	return mustFill(t, s, key, token, nil).Waiters
}

func mustRenew(t *testing.T, s *remote.Store, key string, token remote.Token) (held bool) {
	t.Helper()
	still, err := s.Renew(t.Context(), lease, []remote.Hold{{Key: key, Token: token}})
	if err != nil {
		t.Fatal(err)
	}
	return still[0]
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

// asUser is a client of the user that the store is run as, if there is one: see TestRunsUnderTheSmallestACL.
func asUser(t *testing.T, server string, client *redis.Client) *redis.Client {
	t.Helper()
	user, password := servertest.User()
	if user == "" || server != "redis" {
		return client
	}
	limited := redis.NewClient(&redis.Options{Addr: client.Options().Addr, Username: user, Password: password})
	t.Cleanup(func() { _ = limited.Close() })
	return limited
}

// The store needs no more rights than docs/redis.md has.
func TestRunsUnderTheSmallestACL(t *testing.T) {
	servertest.RunAsUser(t, servertest.SmallestACL(t, "../docs/redis.md", "shop"), "^Test", 30)
}
