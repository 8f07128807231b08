package cdc

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Defaults of FollowerConfig.
const (
	DefaultHeartbeat  = time.Second
	DefaultRewind     = 30 * time.Second
	DefaultStandby    = time.Second
	DefaultMinBackoff = 100 * time.Millisecond
	DefaultMaxBackoff = 10 * time.Second
	DefaultCollapse   = 10_000 // rows
)

// maxNames bounds the names of one call of Feed.Invalidate.
const maxNames = 500

// FollowerConfig is what a Follower is made of.
type FollowerConfig struct {
	Source Source       // required
	Feed   Feed         // required
	Routes Routes       // required; copied
	Logger *slog.Logger // nil: slog.Default()

	// Heartbeat is the time between two calls of Feed.Report, and how long the
	// follower waits for a batch before it looks whether its checkpoint still
	// stands. Zero means DefaultHeartbeat.
	Heartbeat time.Duration
	// Rewind is how far upstream acknowledgements lag behind the checkpoint.
	// When a failover makes the cache's server forget its last checkpoints, the
	// source can still start from an earlier one. The source keeps that much more
	// of its log. Zero means DefaultRewind.
	Rewind time.Duration
	// Settle is for loaders that may read an old value after the change was
	// handed over: from replicas that lag, or beside a source that can't tell when
	// a commit is visible. So long after each invalidation it is repeated, and the
	// checkpoint waits for that; choose it longer than the replicas ever lag. Until
	// its repeat a change counts as not applied: while there are changes, the
	// feed's lag is Settle and a little, so keep it well below tier's
	// Config.FeedLimit. At most 10,000 batches and about 100,000 names wait; when so
	// many do, the source is not read until the oldest is due. Zero: no repeat.
	Settle time.Duration
	// Collapse is how many rows of one entity a transaction may outdate one by one. When it has more, the entity's Route.All is outdated
	// once, and the rest of its rows in this transaction are skipped. Rows that outdate nothing don't count; the old and the new version of a
	// row are two. A source that doesn't say what belongs to a transaction (Event.Transaction) is not concerned. Zero means
	// DefaultCollapse; negative: never.
	Collapse int
	// Standby is the time between two attempts to open a source that another
	// follower holds. Zero means DefaultStandby.
	Standby time.Duration
	// MinBackoff and MaxBackoff bound the pause after a failure: it doubles from
	// one to the other, less up to half of it at random. Zero means
	// DefaultMinBackoff and DefaultMaxBackoff.
	MinBackoff, MaxBackoff time.Duration
}

// withDefaults returns a filled copy, or everything that is wrong with c.
func (c FollowerConfig) withDefaults() (FollowerConfig, error) {
	var errs []error
	if c.Source == nil {
		errs = append(errs, errors.New("cdc: FollowerConfig.Source is required"))
	}
	if c.Feed == nil {
		errs = append(errs, errors.New("cdc: FollowerConfig.Feed is required"))
	}
	for name, d := range map[string]*time.Duration{
		"Heartbeat": &c.Heartbeat, "Rewind": &c.Rewind, "Settle": &c.Settle, "Standby": &c.Standby,
		"MinBackoff": &c.MinBackoff, "MaxBackoff": &c.MaxBackoff,
	} {
		if *d < 0 {
			errs = append(errs, fmt.Errorf("cdc: FollowerConfig.%s is negative", name))
		}
	}
	c.Heartbeat = cmp.Or(c.Heartbeat, DefaultHeartbeat)
	c.Rewind = cmp.Or(c.Rewind, DefaultRewind)
	c.Standby = cmp.Or(c.Standby, DefaultStandby)
	c.Collapse = cmp.Or(c.Collapse, DefaultCollapse)
	c.MinBackoff = cmp.Or(c.MinBackoff, DefaultMinBackoff)
	c.MaxBackoff = cmp.Or(c.MaxBackoff, DefaultMaxBackoff)
	if c.MinBackoff > c.MaxBackoff {
		errs = append(errs, errors.New("cdc: FollowerConfig.MinBackoff is above MaxBackoff"))
	}
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return c, errors.Join(errs...)
}
