package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pglogrepl"

	"github.com/tandem-cache/tandem/cdc"
)

// Source follows one slot. Its methods may be called from any goroutine.
type Source struct {
	cfg Config
}

var _ cdc.Source = (*Source)(nil)

// NewSource checks cfg. It connects to nothing.
func NewSource(cfg Config) (*Source, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Source{cfg: cfg}, nil
}

// Exclusive implements cdc.Source: one follower at a time uses a slot.
func (s *Source) Exclusive() bool { return true }

// Open implements cdc.Source. Without a position an existing slot goes on where it
// was last acknowledged. The first batch is Lost where that leaves a gap: the
// slot is missing or was invalidated (both: it is made anew), or the position is
// malformed, of another database cluster, older than what was acknowledged, or
// ahead of the server's log. A slot in use is cdc.ErrBusy.
//
// Making a slot waits for every transaction that is writing at that moment.
func (s *Source) Open(ctx context.Context, from string) (cdc.Stream, error) {
	c, err := connect(ctx, s.cfg)
	if err != nil {
		return nil, err
	}
	st := &stream{conns: c, max: s.cfg.MaxBatch, progress: new(progress)}
	if err := s.open(ctx, st, from); err != nil {
		return nil, errors.Join(err, c.close(context.WithoutCancel(ctx)))
	}
	return st, nil
}

func (s *Source) open(ctx context.Context, st *stream, from string) error {
	if err := checkServer(ctx, st.conns.sql); err != nil {
		return err
	}
	fresh, err := s.preparePublication(ctx, st.conns)
	if err != nil {
		return err
	}
	found, err := findSlot(ctx, st.conns.sql, s.cfg.Slot)
	if err != nil {
		return err
	}
	if found != nil && (found.lost || fresh) {
		if err := s.discard(ctx, st.conns, found.lost); err != nil {
			return err
		}
		found = nil
	}
	switch {
	case found != nil:
		return s.resume(ctx, st, *found, from)
	case s.cfg.Temporary:
		return s.temporary(ctx, st)
	default:
		return s.create(ctx, st)
	}
}

// preparePublication creates the publication if it is missing and may be created.
func (s *Source) preparePublication(ctx context.Context, c *conns) (created bool, err error) {
	missing, err := checkPublication(ctx, c.sql, s.cfg)
	if err != nil || !missing {
		return false, err
	}
	if err := createPublication(ctx, c.sql, s.cfg); err != nil {
		return false, err
	}
	s.cfg.Logger.InfoContext(ctx, "postgres: created the publication", "publication", s.cfg.Publication, "tables", s.cfg.Tables)
	return true, nil
}

// discard drops a slot that is of no use: invalidated, or older than the
// publication, which the server can't decode.
func (s *Source) discard(ctx context.Context, c *conns, lost bool) error {
	why := "it is older than the publication"
	if lost {
		why = "the server invalidated it"
	}
	if err := dropSlot(ctx, c.sql, s.cfg.Slot); err != nil {
		return err
	}
	s.cfg.Logger.WarnContext(ctx, "postgres: dropped the slot", "slot", s.cfg.Slot, "because", why)
	return nil
}

// resume follows a slot that is there.
func (s *Source) resume(ctx context.Context, st *stream, found slot, from string) error {
	at, gap, err := s.startAt(ctx, st.conns, found, from)
	if err != nil {
		return err
	}
	st.at = at
	if gap != "" {
		st.first = &cdc.Batch{Lost: true, Position: st.position(at)}
	}
	if err := s.start(ctx, st); err != nil {
		return err
	}
	if gap != "" {
		s.cfg.Logger.WarnContext(ctx, "postgres: changes may be lost", "slot", s.cfg.Slot, "from", from, "because", gap)
	}
	return nil
}

// startAt returns where to start and, if that leaves a gap after from, why. The
// server itself would skip the gap without a word.
func (s *Source) startAt(ctx context.Context, c *conns, found slot, from string) (at pglogrepl.LSN, gap string, err error) {
	if from == "" {
		return found.confirmed, "", nil
	}
	var end string
	if err := c.sql.QueryRow(ctx, `SELECT pg_current_wal_insert_lsn()::text`).Scan(&end); err != nil {
		return 0, "", fmt.Errorf("postgres: end of the log: %w", err)
	}
	last, err := pglogrepl.ParseLSN(end)
	if err != nil {
		return 0, "", fmt.Errorf("postgres: end of the log: %w", err)
	}
	p, err := parsePosition(from)
	switch {
	case err != nil:
		return found.confirmed, "the position is malformed", nil
	case p.system != c.system:
		return found.confirmed, "the position is of another database cluster", nil
	case p.lsn < found.confirmed:
		return found.confirmed, "the slot was acknowledged beyond the position", nil
	case p.lsn > last:
		return found.confirmed, "the position is ahead of the server's log: was the database restored?", nil
	default:
		return p.lsn, "", nil
	}
}

// create makes the slot in two steps. Until the first batch is acknowledged, that
// is until the cache has been flushed and has a checkpoint, the slot is a
// temporary one: a follower that dies before leaves no slot that the next one
// would take for flushed.
func (s *Source) create(ctx context.Context, st *stream) error {
	temporary := "tandem_new_" + strings.ToLower(rand.Text())
	at, err := newSlot(ctx, st.conns.sql, temporary)
	if err != nil {
		return err
	}
	st.at = at
	st.first = &cdc.Batch{Lost: true, Position: st.position(at)}
	st.begin = func(ctx context.Context) error {
		if err := keepSlot(ctx, st.conns.sql, temporary, s.cfg.Slot); err != nil {
			return err
		}
		s.cfg.Logger.WarnContext(ctx, "postgres: created the slot", "slot", s.cfg.Slot, "position", st.position(at))
		return s.start(ctx, st)
	}
	return nil
}

// temporary makes a slot in the session that reads it.
func (s *Source) temporary(ctx context.Context, st *stream) error {
	made, err := pglogrepl.CreateReplicationSlot(ctx, st.conns.repl, s.cfg.Slot, "pgoutput",
		pglogrepl.CreateReplicationSlotOptions{Temporary: true, SnapshotAction: "NOEXPORT_SNAPSHOT"})
	if err != nil {
		if code(err) == codeDuplicate {
			return fmt.Errorf("postgres: create slot %q: %w: %w", s.cfg.Slot, cdc.ErrBusy, err)
		}
		return fmt.Errorf("postgres: create slot %q: %w", s.cfg.Slot, advise(err))
	}
	if st.at, err = pglogrepl.ParseLSN(made.ConsistentPoint); err != nil {
		return fmt.Errorf("postgres: create slot %q: %w", s.cfg.Slot, err)
	}
	st.first = &cdc.Batch{Lost: true, Position: st.position(st.at)}
	return s.start(ctx, st)
}

// start begins to stream from st.at.
func (s *Source) start(ctx context.Context, st *stream) error {
	every, err := statusEvery(ctx, st.conns.sql)
	if err != nil {
		return err
	}
	names := strings.ReplaceAll(quote(s.cfg.Publication), "'", "''")
	err = pglogrepl.StartReplication(ctx, st.conns.repl, s.cfg.Slot, st.at, pglogrepl.StartReplicationOptions{
		Mode:       pglogrepl.LogicalReplication,
		PluginArgs: []string{"proto_version '1'", "publication_names '" + names + "'"},
	})
	if err != nil {
		return fmt.Errorf("postgres: follow slot %q: %w", s.cfg.Slot, advise(err))
	}
	st.read(every)
	return nil
}

// Check reports everything that keeps the source from being opened, each with
// what to do about it. It changes nothing. That another follower holds the slot,
// and that it doesn't exist yet, is no error.
func (s *Source) Check(ctx context.Context) error {
	c, err := connect(ctx, s.cfg)
	if err != nil {
		return err
	}
	_, slotErr := findSlot(ctx, c.sql, s.cfg.Slot)
	_, pubErr := checkPublication(ctx, c.sql, s.cfg)
	return errors.Join(checkServer(ctx, c.sql), pubErr, slotErr, c.close(ctx))
}

// DropSlot drops the slot, so that the server no longer keeps its log. That it
// doesn't exist is no error; one in use is cdc.ErrBusy.
func (s *Source) DropSlot(ctx context.Context) error {
	sql, err := connectSQL(ctx, s.cfg)
	if err != nil {
		return err
	}
	return errors.Join(dropSlot(ctx, sql, s.cfg.Slot), sql.Close(ctx))
}
