package remote_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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
		if mustFill(t, s, "k", mine, value).Stored {
			t.Error("stored without a lease")
		}
		mustAcquire(t, s, "k", other, nil)
		if mustFill(t, s, "k", mine, value).Stored {
			t.Error("stored over another's marker")
		}
		if err := s.Delete(t.Context(), []string{"k"}); err != nil {
			t.Fatal(err)
		}
		mustAcquire(t, s, "k", mine, nil)
		if err := s.Delete(t.Context(), []string{"k"}); err != nil { // an invalidation
			t.Fatal(err)
		}
		if mustFill(t, s, "k", mine, value).Stored {
			t.Error("stored after an invalidation took the marker")
		}
		mustAcquire(t, s, "k", mine, nil)
		if !mustFill(t, s, "k", mine, value).Stored {
			t.Error("not stored over its own marker")
		}
		if !mustFill(t, s, "k", mine, value).Stored {
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
		if mustFill(t, s, "k", mine, envelope(t, mine, "v")).Waiters {
			t.Error("waiters, though nobody asked")
		}
		if err := s.Delete(t.Context(), []string{"k"}); err != nil {
			t.Fatal(err)
		}
		mustAcquire(t, s, "k", mine, nil)
		mustAcquire(t, s, "k", remote.NewToken(), nil)
		if !mustFill(t, s, "k", mine, envelope(t, mine, "v")).Waiters {
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
		if l := s.Acquire(t.Context(), time.Second, []remote.Ask{{Hold: remote.Hold{Key: "k", Token: mine}}})[0]; !l.Granted {
			t.Fatalf("got %+v", l)
		}
		if mustRenew(t, s, "k", other) {
			t.Error("another's renewal was not refused")
		}
		mustRelease(t, s, "k", other)
		if !mustRenew(t, s, "k", mine) {
			t.Error("the holder's renewal was refused")
		}
		if ttl := client.PTTL(t.Context(), "shop:k").Val(); ttl <= time.Second {
			t.Errorf("after renewal the marker lives for %s; want nearly %s", ttl, lease)
		}
		if l := mustAcquire(t, s, "k", other, nil); !l.Busy {
			t.Fatalf("got %+v; want busy", l)
		}
		if !mustRelease(t, s, "k", mine) {
			t.Error("release: nobody waits")
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
		fillFor(t, s, "k", mine, envelope(t, mine, "v"), 1500*time.Millisecond)
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

// Of many keys each has its own answer; scripts that the server has lost are sent again.
func TestManyKeys(t *testing.T) {
	onEach(t, func(t *testing.T, client *redis.Client, s *remote.Store) {
		a, b, c := remote.NewToken(), remote.NewToken(), remote.NewToken()
		hold := func(key string, token remote.Token) remote.Hold { return remote.Hold{Key: key, Token: token} }
		mustAcquire(t, s, "busy", b, nil)
		mustAcquire(t, s, "full", c, nil)
		mustFill(t, s, "full", c, envelope(t, c, "v"))
		if err := client.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		leases := s.Acquire(t.Context(), lease, []remote.Ask{{Hold: hold("free", a)}, {Hold: hold("busy", a)}, {Hold: hold("full", a)}})
		if !leases[0].Granted || !leases[1].Busy || leases[2].Value == nil {
			t.Errorf("got %+v; want granted, busy, a value", leases)
		}
		filled := s.Fill(t.Context(), []remote.Fill{
			{Hold: hold("free", a), Value: envelope(t, a, "v")},
			{Hold: hold("busy", a), Value: envelope(t, a, "v")},
			{Hold: hold("busy", b)},
		})
		want := []remote.Filled{{Stored: true}, {}, {Waiters: true}}
		if diff := cmp.Diff(want, filled); diff != "" {
			t.Errorf("fills: -want +got\n%s", diff)
		}
		if err := client.LPush(t.Context(), "shop:list", "x").Err(); err != nil {
			t.Fatal(err)
		}
		stored := s.GetMany(t.Context(), []string{"full", "busy", "list", "free"})
		if stored[0].Raw == nil || stored[1].Raw != nil || stored[2].Raw == nil || len(stored[2].Raw) != 0 || stored[3].Raw == nil {
			t.Errorf("got %q", stored)
		}
	})
}

// A marker whose life is longer than what it was given was made before the server's clock was set back. Nobody waits for it.
func TestMarkerWithMoreLifeThanALeaseIsFree(t *testing.T) {
	token := "0123456789abcdef"
	for name, test := range map[string]struct {
		marker string
		left   time.Duration
		free   bool
	}{
		"hours left":                     {"M1" + token + "0200", 2 * time.Hour, true},
		"thrice its life":                {"M1" + token + "02000", 6 * time.Second, true},
		"a clock put right":              {"M1" + token + "02000", 2100 * time.Millisecond, false},
		"of an older version":            {"M1" + token + "0", remote.MaxLease, false},
		"of an older version, for hours": {"M1" + token + "1", 2 * time.Hour, true},
		"claims hours":                   {"M1" + token + "07200000", 2 * time.Hour, true},
		"claims nonsense":                {"M1" + token + "0x", 2 * time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, client *redis.Client, s *remote.Store) {
				if err := client.Set(t.Context(), "shop:k", test.marker, test.left).Err(); err != nil {
					t.Fatal(err)
				}
				mine := remote.NewToken()
				l := mustAcquire(t, s, "k", mine, nil)
				if l.Granted != test.free || l.Busy == test.free {
					t.Fatalf("got %+v; want it free: %v", l, test.free)
				}
				if test.free && !mustFill(t, s, "k", mine, envelope(t, mine, "v")).Stored {
					t.Error("the new holder cannot fill")
				}
			})
		})
	}
}

// A renewal gives a life of its own, shorter or longer, and keeps the note that somebody waits.
func TestRenewalHasItsOwnLife(t *testing.T) {
	onEach(t, func(t *testing.T, client *redis.Client, s *remote.Store) {
		hold := remote.Hold{Key: "k", Token: remote.NewToken()}
		if l := s.Acquire(t.Context(), 200*time.Millisecond, []remote.Ask{{Hold: hold}})[0]; !l.Granted {
			t.Fatalf("got %+v", l)
		}
		for _, life := range []time.Duration{2 * time.Second, 900 * time.Millisecond, time.Hour} {
			if still, err := s.Renew(t.Context(), life, []remote.Hold{hold}); err != nil || !still[0] {
				t.Fatalf("got %v, %v", still, err)
			}
			want := min(life, remote.MaxLease)
			if left := client.PTTL(t.Context(), "shop:k").Val(); left > want || left < want/2 {
				t.Errorf("renewed for %s: %s left", life, left)
			}
			if l := mustAcquire(t, s, "k", remote.NewToken(), nil); !l.Busy {
				t.Errorf("renewed for %s: got %+v; want busy", life, l)
			}
		}
		if !mustRelease(t, s, "k", hold.Token) {
			t.Error("the note that somebody waits was lost")
		}
	})
}
