package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-cache/tandem/internal/servertest"
)

// A failover is what is to be known of a change of PostgreSQL's primaries. Versions in (Fork, Base] of a row were taken back: the new primary
// never had them.
type failover struct {
	Held     instant       // the standby got nothing from here
	Cut      instant       // nobody reached the old primary from here
	Timeline uint64        // of the new primary
	Lost     int           // rows with commits that the new primary lacks
	Followed time.Duration // from Cut until the checkpoint was on the new timeline; 0: not before the end

	fork    map[int]int64 // versions that the new primary began with
	base    int64         // all versions of the old primary are below, all that the new one gives above
	written versions      // of the new primary, at places of the log that the old one had used for something else
	end     uint64        // of the log, behind written
}

// eraSize is more than the versions that any row is given between two failovers.
const eraSize = 1_000_000

// promoteStandby loses the last commits of PostgreSQL, and keeps the slot: a standby gets the slot while it is stopped, and stays stopped while
// the primary goes on and the follower follows it. Then the primary is killed, and the standby promoted and written to, until its log lies
// beyond all that the primary's had. Every process reaches the new primary by the address of the old one.
func promoteStandby(ctx context.Context, a *attempt) (err error) {
	old := a.postgres
	conn, err := pgx.Connect(ctx, old.URL)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if err := a.holdStandby(ctx, conn); err != nil {
		return err
	}
	f := &failover{Held: now(), base: eraSize * int64(len(a.failovers)+1)}
	if err := pause(ctx, max(a.lasts/2, 2*time.Second)); err != nil {
		return err
	}
	if err := a.database.cut(); err != nil {
		return err
	}
	f.Cut = now()
	had, err := readItems(ctx, conn)
	if err != nil {
		return err
	}
	var end string
	if err := conn.QueryRow(ctx, `SELECT pg_current_wal_insert_lsn()::text`).Scan(&end); err != nil {
		return err
	}
	if err := old.Kill(); err != nil {
		return err
	}
	if err := a.takeOver(ctx, f, end); err != nil {
		return err
	}
	for id, version := range had {
		if version > f.fork[id] {
			f.Lost++
		}
	}
	a.Note = fmt.Sprintf("%d rows went back", f.Lost)
	a.failovers = append(a.failovers, f)
	u, err := url.Parse(a.postgres.URL)
	if err != nil {
		return err
	}
	a.database.lead(u.Host)
	if err := a.database.join(); err != nil {
		return err
	}
	return os.RemoveAll(filepath.Dir(old.Dir))
}

// holdStandby leaves a standby that is stopped, and has the slot.
func (a *attempt) holdStandby(ctx context.Context, primary *pgx.Conn) error {
	dir, err := a.sub("postgres-" + strconv.Itoa(len(a.failovers)+2))
	if err != nil {
		return err
	}
	if a.standby, err = a.postgres.NewStandby(dir); err != nil {
		return err
	}
	isTrue := func(query string, args ...any) func() bool {
		return func() bool {
			var is bool
			return primary.QueryRow(ctx, query, args...).Scan(&is) == nil && is
		}
	}
	if err := a.until(ctx, "slot", isTrue(`SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1)`, slotName)); err != nil {
		return err
	}
	if _, err := primary.Exec(ctx, `CHECKPOINT`); err != nil { // the slot's state goes to the disk
		return err
	}
	var at string
	if err := primary.QueryRow(ctx, `SELECT pg_current_wal_flush_lsn()::text`).Scan(&at); err != nil {
		return err
	}
	streamed := isTrue(`SELECT EXISTS (SELECT FROM pg_stat_replication WHERE application_name = 'walreceiver' AND replay_lsn >= $1::text::pg_lsn)`, at)
	if err := a.until(ctx, "standby", streamed); err != nil {
		return err
	}
	if err := a.standby.Stop(); err != nil {
		return err
	}
	if err := a.standby.CopySlot(a.postgres, slotName); err != nil {
		return err
	}
	if err := a.standby.CopyLog(a.postgres); err != nil {
		return err
	}
	return a.standby.Follow(nil)
}

// takeOver makes the standby the primary, and writes to it until its log lies behind beyond.
func (a *attempt) takeOver(ctx context.Context, f *failover, beyond string) (err error) {
	if err := a.standby.Start(); err != nil {
		return err
	}
	if err := a.standby.Promote(); err != nil {
		return err
	}
	a.postgres, a.standby = a.standby, (*servertest.PostgresServer)(nil)
	conn, err := pgx.Connect(ctx, a.postgres.URL)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if f.fork, err = readItems(ctx, conn); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, `UPDATE era SET base = $1`, f.base); err != nil {
		return err
	}
	if f.written, err = raise(ctx, conn, a.history, raiseItems+`WHERE id % 4 = $1 RETURNING id, version`, len(a.failovers)%4); err != nil {
		return err
	}
	var end, timeline string
	err = conn.QueryRow(ctx, `SELECT pg_current_wal_insert_lsn()::text, left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)`).Scan(&end, &timeline)
	if err != nil {
		return err
	}
	var p parser
	f.end = p.lsn(end)
	if p.err != nil {
		return p.err
	}
	if f.Timeline, err = strconv.ParseUint(timeline, 16, 32); err != nil {
		return err
	}
	for passed := false; !passed; { // with what no row is part of
		if _, err := conn.Exec(ctx, `SELECT pg_logical_emit_message(true, 'chaos', repeat('x', 10000)) FROM generate_series(1, 10)`); err != nil {
			return err
		}
		if err := conn.QueryRow(ctx, `SELECT pg_current_wal_flush_lsn() > $1::text::pg_lsn`, beyond).Scan(&passed); err != nil {
			return err
		}
	}
	return nil
}

// readItems returns the versions of all rows.
func readItems(ctx context.Context, conn *pgx.Conn) (map[int]int64, error) {
	found, err := conn.Query(ctx, `SELECT id, version FROM items`)
	if err != nil {
		return nil, err
	}
	all := make(map[int]int64)
	var id int
	var version int64
	_, err = pgx.ForEachRow(found, []any{&id, &version}, func() error { all[id] = version; return nil })
	return all, err
}

// tookBack reports whether the failover has undone a version of a row.
func (f *failover) tookBack(r rowVersion) bool {
	return f.fork[r.id] < r.version && r.version <= f.base
}

// relabel gives a position the timeline of the server that is the primary now, as if no other had been.
func relabel(ctx context.Context, url, from string) (string, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var number string
	if err := conn.QueryRow(ctx, `SELECT left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)`).Scan(&number); err != nil {
		return "", err
	}
	timeline, err := strconv.ParseUint(number, 16, 32)
	parts := strings.Split(from, "/")
	if err != nil || timeline == 1 || len(parts) != 4 {
		return from, err
	}
	var history string
	if err := conn.QueryRow(ctx, `SELECT pg_read_file('pg_wal/' || $1::text || '.history')`, number).Scan(&history); err != nil {
		return "", err
	}
	var p parser
	for line := range strings.Lines(history) {
		if fields := strings.Fields(line); len(fields) > 1 {
			parts[1] = fmt.Sprintf("%d@%X", timeline, p.lsn(fields[1]))
		}
	}
	return strings.Join(parts, "/"), p.err
}
