package postgres

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tandem-cache/tandem/cdc"
)

// Source follows one slot. Its methods may be called from any goroutine.
type Source struct {
	cfg      Config
	database string
	every    time.Duration // between two statuses; 0: by the server's settings; else a test has set it

	mu       sync.Mutex        // guards the fields below
	barren   string            // the slot's restart, when a stream found that the log from there is gone; "": none did
	selected map[string]bool   // entities that matter; nil: all
	known    map[string]entity // what the last stream followed
}

var _ cdc.Source = (*Source)(nil)

// NewSource checks cfg. It connects to nothing.
func NewSource(cfg Config) (*Source, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	conn, err := pgconn.ParseConfig(cfg.ConnString)
	if err != nil {
		return nil, fmt.Errorf("postgres: Config.ConnString: %w", err)
	}
	return &Source{cfg: cfg, database: cmp.Or(conn.Database, conn.User)}, nil
}

// Identity implements cdc.Source: the database, the slot and the publication. It does not tell two servers apart that have all three in
// common, as the shards of a database may: give the slots of such servers different names.
func (s *Source) Identity() string {
	return fmt.Sprintf("postgres %s/%s/%s", printable(s.database), s.cfg.Slot, printable(s.cfg.Publication))
}

// printable is a name of at most 63 bytes, as the server takes it, with what can't be printed written out.
func printable(name string) string {
	quoted := strconv.Quote(name)
	if quoted == `"`+name+`"` {
		return name
	}
	return quoted
}

// Select implements cdc.Selector.
func (s *Source) Select(entities []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.selected = make(map[string]bool, len(entities))
	for _, name := range entities {
		s.selected[name] = true
	}
}

// wanted tells which entities matter.
func (s *Source) wanted() func(entity string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	selected := s.selected
	return func(entity string) bool { return selected == nil || selected[entity] }
}

// remember keeps what a stream follows for the next one: a table that has gone in between is missed.
func (s *Source) remember(known map[string]entity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = known
}

func (s *Source) remembered() map[string]entity {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := make(map[string]entity, len(s.known))
	maps.Copy(known, s.known)
	return known
}

// Exclusive implements cdc.Source: one follower at a time uses a slot.
func (s *Source) Exclusive() bool { return true }

// Open implements cdc.Source. Without a position an existing slot goes on where it
// was last acknowledged. The first batch is Lost where that leaves a gap: the
// slot is missing, was invalidated, or needs log that the server has removed (all three: it is made anew), or the position is
// malformed, of another database cluster, of another timeline, older than what was acknowledged, or
// ahead of the server's log. See Config.SynchronousStandbys. A slot in use is cdc.ErrBusy.
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
	if st.conns.standby {
		return errors.New("postgres: the standby was promoted a moment ago: its timeline is not known yet")
	}
	fresh, err := s.preparePublication(ctx, st.conns)
	if err != nil {
		return err
	}
	seen, err := look(ctx, st.conns.sql, s.cfg.Publication)
	if err != nil {
		return err
	}
	st.print = seen.print(s.wanted())
	found, err := findSlot(ctx, st.conns.sql, s.cfg.Slot)
	if err != nil {
		return err
	}
	if why := s.useless(found, fresh); why != "" {
		if err := s.discard(ctx, st.conns, why); err != nil {
			return err
		}
		found = nil
	}
	switch {
	case found != nil:
		return s.resume(ctx, st, *found, seen, from)
	}
	st.watch = newWatch(s, seen, true)
	switch {
	case s.cfg.Temporary:
		return s.temporary(ctx, st)
	default:
		return s.create(ctx, st)
	}
}

// preparePublication creates the publication if it is missing and may be created.
func (s *Source) preparePublication(ctx context.Context, c *conns) (created bool, err error) {
	tables, err := checkPublication(ctx, c.sql, s.cfg)
	if err != nil || len(tables) == 0 {
		return false, err
	}
	if err := createPublication(ctx, c.sql, s.cfg.Publication, tables); err != nil {
		return false, err
	}
	s.cfg.Logger.InfoContext(ctx, "postgres: created the publication", "publication", s.cfg.Publication, "tables", s.cfg.Tables)
	return true, nil
}

// useless returns why a slot can't be followed; "": it can, or there is none. fresh: the publication is younger.
func (s *Source) useless(found *slot, fresh bool) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case found == nil:
		return ""
	case found.lost:
		return "the server invalidated it"
	case s.barren != "" && found.restart == s.barren:
		return "the server has removed log that it needs"
	case fresh:
		return "it is older than the publication"
	default:
		return ""
	}
}

// spoil notes why a stream ended, if that is that the server has no longer the log which the slot needs. The server does not tell before it
// reads: a slot that was carried to another server, or a server whose log was cleared by hand, look well.
func (s *Source) spoil(found slot, err error) {
	if code(err) != codeNoFile {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.barren = found.restart
}

// discard drops a slot that is of no use.
func (s *Source) discard(ctx context.Context, c *conns, why string) error {
	if err := dropSlot(ctx, c.sql, s.cfg.Slot); err != nil {
		return err
	}
	s.cfg.Logger.WarnContext(ctx, "postgres: dropped the slot", "slot", s.cfg.Slot, "because", why)
	return nil
}

// noPosition is the level of a gap: where there was no position, as at a first start, none was lost.
func noPosition(from string) slog.Level {
	if from == "" {
		return slog.LevelInfo
	}
	return slog.LevelWarn
}

// resume follows a slot that is there.
func (s *Source) resume(ctx context.Context, st *stream, found slot, seen catalog, from string) error {
	at, gap, err := s.startAt(ctx, st.conns, found, from)
	if err != nil {
		return err
	}
	if p, err := parsePosition(from); gap == "" && err == nil && p.print != st.print {
		gap = "what is published, or a table that is, was changed while nobody followed"
	}
	st.at = at
	st.watch = newWatch(s, seen, gap != "")
	if gap != "" {
		st.first = &cdc.Batch{Lost: true, Position: st.position(at)}
	}
	st.ended = func(err error) { s.spoil(found, err) }
	if err := s.start(ctx, st); err != nil {
		s.spoil(found, err)
		return err
	}
	if gap != "" {
		s.cfg.Logger.Log(ctx, noPosition(from), "postgres: changes may be lost", "slot", s.cfg.Slot, "from", from, "because", gap)
	}
	return nil
}

// startAt returns where to start and, if that leaves a gap after from, why. The
// server itself would skip the gap without a word.
//
// Another timeline is a gap, also where the position lies before the place at which the two part:
//
//  1. the primary commits a change; a loader reads it, and what it read is cached
//  2. a standby that has not received the change is promoted: in the source, the change never was
//  3. every change after the position comes, and none of them outdates what was cached
//
// Where no commit is visible before the standbys have it, step 1 can't come before it (Config.SynchronousStandbys).
func (s *Source) startAt(ctx context.Context, c *conns, found slot, from string) (at pglogrepl.LSN, gap string, err error) {
	if from == "" {
		if found.confirmed < c.identity.timeline.begin && !s.cfg.SynchronousStandbys {
			return found.confirmed, "the slot was last acknowledged on another timeline: was a standby promoted?", nil
		}
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
	case errors.Is(err, errNoTimeline):
		return found.confirmed, "the position names no timeline: a version before has written it", nil
	case err != nil:
		return found.confirmed, "the position is malformed", nil
	case p.system != c.identity.system:
		return found.confirmed, "the position is of another database cluster", nil
	case !s.inherited(c.identity, p):
		return found.confirmed, "the position is of another timeline: was a standby promoted?", nil
	case p.lsn < found.confirmed:
		return found.confirmed, "the slot was acknowledged beyond the position", nil
	case p.lsn > last:
		return found.confirmed, "the position is ahead of the server's log: was the database restored?", nil
	default:
		return p.lsn, "", nil
	}
}

// inherited reports whether everything that a follower has seen up to p, and its loaders beside it, is in a log.
func (s *Source) inherited(log identity, p position) bool {
	switch {
	case p.timeline.begin == unknownBegin:
		return false
	case p.timeline == log.timeline:
		return true
	default:
		return s.cfg.SynchronousStandbys && log.has(p)
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
		s.cfg.Logger.InfoContext(ctx, "postgres: created the slot", "slot", s.cfg.Slot, "position", st.position(at))
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
	st.read(cmp.Or(s.every, every))
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
	return errors.Join(checkServer(ctx, c.sql), pubErr, checkFollowed(ctx, c.sql, s.cfg), slotErr, c.close(ctx))
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
