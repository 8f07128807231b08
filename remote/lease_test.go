package remote_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/remote"
)

func TestLeaseIsGrantedOnce(t *testing.T) {
	onEach(t, func(t *testing.T, _ *redis.Client, s *remote.Store) {
		mine, other := remote.NewToken(), remote.NewToken()
		if l := mustAcquire(t, s, "k", mine, nil); !l.Granted {
			t.Fatalf("first: got %+v; want it granted", l)
		}
		if l := mustAcquire(t, s, "k", mine, nil); !l.Granted {
			t.Errorf("the same load again, as a client's retry: got %+v; want it granted", l)
		}
		l := mustAcquire(t, s, "k", other, nil)
		if !l.Busy || l.Left <= 0 || l.Left > lease {
			t.Errorf("another load: got %+v; want it busy for at most %s", l, lease)
		}
		if raw, err := s.Get(t.Context(), "k"); raw != nil || err != nil {
			t.Errorf("a marker reads as %q, %v; want nothing", raw, err)
		}
	})
}

func TestFillOnlyOverItsOwnMarker(t *testing.T) {
	onEach(t, func(t *testing.T, _ *redis.Client, s *remote.Store) {
		mine, other := remote.NewToken(), remote.NewToken()
		value := envelope(t, mine, "v")
		if stored, _ := mustFill(t, s, "k", mine, value); stored {
			t.Error("stored without a lease")
		}
		mustAcquire(t, s, "k", other, nil)
		if stored, _ := mustFill(t, s, "k", mine, value); stored {
			t.Error("stored over another's marker")
		}
		if err := s.Delete(t.Context(), []string{"k"}); err != nil {
			t.Fatal(err)
		}
		mustAcquire(t, s, "k", mine, nil)
		if err := s.Delete(t.Context(), []string{"k"}); err != nil { // an invalidation
			t.Fatal(err)
		}
		if stored, _ := mustFill(t, s, "k", mine, value); stored {
			t.Error("stored after an invalidation took the marker")
		}
		mustAcquire(t, s, "k", mine, nil)
		if stored, _ := mustFill(t, s, "k", mine, value); !stored {
			t.Error("not stored over its own marker")
		}
		if stored, _ := mustFill(t, s, "k", mine, value); !stored {
			t.Error("a client's retry of a fill that had happened is told that it was refused")
		}
		if raw, _ := s.Get(t.Context(), "k"); !bytes.Equal(raw, value) {
			t.Errorf("got %q; want the value", raw)
		}
	})
}

func TestFillTellsOfWaiters(t *testing.T) {
	onEach(t, func(t *testing.T, _ *redis.Client, s *remote.Store) {
		mine := remote.NewToken()
		mustAcquire(t, s, "k", mine, nil)
		if _, waiters := mustFill(t, s, "k", mine, envelope(t, mine, "v")); waiters {
			t.Error("waiters, though nobody asked")
		}
		if err := s.Delete(t.Context(), []string{"k"}); err != nil {
			t.Fatal(err)
		}
		mustAcquire(t, s, "k", mine, nil)
		mustAcquire(t, s, "k", remote.NewToken(), nil)
		if _, waiters := mustFill(t, s, "k", mine, envelope(t, mine, "v")); !waiters {
			t.Error("no waiters, though another was told busy")
		}
	})
}

func TestDeadValueIsReplacedByItsHead(t *testing.T) {
	onEach(t, func(t *testing.T, client *redis.Client, s *remote.Store) {
		old, newer, mine := remote.NewToken(), remote.NewToken(), remote.NewToken()
		dead, fresh := envelope(t, old, "dead"), envelope(t, newer, "fresh")
		set := func(v any) {
			t.Helper()
			if err := client.Set(t.Context(), "shop:k", v, 0).Err(); err != nil {
				t.Fatal(err)
			}
		}
		set(fresh)
		if l := mustAcquire(t, s, "k", mine, dead); !bytes.Equal(l.Value, fresh) {
			t.Errorf("another value than the dead one: got %+v; want that value", l)
		}
		if l := mustAcquire(t, s, "k", mine, nil); !bytes.Equal(l.Value, fresh) {
			t.Errorf("no dead value known: got %+v; want the value", l)
		}
		set(dead)
		if l := mustAcquire(t, s, "k", mine, dead); !l.Granted {
			t.Errorf("the dead value: got %+v; want the lease", l)
		}
		for _, junk := range []string{"", "x", "some bytes of somebody else's", "M1 a marker that never expires"} {
			set(junk)
			raw, err := s.Get(t.Context(), "k")
			if err != nil {
				t.Fatal(err)
			}
			if l := mustAcquire(t, s, "k", mine, raw); !l.Granted {
				t.Errorf("junk %q: got %+v; want the lease", junk, l)
			}
		}
	})
}

func TestOtherTypesAreOverwritten(t *testing.T) {
	onEach(t, func(t *testing.T, client *redis.Client, s *remote.Store) {
		if err := client.LPush(t.Context(), "shop:k", "x").Err(); err != nil {
			t.Fatal(err)
		}
		if raw, err := s.Get(t.Context(), "k"); raw == nil || len(raw) != 0 || err != nil {
			t.Errorf("got %q, %v; want an empty value and no error", raw, err)
		}
		if l := mustAcquire(t, s, "k", remote.NewToken(), []byte{}); !l.Granted {
			t.Errorf("got %+v; want the lease", l)
		}
	})
}

func TestRenewAndReleaseOnlyOnesOwn(t *testing.T) {
	onEach(t, func(t *testing.T, client *redis.Client, s *remote.Store) {
		mine, other := remote.NewToken(), remote.NewToken()
		if _, err := s.Acquire(t.Context(), "k", mine, 2*time.Second, nil); err != nil {
			t.Fatal(err)
		}
		if held, err := s.Renew(t.Context(), "k", other, lease); held || err != nil {
			t.Errorf("another's renewal: got %v, %v; want it refused", held, err)
		}
		if _, err := s.Release(t.Context(), "k", other); err != nil {
			t.Fatal(err)
		}
		if held, err := s.Renew(t.Context(), "k", mine, lease); !held || err != nil {
			t.Errorf("the holder's renewal: got %v, %v; want it held", held, err)
		}
		if ttl := client.PTTL(t.Context(), "shop:k").Val(); ttl < 30*time.Second {
			t.Errorf("after renewal the marker lives for %s; want nearly %s", ttl, lease)
		}
		if l := mustAcquire(t, s, "k", other, nil); !l.Busy {
			t.Fatalf("got %+v; want busy", l)
		}
		if waiters, err := s.Release(t.Context(), "k", mine); !waiters || err != nil {
			t.Errorf("release: waiters %v, %v; want true", waiters, err)
		}
		if l := mustAcquire(t, s, "k", other, nil); !l.Granted {
			t.Errorf("after release: got %+v; want it granted", l)
		}
	})
}

func TestAcquireReadsTheLastTick(t *testing.T) {
	onEach(t, func(t *testing.T, _ *redis.Client, s *remote.Store) {
		if l := mustAcquire(t, s, "a", remote.NewToken(), nil); l.Tick != 0 {
			t.Errorf("before any tick: got %d; want 0", l.Tick)
		}
		tick, err := s.TakeTick(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if l := mustAcquire(t, s, "b", remote.NewToken(), nil); l.Tick != tick {
			t.Errorf("got %d; want the last tick, %d", l.Tick, tick)
		}
	})
}

func TestFillWithALifeExpires(t *testing.T) {
	onEach(t, func(t *testing.T, client *redis.Client, s *remote.Store) {
		mine := remote.NewToken()
		mustAcquire(t, s, "k", mine, nil)
		if _, _, err := s.Fill(t.Context(), "k", mine, envelope(t, mine, "v"), 1500*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if ttl := client.PTTL(t.Context(), "shop:k").Val(); ttl <= 0 || ttl > 1500*time.Millisecond {
			t.Errorf("the value lives for %s; want at most 1.5 s", ttl)
		}
		mustAcquire(t, s, "j", mine, nil)
		mustFill(t, s, "j", mine, envelope(t, mine, "v"))
		if ttl := client.PTTL(t.Context(), "shop:j").Val(); ttl != -1 {
			t.Errorf("a value without a life has the TTL %s; want none", ttl)
		}
	})
}
