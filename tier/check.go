package tier

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// checkTimeout bounds a Check, also where RemoteTimeout is short.
const checkTimeout = 5 * time.Second

// Check tries once all that the cache needs of Redis: each command, its keys and those of its spaces and feeds, the bus's channel, and the settings
// that its promises rest on. It reports everything that is missing, each with what to do about it. It leaves nothing in Redis, and
// outdates nothing; it takes a few round trips, and some milliseconds until a subscription is confirmed. Call it after the spaces were made:
// where a service starts, in a readiness probe, or in a pipeline before a deploy. With L1 alone there is nothing to check.
//
// A warning of [Cache.Health] about a setting is an error here.
func (c *Cache) Check(ctx context.Context) error {
	if c.remote == nil {
		return nil
	}
	if c.flights.isClosed() {
		return ErrClosed
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	errs := []error{c.remote.Check(ctx, c.checkedKeys()), c.bus.Check(ctx), c.checkSettings(ctx)}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("tier: check:\n%w", err)
	}
	return nil
}

// checkedKeys are a key of each kind that the cache's spaces and feeds have.
func (c *Cache) checkedKeys() (keys []string) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, sp := range c.spaces {
		keys = append(keys, c.remote.ScratchKey(sp.name))
	}
	for feed := range c.feeds {
		keys = append(keys, c.remote.FeedKeys(feed)...)
	}
	return append(keys, c.remote.IndexKey("check", "check"))
}

func (c *Cache) checkSettings(ctx context.Context) error {
	var errs []error
	if c.hookless {
		errs = append(errs, errors.New("tier: "+hookless))
	}
	set, err := c.remote.Settings(ctx)
	switch {
	case err != nil: // the right to INFO was checked
		return errors.Join(errs...)
	case !set.Master:
		errs = append(errs, errors.New("tier: Config.Redis leads to a replica: let it lead to the master"))
	case set.Version != "" && !set.AtLeast(oldestRedis):
		errs = append(errs, fmt.Errorf("tier: Redis is of version %s: at least %d.%d", set.Version, oldestRedis[0], oldestRedis[1]))
	}
	for _, warning := range c.warningsOf(set) {
		errs = append(errs, errors.New("tier: "+warning))
	}
	return errors.Join(errs...)
}

// oldestRedis is the first version that has all commands in use.
var oldestRedis = [2]int{6, 2}
