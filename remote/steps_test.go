package remote_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/remote"
)

// afterRead is a go-redis hook that runs a function once, after the counter was read and before the reader sees the answer.
type afterRead struct {
	once sync.Once
	run  func()
}

func (h *afterRead) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (h *afterRead) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if args := fmt.Sprint(cmd.Args()...); err == nil && strings.HasPrefix(cmd.Name(), "eval") && strings.Contains(args, "{tick}") {
			h.once.Do(h.run)
		}
		return err
	}
}

func (h *afterRead) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { return next(ctx, cmds) }
}

// An invalidation right after the maker of a bucket has read the counter: its tick is above what was read, and it finds no
// bucket to be stored in. A value from before it must not become valid by the bucket's making.
func TestBucketIsMadeAroundAnInvalidation(t *testing.T) {
	onEach(t, func(t *testing.T, client *redis.Client, s *remote.Store) {
		before := take(t, s, 0)
		hooked := redis.NewClient(&redis.Options{Addr: client.Options().Addr})
		t.Cleanup(func() { _ = hooked.Close() })
		ran := false
		hooked.AddHook(&afterRead{run: func() {
			ran = true
			touch(t, s, take(t, s, 0), "k:a")
		}})
		makeTable(t, remote.New(hooked, "shop"))
		if !ran {
			t.Fatal("nobody has read the counter: the test shows nothing")
		}
		if valid, _ := judge(t, s, "k:a", before); valid {
			t.Error("a value read before the invalidation is valid")
		}
		makeTable(t, s)
		if valid, whole := judge(t, s, "k:a", take(t, s, 0)); !valid || !whole {
			t.Errorf("after mending: valid %v, whole %v; want both", valid, whole)
		}
	})
}

// Ticks follow the clock, so that a master which lost its last writes goes on above them.
func TestTicksFollowTheClock(t *testing.T) {
	onEach(t, func(t *testing.T, client *redis.Client, s *remote.Store) {
		take(t, s, 0)
		if err := client.HSet(t.Context(), "shop:{tick}", "last", "1").Err(); err != nil {
			t.Fatal(err)
		}
		if got, now := take(t, s, 0), uint64(time.Now().UnixMicro()); got < now-10_000_000 {
			t.Errorf("got %d; want about the clock, %d", got, now)
		}
	})
}
