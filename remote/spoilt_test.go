package remote_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/remote"
)

// garbage are ways to spoil a hash, a sorted set or a string.
func garbage(client *redis.Client, key string, fields ...string) map[string]func(t *testing.T) error {
	ways := map[string]func(*testing.T) error{
		"a string":     func(t *testing.T) error { return client.Set(t.Context(), key, "x", 0).Err() },
		"a list":       func(t *testing.T) error { return client.RPush(t.Context(), key, "x").Err() },
		"a hash":       func(t *testing.T) error { return client.HSet(t.Context(), key, "x", "y").Err() },
		"a sorted set": func(t *testing.T) error { return client.ZAdd(t.Context(), key, redis.Z{Member: "x", Score: 1}).Err() },
	}
	for _, field := range fields {
		for _, value := range []string{"", "x", "-1", "1.5", "nan", "inf", "9007199254740991", "1e300"} {
			ways[field+" "+value] = func(t *testing.T) error { return client.HSet(t.Context(), key, "last", "1", field, value).Err() }
		}
	}
	return ways
}

// spoil puts something else in the place of each key in turn.
func spoil(t *testing.T, client *redis.Client, key string, ways map[string]func(*testing.T) error, test func(t *testing.T)) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(ways)) {
		t.Run(name, func(t *testing.T) {
			client.Del(t.Context(), key)
			if err := ways[name](t); err != nil {
				t.Fatal(err)
			}
			test(t)
		})
	}
}

// Whatever lies in the counter's place, the next tick is above what anybody has heard.
func TestSpoiltCounterBeginsAnew(t *testing.T) {
	onEach(t, func(t *testing.T, client *redis.Client, s *remote.Store) {
		makeTable(t, s)
		before := take(t, s, uint64(time.Now().Add(10*time.Hour).UnixMicro()))
		touch(t, s, before, "k:a")
		spoil(t, client, "shop:{tick}", garbage(client, "shop:{tick}", "last", "ahead", "run"), func(t *testing.T) {
			if l := mustAcquire(t, s, "key", remote.NewToken(), nil); l.Tick > remote.LatestTick() {
				t.Errorf("a load is told of tick %d", l.Tick)
			}
			client.Del(t.Context(), "shop:key")
			for range 2 {
				tick := take(t, s, before) // has heard of it
				if tick <= before || tick > remote.LatestTick() {
					t.Errorf("got %d after %d", tick, before)
				}
				before = tick
			}
		})
		spoil(t, client, "shop:{tick}", garbage(client, "shop:{tick}", "last"), func(t *testing.T) {
			touch(t, s, before, "k:a")
			if tick := take(t, s, 0); tick <= before { // has heard of nothing: the table knows
				t.Errorf("got %d after %d", tick, before)
			} else {
				before = tick
			}
		})
	})
}

// Whatever lies in a bucket's place, or in the bucket, kills what asks it, and the bucket can be made again.
func TestSpoiltBucketIsMadeAgain(t *testing.T) {
	onEach(t, func(t *testing.T, client *redis.Client, s *remote.Store) {
		makeTable(t, s)
		bucket := fmt.Sprintf("shop:{names:%02x}", remote.BucketOf("k:a"))
		ways := garbage(client, bucket)
		for name, z := range map[string]redis.Z{
			"a floor of 0": {Member: "floor"}, "a negative floor": {Member: "floor", Score: -5}, "a floor near the end": {Member: "floor", Score: 1 << 52},
			"a name near the end": {Member: "k:x", Score: 1 << 52},
		} {
			ways[name] = func(t *testing.T) error {
				client.ZAdd(t.Context(), bucket, redis.Z{Member: "floor", Score: 5})
				return client.ZAdd(t.Context(), bucket, z).Err()
			}
		}
		spoil(t, client, bucket, ways, func(t *testing.T) {
			tick := take(t, s, 0)
			if valid, whole := judge(t, s, "k:a", tick); (valid || whole) && client.ZScore(t.Context(), bucket, "k:x").Val() == 0 {
				t.Errorf("valid %v, whole %v; want neither", valid, whole)
			}
			if touch(t, s, take(t, s, 0), "k:a") {
				t.Error("an invalidation took the bucket for whole")
			}
			makeTable(t, s)
			before := take(t, s, 0)
			if valid, whole := judge(t, s, "k:a", before); !valid || !whole {
				t.Errorf("made again: valid %v, whole %v; want both", valid, whole)
			}
			if !touch(t, s, take(t, s, 0), "k:a") {
				t.Error("the bucket that was made again is not whole")
			}
			if valid, _ := judge(t, s, "k:a", before); valid {
				t.Error("what was read before the invalidation is valid")
			}
		})
		for _, name := range slices.Sorted(maps.Keys(ways)) { // found by who looks, before an invalidation comes
			client.Del(t.Context(), bucket)
			if err := ways[name](t); err != nil {
				t.Fatal(err)
			}
			makeTable(t, s)
			if valid, whole := judge(t, s, "k:a", take(t, s, 0)); !valid || !whole {
				t.Errorf("%s: made again: valid %v, whole %v; want both", name, valid, whole)
			}
		}
	})
}

// Whatever lies in the place of a checkpoint or of a lease, a feed begins anew.
func TestSpoiltFeedBeginsAnew(t *testing.T) {
	onEach(t, func(t *testing.T, client *redis.Client, s *remote.Store) {
		checkpoint := "shop:{feed:f}"
		spoil(t, client, checkpoint, garbage(client, checkpoint), func(t *testing.T) {
			at, server, err := s.Checkpoint(t.Context(), "f")
			if at != "" || err != nil {
				t.Errorf("at %q, %v; want no checkpoint", at, err)
			}
			if moved, err := s.Advance(t.Context(), "f", server, "", "1"); !moved || err != nil {
				t.Errorf("advance: %v, %v; want it moved", moved, err)
			}
		})
		key := checkpoint + ":lease"
		spoil(t, client, key, garbage(client, key), func(t *testing.T) {
			if err := s.Resign(t.Context(), "f", "me"); err != nil {
				t.Error(err)
			}
			if leads, err := s.Lead(t.Context(), "f", "me", time.Minute); !leads || err != nil {
				t.Errorf("lead: %v, %v; want the lease", leads, err)
			}
			if leads, err := s.Lead(t.Context(), "f", "you", time.Minute); leads || err != nil {
				t.Errorf("lead: %v, %v; want it held", leads, err)
			}
		})
		if err := client.Set(t.Context(), key, "a clock that went back", 2*time.Hour).Err(); err != nil {
			t.Fatal(err)
		}
		if leads, err := s.Lead(t.Context(), "f", "me", time.Minute); !leads || err != nil {
			t.Errorf("lead: %v, %v; want the lease", leads, err)
		}
	})
}

// Whatever lies in an entry's place, or in that of an index, neither fills nor invalidations fail.
func TestSpoiltEntryAndIndex(t *testing.T) {
	onEach(t, func(t *testing.T, client *redis.Client, s *remote.Store) {
		spoil(t, client, "shop:key", garbage(client, "shop:key"), func(t *testing.T) {
			token := remote.NewToken()
			if f := mustFill(t, s, "key", token, envelope(t, token, "x")); f.Stored {
				t.Error("stored over what is not its marker")
			}
			mustRelease(t, s, "key", token)
			if mustRenew(t, s, "key", token) {
				t.Error("renewed what is not its marker")
			}
		})
		ways := garbage(client, "shop:{tag:row:1}")
		delete(ways, "a sorted set") // what an index is: x would be an entry
		spoil(t, client, "shop:{tag:row:1}", ways, func(t *testing.T) {
			tags := []remote.Name{{Text: "t:row:1", Tick: 7}}
			if _, _, err := s.Sweep(t.Context(), tags, 10); err != nil {
				t.Error(err)
			}
			if err := ways["a list"](t); err != nil {
				t.Fatal(err)
			}
			if err := s.Index(t.Context(), []remote.Dependent{{Key: "shop:key", Tags: tags}}); err != nil {
				t.Error(err)
			}
			if keys, _, err := s.Dependents(t.Context(), "t:row:1", 0); !slices.Equal(keys, []string{"shop:key"}) || err != nil {
				t.Errorf("dependents: %q, %v", keys, err)
			}
		})
	})
}
