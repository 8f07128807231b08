package tier

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Strategy says what keeps the entries of a space true: [CDC], [TTL] or [Hybrid].
type Strategy struct {
	feeds []string
	ttl   time.Duration
	named bool // made by CDC or Hybrid
}

// MaxFeeds is how many feeds may cover a space.
const MaxFeeds = 8

// CDC keeps entries until the feeds, or anybody else, invalidate them. They do not expire. The feeds together must carry the changes of
// everything that the loader reads: what they do not carry stays stale, also when a lost position flushes what a feed covers. One feed is the
// rule; there are several where the loader reads what several sources change, and then the space falls back when any of them is not fresh.
func CDC(feeds ...string) Strategy { return Strategy{feeds: slices.Clone(feeds), named: true} }

// TTL keeps entries for d after the source was read, or until they are invalidated. Nothing but d bounds what a change
// that nobody invalidates leaves stale.
func TTL(d time.Duration) Strategy { return Strategy{ttl: d} }

// Hybrid keeps entries until the feed invalidates them, or one of more, and never longer than d.
func Hybrid(feed string, d time.Duration, more ...string) Strategy {
	return Strategy{feeds: append([]string{feed}, more...), ttl: d, named: true}
}

// String returns the strategy as health shows it: "cdc(orders-feed)", "ttl(1m30s)", "hybrid(catalog-feed, 1m0s)",
// "cdc(orders-feed, catalog-feed)".
func (s Strategy) String() string {
	feeds := strings.Join(s.feeds, ", ")
	switch {
	case len(s.feeds) == 0:
		return fmt.Sprintf("ttl(%s)", s.ttl)
	case s.ttl == 0:
		return fmt.Sprintf("cdc(%s)", feeds)
	}
	return fmt.Sprintf("hybrid(%s, %s)", feeds, s.ttl)
}

func (s Strategy) check() error {
	switch {
	case s.ttl < 0:
		return fmt.Errorf("SpaceConfig.Strategy: the TTL is %s: it must be positive", s.ttl)
	case len(s.feeds) == 0 && s.named || slices.Contains(s.feeds, ""):
		return errors.New("SpaceConfig.Strategy: the feed's name is empty: tier.CDC and tier.Hybrid take the names of the feeds that cover the space")
	case len(s.feeds) == 0 && s.ttl == 0:
		return errors.New("SpaceConfig.Strategy: neither a feed nor a TTL, so a change that nobody invalidates would stay for ever: use tier.CDC(feed), tier.TTL(d) or tier.Hybrid(feed, d)")
	case len(s.feeds) > MaxFeeds:
		return fmt.Errorf("SpaceConfig.Strategy: %d feeds: at most %d", len(s.feeds), MaxFeeds)
	}
	for i, feed := range s.feeds {
		if err := checkWord("feed", feed); err != nil {
			return fmt.Errorf("SpaceConfig.Strategy: %w", err)
		}
		if slices.Contains(s.feeds[:i], feed) {
			return fmt.Errorf("SpaceConfig.Strategy: the feed %q is named twice", feed)
		}
	}
	return nil
}
