package bus

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// Unopened is a bus that publishes and hears nothing.
func Unopened(client *redis.Client, name string) *Bus {
	return &Bus{cfg: Config{Client: client, Name: name, MaxStaleness: time.Hour}}
}

// Replay is how many messages one call brings to who has n of the present lineage.
func Replay(ctx context.Context, client *redis.Client, name string, n uint64) (int, error) {
	b := Unopened(client, name)
	head, _, err := b.after(ctx, place{})
	if err != nil {
		return 0, err
	}
	_, missing, err := b.after(ctx, place{lineage: head.lineage, n: n})
	return len(missing), err
}

// Encode is the payload of m.
func Encode(m Message) ([]byte, error) { return encode(m) }

// OpenWithClocks is Open with other clocks.
func OpenWithClocks(cfg Config, clocks func() (wall, mono time.Duration)) *Bus {
	return open(cfg, func() instant {
		wall, mono := clocks()
		return instant{wall, mono}
	})
}

// Next is the mark of the message that follows one with a mark.
func Next(mark uint64, payload []byte) uint64 { return place{mark: mark}.next(payload) }
