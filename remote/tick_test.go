package remote_test

import (
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/remote"
)

func take(t *testing.T, s *remote.Store, seen uint64) uint64 {
	t.Helper()
	tick, err := s.TakeTick(t.Context(), seen)
	if err != nil {
		t.Fatal(err)
	}
	return tick
}

func TestTicksRise(t *testing.T) {
	onEach(t, func(t *testing.T, client *redis.Client, s *remote.Store) {
		first := take(t, s, 0)
		if now := uint64(time.Now().UnixMicro()); first < now-10_000_000 {
			t.Errorf("the first tick %d is far below the clock %d", first, now)
		}
		seen := first + 5_000_000_000_000
		if got := take(t, s, seen); got <= seen {
			t.Errorf("got %d; want more than what was seen, %d", got, seen)
		}
		ahead := seen + 1_000_000 // another pod saw this one; the counter lost it
		if err := client.HSet(t.Context(), "shop:{tick}", "last", strconv.FormatUint(ahead, 10)).Err(); err != nil {
			t.Fatal(err)
		}
		if got := take(t, s, 0); got <= ahead {
			t.Errorf("got %d; want more than the counter, %d", got, ahead)
		}
	})
}

func TestTicksNeverRepeat(t *testing.T) {
	onEach(t, func(t *testing.T, _ *redis.Client, s *remote.Store) {
		var mu sync.Mutex
		var wg sync.WaitGroup
		given := make(map[uint64]bool)
		for range 4 {
			wg.Go(func() {
				last := uint64(0)
				for range 200 {
					tick, err := s.TakeTick(t.Context(), last)
					mu.Lock()
					if err != nil || tick <= last || given[tick] {
						t.Errorf("got %d, %v after %d, given before: %v", tick, err, last, given[tick])
					}
					given[tick] = true
					mu.Unlock()
					last = tick
				}
			})
		}
		wg.Wait()
	})
}

func TestReadingGivesOutNothing(t *testing.T) {
	onEach(t, func(t *testing.T, _ *redis.Client, s *remote.Store) {
		tick := take(t, s, 0)
		for range 2 {
			if got, err := s.LastTick(t.Context(), 0); got != tick || err != nil {
				t.Errorf("got %d, %v; want %d", got, err, tick)
			}
		}
	})
}

// A server that lost the counter must not give out ticks that pods have seen already, though they do not say so.
func TestTicksJumpOnAnotherServer(t *testing.T) {
	server := servertest.StartRedis(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr})
	t.Cleanup(func() { _ = client.Close() })
	s := remote.New(client, "shop")
	before := take(t, s, 0)

	jump := uint64(time.Hour.Microseconds())
	kept := client.HGetAll(t.Context(), "shop:{tick}").Val()
	server.Stop()
	server.Start() // another run_id, no data
	if got := take(t, s, 0); got <= before || got < uint64(time.Now().UnixMicro())+jump/2 {
		t.Errorf("after a restart without the counter: %d; want more than %d, and ahead of the clock", got, before)
	}
	server.Stop()
	server.Start()
	if err := client.HSet(t.Context(), "shop:{tick}", kept).Err(); err != nil { // a replica that had the counter
		t.Fatal(err)
	}
	if got, err := s.LastTick(t.Context(), 0); got < before+jump || err != nil {
		t.Errorf("read on another server that has the counter: %d, %v; want at least %d more than %d", got, err, jump, before)
	}
}

// Two failovers soon after each other, the second to a replica that had not heard of the first.
func TestTicksRiseThoughTheJumpIsLost(t *testing.T) {
	onEach(t, func(t *testing.T, client *redis.Client, s *remote.Store) {
		take(t, s, 0)
		replica := client.HGetAll(t.Context(), "shop:{tick}").Val()
		replica["run"] = "another"
		given := uint64(0)
		for range 2 {
			if err := client.HSet(t.Context(), "shop:{tick}", replica).Err(); err != nil {
				t.Fatal(err)
			}
			for range 20 {
				tick := take(t, s, 0)
				if tick <= given {
					t.Fatalf("got %d, after %d was given out", tick, given)
				}
				given = tick
			}
		}
	})
}

// A master that was demoted and promoted again has the run id that it had, and perhaps a counter that lost ticks.
func TestTicksJumpAfterAPromotion(t *testing.T) {
	server := servertest.StartRedis(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr})
	t.Cleanup(func() { _ = client.Close() })
	s := remote.New(client, "shop")
	before := take(t, s, 0)
	for _, master := range [][2]string{{"127.0.0.1", "1"}, {"no", "one"}} {
		if err := client.Do(t.Context(), "replicaof", master[0], master[1]).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if got := take(t, s, 0); got < before+uint64(time.Hour.Microseconds()) {
		t.Errorf("got %d after %d; want a jump", got, before)
	}
}

// A tick that no pod would believe is neither taken for seen nor given out: near 2^53, where Redis's numbers end, one would be given out again
// and again.
func TestImplausibleTicks(t *testing.T) {
	onEach(t, func(t *testing.T, client *redis.Client, s *remote.Store) {
		before := take(t, s, 0)
		if tick, err := s.TakeTick(t.Context(), remote.MaxTick-2); err == nil || !strings.Contains(err.Error(), "ten years ahead") {
			t.Errorf("got %d, %v; want an error that names what was seen", tick, err)
		}
		if err := client.HSet(t.Context(), "shop:{tick}", "last", remote.MaxTick-2).Err(); err != nil {
			t.Fatal(err)
		}
		if tick := take(t, s, before); tick <= before || tick > remote.LatestTick() {
			t.Errorf("got %d after %d; want a counter that begins anew", tick, before)
		}
	})
}

// The counter is lost, and the rest is kept: it goes on above what the table knows, though the caller has seen nothing.
func TestCounterLostAloneGoesOn(t *testing.T) {
	onEach(t, func(t *testing.T, client *redis.Client, s *remote.Store) {
		if err := s.MakeTable(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		ahead := uint64(time.Now().Add(10 * time.Hour).UnixMicro()) // some restarts
		tick := take(t, s, ahead)
		if _, _, err := s.Touch(t.Context(), []string{"k:a:b:c"}, tick); err != nil {
			t.Fatal(err)
		}
		under := take(t, s, 0) // way
		client.Del(t.Context(), "shop:{tick}")
		if got := take(t, s, 0); got <= under {
			t.Errorf("got %d after %d was given out", got, under)
		}
		client.Del(t.Context(), "shop:{tick}")
		if got, err := s.LastTick(t.Context(), 0); got <= under || err != nil {
			t.Errorf("read %d, %v after %d was given out", got, err, under)
		}
	})
}
