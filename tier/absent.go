package tier

import (
	"errors"
	"fmt"
	"time"
)

// ErrNotFound says that the source has no value. A loader returns it, or an error that wraps it; the cache remembers it for
// SpaceConfig.NegativeTTL, in both tiers, and answers with it.
var ErrNotFound = errors.New("tier: not found")

// absent is the value of an entry that remembers that the source has none: a tombstone.
type absent struct{ err error } // made once, so that a hit allocates nothing

func (sp *space) absent(id string) *absent {
	return &absent{fmt.Errorf("tier: get %s: %w", shown(sp.key(id)), ErrNotFound)}
}

func isAbsent(value any) bool {
	_, gone := value.(*absent)
	return gone
}

// isNotFound says whether a loader has returned an ErrNotFound. One that panicked with it has not said that there is nothing.
func isNotFound(err error) bool {
	_, panicked := errors.AsType[*PanicError](err)
	return errors.Is(err, ErrNotFound) && !panicked
}

// absentCodec is the codec of a tombstone's envelope, whose payload is empty.
const absentCodec = "absent"

// ttl is the longest life of a value; 0: no bound.
func (sp *space) ttl(gone bool) time.Duration {
	switch ttl := sp.strategy.ttl; {
	case !gone:
		return ttl
	case ttl == 0:
		return sp.negativeTTL
	default:
		return min(ttl, sp.negativeTTL)
	}
}
