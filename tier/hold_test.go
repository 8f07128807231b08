package tier_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/tier"
)

// A hold is a go-redis hook that keeps a pod from seeing the answer of one command on one key, as a pause would.
type hold struct {
	name, key string
	armed     chan struct{} // holds one permit when armed
	reached   chan struct{} // closed when the answer has come
	released  chan struct{}
}

func newHold(name, key string) *hold {
	return &hold{name: name, key: key, armed: make(chan struct{}, 1), reached: make(chan struct{}), released: make(chan struct{})}
}

func (h *hold) arm()     { h.armed <- struct{}{} }
func (h *hold) release() { close(h.released) }

// await waits until the command has been answered.
func (h *hold) await(t *testing.T) {
	t.Helper()
	select {
	case <-h.reached:
	case <-time.After(10 * time.Second):
		t.Fatalf("no %s of %s", h.name, h.key)
	}
}

func (h *hold) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (h *hold) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if args := cmd.Args(); cmd.Name() == h.name && len(args) > 1 && args[1] == h.key {
			select {
			case <-h.armed:
				close(h.reached)
				<-h.released
			default:
			}
		}
		return err
	}
}

func (h *hold) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { return next(ctx, cmds) }
}

// newPodWith opens a pod whose client has a hook.
func newPodWith(t *testing.T, addr string, src *source, hook redis.Hook) pod {
	t.Helper()
	name, password := servertest.User()
	client := redis.NewClient(&redis.Options{Addr: addr, Username: name, Password: password, ContextTimeoutEnabled: true}) // else the hook is not run
	t.Cleanup(func() { _ = client.Close() })
	client.AddHook(hook)
	c := openCache(t, tier.Config{Redis: client, RemoteTimeout: 5 * time.Second})
	return pod{cache: c, Space: newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.CDC("feed"), Load: src.load})}
}
