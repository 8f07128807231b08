package bus

import (
	"context"
	"fmt"
	"iter"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// What Recent reads at most: for an operator's question, and not more of a busy Redis than that.
const (
	recentMessages = 512
	recentBytes    = 8 << 20
	recentTurn     = 32 // messages a call
)

// Recent yields messages of the journal, the newest first: the last 512, or fewer if they are more than 8 MB. What it cannot read it leaves
// out. After an error it ends. A call of Redis takes as long as ctx and the client let it.
func (b *Bus) Recent(ctx context.Context) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		to, room := "+", recentBytes
		for range recentMessages / recentTurn {
			some, err := b.cfg.Client.XRevRangeN(ctx, b.key(":journal"), to, "-", recentTurn).Result()
			if err != nil {
				yield(Message{}, fmt.Errorf("bus: read the journal: %w", err))
				return
			}
			for _, entry := range some {
				payload, _ := entry.Values["p"].(string)
				room -= len(payload)
				if m, err := decode([]byte(payload)); err == nil && !yield(m, nil) {
					return
				}
			}
			before, ok := idBefore(some)
			if !ok || room <= 0 {
				return
			}
			to = before
		}
	}
}

// idBefore is where the next call goes on: identifiers are the messages' numbers.
func idBefore(some []redis.XMessage) (string, bool) {
	if len(some) < recentTurn {
		return "", false
	}
	var n, sub uint64
	if _, err := fmt.Sscanf(some[len(some)-1].ID, "%d-%d", &n, &sub); err != nil || n < 2 {
		return "", false
	}
	return strconv.FormatUint(n-1, 10), true
}
