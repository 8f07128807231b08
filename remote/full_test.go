package remote_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/script"
	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/remote"
)

// fill takes what memory a Redis has: from then on it refuses to write.
func fillUp(t *testing.T, client *redis.Client) {
	t.Helper()
	if err := client.ConfigSet(t.Context(), "maxmemory", "1000").Err(); err != nil { // far below what it has taken
		t.Fatal(err)
	}
	if err := client.Set(t.Context(), "other", "value", 0).Err(); !script.IsFull(err) {
		t.Fatalf("a write: %v; want Redis to be full", err)
	}
}

// What an invalidation and a follower need works while Redis is full, also where a key has to be made first.
func TestFullRedisIsInvalidated(t *testing.T) {
	for name, made := range map[string]bool{"with its keys": true, "without a key": false} {
		t.Run(name, func(t *testing.T) {
			client := redis.NewClient(&redis.Options{Addr: servertest.StartRedis(t).Addr})
			t.Cleanup(func() { _ = client.Close() })
			s := remote.New(client, "shop")
			if made {
				makeTable(t, s)
			}
			fillUp(t, client)
			if !made {
				makeTable(t, s)
			}
			before := take(t, s, 0)
			if !touch(t, s, before+1, "k:a", "k:b", "t:c") {
				t.Error("the table is not whole")
			}
			if valid, _ := judge(t, s, "k:a", before); valid {
				t.Error("what was read before the invalidation is valid")
			}
			if clean, whole, err := s.Claim(t.Context(), "k:x", before, before+2); !clean || !whole || err != nil {
				t.Errorf("claim: %v, %v, %v; want it clean", clean, whole, err)
			}
			if leads, err := s.Lead(t.Context(), "f", "me", time.Minute); !leads || err != nil {
				t.Errorf("lead: %v, %v; want the lease", leads, err)
			}
			_, server, err := s.Checkpoint(t.Context(), "f")
			if err != nil {
				t.Fatal(err)
			}
			if moved, err := s.Advance(t.Context(), "f", server, "", "1"); !moved || err != nil {
				t.Errorf("advance: %v, %v; want it moved", moved, err)
			}
			token := remote.NewToken()
			if l := s.Acquire(t.Context(), lease, []remote.Ask{{Hold: remote.Hold{Key: "a", Token: token}}})[0]; !script.IsFull(l.Err) {
				t.Errorf("a lease: %+v; want it refused: there is no end to entries", l)
			}
		})
	}
}
