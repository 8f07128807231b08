package postgres

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"regexp"

	"github.com/jackc/pgx/v5/pgconn"
)

// DefaultMaxBatch is the default of Config.MaxBatch.
const DefaultMaxBatch = 1000

// Config is what a Source is made of.
type Config struct {
	// ConnString names the primary, as a URL or as key=value pairs. Its role needs
	// LOGIN and REPLICATION. Required. A standby, or a pooler that doesn't pass
	// the replication protocol on, won't do.
	ConnString string
	// Slot is the replication slot, made when it is missing: 1 to 63 lower-case
	// letters, digits and underscores. Required. One follower at a time uses it.
	Slot string
	// Publication is the publication to follow. Required.
	Publication string
	// Tables are the tables to follow, each as "schema.table", with the root of
	// a partitioned table: both names as they are, without quotes, as events and
	// routes have them, or each in SQL's quotes. If the publication is missing it is created for them
	// (the role must own them and may create in the database); if it exists and
	// lacks one of them, Open fails and says so. Empty: the publication must
	// exist, and decides.
	Tables []string
	// SynchronousStandbys says that no commit is visible before every standby that may be promoted has it on its disk:
	// synchronous_standby_names names them all, no transaction sets synchronous_commit to local or off, and the primary rather waits
	// than goes on without them. Then a failover keeps what is cached, if the new primary has the slot and its timeline's history says that
	// it left the checkpoint's behind the checkpoint. False: a failover flushes the feed, since what loaders have read may have
	// gone back with the old primary.
	SynchronousStandbys bool
	// Temporary makes a slot that ends with the stream. Nothing is retained
	// while no follower runs, and each new stream begins by flushing the feed.
	// For demonstrations.
	Temporary bool
	// MaxBatch bounds the events of one batch. Zero means DefaultMaxBatch.
	MaxBatch int
	// Logger is for what no caller sees, such as a slot made anew.
	// Nil: slog.Default().
	Logger *slog.Logger
}

var slotName = regexp.MustCompile(`^[a-z0-9_]{1,63}$`)

// withDefaults returns a filled copy, or everything that is wrong with c.
func (c Config) withDefaults() (Config, error) {
	var errs []error
	if c.ConnString == "" {
		errs = append(errs, errors.New("postgres: Config.ConnString is required"))
	} else if _, err := pgconn.ParseConfig(c.ConnString); err != nil {
		errs = append(errs, fmt.Errorf("postgres: Config.ConnString: %w", err))
	}
	if !slotName.MatchString(c.Slot) {
		errs = append(errs, fmt.Errorf("postgres: Config.Slot %q: want 1 to 63 lower-case letters, digits and underscores", c.Slot))
	}
	if c.Publication == "" {
		errs = append(errs, errors.New("postgres: Config.Publication is required"))
	}
	tables := make([]string, len(c.Tables))
	for i, t := range c.Tables {
		var err error
		if tables[i], err = entityOf(t); err != nil {
			errs = append(errs, err)
		}
	}
	if c.MaxBatch < 0 {
		errs = append(errs, errors.New("postgres: Config.MaxBatch is negative"))
	}
	c.MaxBatch = cmp.Or(c.MaxBatch, DefaultMaxBatch)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	c.Tables = tables
	return c, errors.Join(errs...)
}
