package tier

import (
	"errors"
	"fmt"
	"time"
)

// A Strategy says what keeps the entries of a space true: [CDC], [TTL] or [Hybrid].
type Strategy struct {
	feed  string
	ttl   time.Duration
	named bool // made by CDC or Hybrid
}

// CDC keeps entries until the feed, or anybody else, invalidates them. They do not expire. The feed must carry the changes of
// everything that the loader reads: what it does not carry stays stale, also when a lost position flushes what the feed covers.
func CDC(feed string) Strategy { return Strategy{feed: feed, named: true} }

// TTL keeps entries for d after the source was read, or until they are invalidated. Nothing but d bounds what a change
// that nobody invalidates leaves stale.
func TTL(d time.Duration) Strategy { return Strategy{ttl: d} }

// Hybrid keeps entries until the feed invalidates them, and never longer than d.
func Hybrid(feed string, d time.Duration) Strategy { return Strategy{feed: feed, ttl: d, named: true} }

// String returns the strategy as health shows it: "cdc(orders-feed)", "ttl(1m30s)", "hybrid(catalog-feed, 1m0s)".
func (s Strategy) String() string {
	switch {
	case s.feed == "":
		return fmt.Sprintf("ttl(%s)", s.ttl)
	case s.ttl == 0:
		return fmt.Sprintf("cdc(%s)", s.feed)
	}
	return fmt.Sprintf("hybrid(%s, %s)", s.feed, s.ttl)
}

func (s Strategy) check() error {
	switch {
	case s.ttl < 0:
		return fmt.Errorf("SpaceConfig.Strategy: the TTL is %s: it must be positive", s.ttl)
	case s.feed == "" && s.named:
		return errors.New("SpaceConfig.Strategy: the feed's name is empty: tier.CDC and tier.Hybrid take the name of the feed that covers the space")
	case s.feed == "" && s.ttl == 0:
		return errors.New("SpaceConfig.Strategy: neither a feed nor a TTL, so a change that nobody invalidates would stay for ever: use tier.CDC(feed), tier.TTL(d) or tier.Hybrid(feed, d)")
	case s.feed != "":
		if err := checkWord("feed", s.feed); err != nil {
			return fmt.Errorf("SpaceConfig.Strategy: %w", err)
		}
	}
	return nil
}
