package tier

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tandem-cache/tandem/remote"
)

const unfenced = "Redis has replicas and no min-replicas-to-write: a master that is cut off goes on acknowledging invalidations that the next one does not have"

// settingWarnings are about settings of Redis that weaken a promise. A server that does not tell is not accused.
func (c *Cache) settingWarnings(ctx context.Context) []string {
	ctx, cancel := c.remoteContext(ctx)
	defer cancel()
	set, err := c.remote.Settings(ctx)
	if err != nil {
		return nil
	}
	return c.warningsOf(set)
}

func (c *Cache) warningsOf(set remote.Settings) (warnings []string) {
	if set.Unfenced {
		warnings = append(warnings, unfenced)
	}
	endless := c.endlessSpaces()
	switch {
	case len(endless) == 0 || set.Policy == "":
	case set.MaxMemory == 0:
		warnings = append(warnings, fmt.Sprintf("Redis has no maxmemory, and values of %s do not expire: it grows until the machine has no memory left; set maxmemory, and an allkeys- eviction policy",
			strings.Join(endless, ", ")))
	case !set.Evicts():
		warnings = append(warnings, fmt.Sprintf("Redis's maxmemory-policy is %s, and values of %s do not expire: when it is full it refuses to store any; set allkeys-lru or allkeys-lfu",
			set.Policy, strings.Join(endless, ", ")))
	}
	return warnings
}

// endlessSpaces are those whose values have no TTL; the first few.
func (c *Cache) endlessSpaces() (names []string) {
	const few = 5
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, sp := range c.spaces {
		if sp.strategy.ttl == 0 {
			if len(names) == few {
				return append(names, "…")
			}
			names = append(names, sp.name)
		}
	}
	return names
}

// subscriptionWarnings are about a bus that hears nothing by itself: reads stay right, by the journal.
func (c *Cache) subscriptionWarnings() []string {
	lost, _ := c.bus.Trouble()
	since, messages := c.bus.Unheard()
	switch {
	case !since.IsZero() && (lost.Err == nil || lost.Since.After(since)): // a subscription that is confirmed again and again
		return []string{fmt.Sprintf("messages come from the journal alone since %s (%s, %d messages): pub/sub is not heard, up to %s late: does something between Redis and this pod hold its connection up?",
			timestamp(since), time.Since(since).Round(time.Second), messages, c.cfg.MaxStaleness)}
	case lost.Err == nil:
		return nil
	}
	return []string{fmt.Sprintf("no subscription since %s (%s): %s: invalidations of other pods are read from the journal, up to %s late",
		timestamp(lost.Since), time.Since(lost.Since).Round(time.Second), wordsOf(lost.Err), c.cfg.MaxStaleness)}
}

// whyUntrusted is what keeps the pod from proving that it has heard everything; "": nothing is known.
func (c *Cache) whyUntrusted() string {
	if c.bus == nil {
		return ""
	}
	_, unread := c.bus.Trouble()
	if unread.Err == nil {
		return ""
	}
	return fmt.Sprintf(", since %s: %s", timestamp(unread.Since), wordsOf(unread.Err))
}
