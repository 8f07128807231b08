package tier

import (
	"sync"
	"time"
)

// historySize is how many messages a pod remembers: 160 KB. At a hundred a second, as of a busy feed, that is 40 s.
const historySize = 1 << 12

// history remembers when this pod heard of the last invalidations, and whose they were: ticks say neither. The oldest goes for the newest.
type history struct {
	mu   sync.Mutex // guards the fields below
	ring []heardOf
	next int
}

type heardOf struct {
	tick   uint64
	origin string
	at     time.Time
}

func (h *history) note(tick uint64, origin string) {
	one := heardOf{tick, origin, time.Now()}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.ring) < historySize {
		h.ring = append(h.ring, one)
		return
	}
	h.ring[h.next] = one
	h.next = (h.next + 1) % historySize
}

// of returns what is remembered of the invalidation at a tick.
func (h *history) of(tick uint64) (heardOf, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, one := range h.ring {
		if one.tick == tick {
			return one, true
		}
	}
	return heardOf{}, false
}
