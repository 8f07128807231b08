package remote_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/remote"
)

func touch(t *testing.T, s *remote.Store, tick uint64, names ...string) (whole bool) {
	t.Helper()
	_, whole, err := s.Touch(t.Context(), names, tick)
	if err != nil {
		t.Fatal(err)
	}
	return whole
}

func judge(t *testing.T, s *remote.Store, name string, tick uint64) (valid, whole bool) {
	t.Helper()
	all, whole, err := s.Judge(t.Context(), [][]remote.Name{{{Text: name, Tick: tick}}})
	if err != nil {
		t.Fatal(err)
	}
	return all[0], whole
}

func makeTable(t *testing.T, s *remote.Store) {
	t.Helper()
	if err := s.MakeTable(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
}

func TestTableJudges(t *testing.T) {
	onEach(t, func(t *testing.T, _ *redis.Client, s *remote.Store) {
		floor := take(t, s, 0)
		makeTable(t, s)
		if valid, whole := judge(t, s, "k:a", floor); !valid || !whole {
			t.Errorf("at the floor: valid %v, whole %v; want both", valid, whole)
		}
		if valid, _ := judge(t, s, "k:a", floor-1); valid {
			t.Error("below the floor: valid")
		}
		tick := take(t, s, 0)
		if !touch(t, s, tick, "k:a", "t:b") {
			t.Error("touch found no floor")
		}
		touch(t, s, tick-1, "k:a") // late: the highest stays
		for name, want := range map[string]bool{"k:a": false, "t:b": false, "k:c": true} {
			if valid, _ := judge(t, s, name, tick-1); valid != want {
				t.Errorf("%s read before the tick: valid %v; want %v", name, valid, want)
			}
			if valid, _ := judge(t, s, name, tick); !valid {
				t.Errorf("%s read at the tick: dead", name)
			}
		}
		valid, _, err := s.Judge(t.Context(), [][]remote.Name{
			{{Text: "k:c", Tick: tick}, {Text: "t:b", Tick: tick - 1}}, // one of two names is dead
			{{Text: "k:c", Tick: tick}, {Text: "t:b", Tick: tick}},
			{{Text: "k:c", Tick: floor - 1}}, // each value with its own tick
		})
		if want := []bool{false, true, false}; !slices.Equal(valid, want) || err != nil {
			t.Errorf("of three values: valid %v, %v; want %v", valid, err, want)
		}
	})
}

func TestMissingBucketIsDead(t *testing.T) {
	onEach(t, func(t *testing.T, client *redis.Client, s *remote.Store) {
		makeTable(t, s)
		tick := take(t, s, 0)
		if err := client.FlushAll(t.Context()).Err(); err != nil { // or evicted
			t.Fatal(err)
		}
		if valid, whole := judge(t, s, "k:a", tick+1000); valid || whole {
			t.Errorf("valid %v, whole %v; want neither", valid, whole)
		}
		if touch(t, s, tick+1, "k:a") {
			t.Error("an invalidation stored something in a bucket without a floor")
		}
		if valid, _ := judge(t, s, "k:a", tick+1000); valid {
			t.Error("an invalidation made a bucket that says nothing else happened")
		}
		makeTable(t, s)
		now := take(t, s, 0)
		if valid, whole := judge(t, s, "k:a", now); !valid || !whole {
			t.Errorf("after mending: valid %v, whole %v; want both", valid, whole)
		}
	})
}

// An invalidation between the two steps of making a bucket stores nothing, so the bucket must not appear.
func TestInvalidationStopsTheMakingOfABucket(t *testing.T) {
	onEach(t, func(t *testing.T, client *redis.Client, s *remote.Store) {
		makeTable(t, s)
		bucket := fmt.Sprintf("shop:{names:%02x}", remote.BucketOf("k:a"))
		client.Del(t.Context(), bucket)
		if err := client.ZAdd(t.Context(), bucket, redis.Z{Member: "nonce:abc"}).Err(); err != nil { // step one of a maker
			t.Fatal(err)
		}
		read, err := s.LastTick(t.Context(), 0) // step two
		if err != nil {
			t.Fatal(err)
		}
		touch(t, s, take(t, s, 0), "k:a")
		end := redis.NewScript(remote.BucketEndLua)
		if made, err := end.Run(t.Context(), client, []string{bucket}, "abc", read).Int(); made != 0 || err != nil {
			t.Errorf("step three made the bucket: %d, %v", made, err)
		}
		if valid, _ := judge(t, s, "k:a", read); valid {
			t.Error("a value read before the invalidation is valid")
		}
	})
}

func TestFullBucketRaisesItsFloor(t *testing.T) {
	onEach(t, func(t *testing.T, client *redis.Client, s *remote.Store) {
		start := take(t, s, 0)
		makeTable(t, s)
		var names []string // of one bucket, half more than it holds
		for i := 0; len(names) < remote.BucketCapacity*3/2; i++ {
			if name := fmt.Sprintf("k:%d", i); remote.BucketOf(name) == 5 {
				names = append(names, name)
			}
		}
		tick := start
		for batch := range slices.Chunk(names, 64) {
			tick = take(t, s, 0)
			touch(t, s, tick, batch...)
		}
		if valid, _ := judge(t, s, names[0], start); valid {
			t.Error("a name that had to go is forgotten: a value from before it is valid")
		}
		if valid, _ := judge(t, s, names[0], tick); !valid {
			t.Error("a value as new as the newest invalidation is dead")
		}
		if valid, _ := judge(t, s, names[len(names)-1], tick-1); valid {
			t.Error("the newest name is forgotten")
		}
		if size := client.ZCard(t.Context(), "shop:{names:05}").Val(); size > remote.BucketCapacity+1 || size < remote.BucketCapacity/2 {
			t.Errorf("the bucket holds %d members; want at most %d", size, remote.BucketCapacity+1)
		}
	})
}

// Who invalidates learns whether a tick that is not below its own may be known: a Set may have claimed the name with it.
func TestTouchTellsWhetherItsTickIsNews(t *testing.T) {
	onEach(t, func(t *testing.T, client *redis.Client, s *remote.Store) {
		makeTable(t, s)
		low, tick := take(t, s, 0), take(t, s, 0)
		want := func(what string, news, whole bool, tick uint64, names ...string) {
			t.Helper()
			gotNews, gotWhole, err := s.Touch(t.Context(), names, tick)
			if err != nil {
				t.Fatal(err)
			}
			if gotNews != news || gotWhole != whole {
				t.Errorf("%s: news %v, whole %v; want %v, %v", what, gotNews, gotWhole, news, whole)
			}
		}
		many := []string{"k:a"}
		for i := range 1000 {
			many = append(many, fmt.Sprint("k:", i))
		}
		want("new names", true, true, tick, many...)
		want("a lower tick", false, true, low, "k:a")
		want("a lower tick for one of many", false, true, low, "k:x", "k:y", "k:999", "k:z")
		want("the same tick", false, true, tick, "k:a")
		want("a higher tick", true, true, take(t, s, 0), many...)
		want("a name twice", false, true, take(t, s, 0), "k:b", "k:b")

		bucket := fmt.Sprintf("shop:{names:%02x}", remote.BucketOf("k:gone"))
		late := take(t, s, 0)
		client.ZAdd(t.Context(), bucket, redis.Z{Score: float64(late), Member: "floor"}) // names up to here have left
		want("the floor's tick", true, true, late, "k:gone")
		client.ZAdd(t.Context(), bucket, redis.Z{Score: float64(late + 1), Member: "floor"})
		want("a tick below the floor", false, true, late, nameBeside("k:gone"))
		client.Del(t.Context(), bucket)
		want("no bucket", false, false, take(t, s, 0), "k:gone")
	})
}

// nameBeside returns another name of the same bucket.
func nameBeside(name string) string {
	for i := 0; ; i++ {
		if other := fmt.Sprint("k:other", i); remote.BucketOf(other) == remote.BucketOf(name) {
			return other
		}
	}
}

func TestClaim(t *testing.T) {
	onEach(t, func(t *testing.T, client *redis.Client, s *remote.Store) {
		const name = "k:a"
		floor := take(t, s, 0)
		makeTable(t, s)
		want := func(what string, clean, whole bool, since, tick uint64) {
			t.Helper()
			gotClean, gotWhole, err := s.Claim(t.Context(), name, since, tick)
			if err != nil {
				t.Fatal(err)
			}
			if gotClean != clean || gotWhole != whole {
				t.Errorf("%s: clean %v, whole %v; want %v, %v", what, gotClean, gotWhole, clean, whole)
			}
			if valid, _ := judge(t, s, name, tick-1); valid {
				t.Errorf("%s: a value from before is valid", what)
			}
			if valid, _ := judge(t, s, name, tick); valid != whole {
				t.Errorf("%s: a value at its own tick: valid %v; want %v", what, valid, whole)
			}
		}
		first := take(t, s, 0)
		want("never invalidated", true, true, floor, first)
		want("sent again", false, true, floor, first)
		want("invalidated before the snapshot", true, true, first, take(t, s, 0))
		since, other := take(t, s, 0), take(t, s, 0)
		touch(t, s, other, name)
		want("invalidated after the snapshot", false, true, since, take(t, s, 0))

		bucket := fmt.Sprintf("shop:{names:%02x}", remote.BucketOf(name))
		client.ZRem(t.Context(), bucket, name) // it left a full bucket
		client.ZAdd(t.Context(), bucket, redis.Z{Score: float64(other), Member: "floor"})
		want("forgotten since the snapshot", false, true, since, take(t, s, 0))
		client.Del(t.Context(), bucket)
		want("no bucket", false, false, take(t, s, 0), take(t, s, 0))
	})
}

// A claim bounds a bucket as a touch does.
func TestClaimMakesRoom(t *testing.T) {
	onEach(t, func(t *testing.T, client *redis.Client, s *remote.Store) {
		makeTable(t, s)
		bucket := fmt.Sprintf("shop:{names:%02x}", remote.BucketOf("k:a"))
		start := take(t, s, 0)
		var names []redis.Z
		for i := range remote.BucketCapacity {
			names = append(names, redis.Z{Score: float64(start) + float64(i), Member: fmt.Sprint("other", i)})
		}
		client.ZAdd(t.Context(), bucket, names...)
		if _, _, err := s.Claim(t.Context(), "k:a", 0, start+remote.BucketCapacity); err != nil {
			t.Fatal(err)
		}
		if size := client.ZCard(t.Context(), bucket).Val(); size > remote.BucketCapacity {
			t.Errorf("the bucket holds %d members; want at most %d", size, remote.BucketCapacity)
		}
		if valid, _ := judge(t, s, "k:a", start); valid {
			t.Error("the name that was claimed has left without the floor")
		}
	})
}

func TestMakeTableKeepsWhatIsThere(t *testing.T) {
	onEach(t, func(t *testing.T, _ *redis.Client, s *remote.Store) {
		floor := take(t, s, 0)
		makeTable(t, s)
		tick := take(t, s, 0)
		touch(t, s, tick, "k:a")
		makeTable(t, s)
		if valid, _ := judge(t, s, "k:b", floor); !valid {
			t.Error("a second pod's MakeTable raised the floor")
		}
		if valid, _ := judge(t, s, "k:a", tick-1); valid {
			t.Error("a second pod's MakeTable forgot a name")
		}
	})
}

// What lies in Redis is read by older and newer pods: it does not change.
func TestLayoutInRedis(t *testing.T) {
	onEach(t, func(t *testing.T, client *redis.Client, s *remote.Store) {
		ctx := t.Context()
		take(t, s, 0)
		makeTable(t, s)
		const tick = 9_000_000_000_000_000 // fits a float64 to the unit
		touch(t, s, tick+1, "k:orders:account:acc_001")
		token := remote.Token([]byte("0123456789abcdef"))
		mustAcquire(t, s, "orders:account:acc_001", token, nil)
		_, server, err := s.Checkpoint(ctx, "orders-feed")
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := s.Advance(ctx, "orders-feed", server, "", "16/B374D848"); !ok || err != nil {
			t.Fatal(ok, err)
		}

		if got, want := client.Get(ctx, "shop:orders:account:acc_001").Val(), "M10123456789abcdef03000"; got != want {
			t.Errorf("marker: got %q; want %q", got, want)
		}
		bucket := client.ZRangeWithScores(ctx, "shop:{names:0c}", 0, -1).Val()
		if len(bucket) != 2 || bucket[0].Member != "floor" || bucket[1] != (redis.Z{Member: "k:orders:account:acc_001", Score: tick + 1}) {
			t.Errorf("bucket: got %v; want the floor, then the name with its tick", bucket)
		}
		if n := len(client.Keys(ctx, "shop:{names:*}").Val()); n != 32 {
			t.Errorf("%d buckets; want 32", n)
		}
		if got := client.HGetAll(ctx, "shop:{tick}").Val(); len(got) != 3 || got["last"] == "" || got["ahead"] == "" {
			t.Errorf("counter: got %v; want last, run and ahead", got)
		}
		if got := client.HGet(ctx, "shop:{feed:orders-feed}", "position").Val(); got != "16/B374D848" {
			t.Errorf("checkpoint: got %q", got)
		}
	})
}
