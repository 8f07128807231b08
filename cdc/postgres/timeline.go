package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/jackc/pglogrepl"
)

// A timeline is one history of a server's log: each promotion, and each recovery to a point in time, begins another. The number alone does
// not tell two apart: two standbys that never heard of each other both begin timeline 2.
type timeline struct {
	number uint32
	begin  pglogrepl.LSN // where it left its parent; 0: it is the first; unknownBegin: the server has lost its history
}

const unknownBegin = pglogrepl.LSN(math.MaxUint64)

// String returns "1", or with the place where the timeline begins, "2@3000148".
func (t timeline) String() string {
	switch t.begin {
	case 0:
		return strconv.FormatUint(uint64(t.number), 10)
	case unknownBegin:
		return fmt.Sprintf("%d@?", t.number)
	}
	return fmt.Sprintf("%d@%X", t.number, uint64(t.begin))
}

func parseTimeline(s string) (timeline, error) {
	number, begin, forked := strings.Cut(s, "@")
	n, err := strconv.ParseUint(number, 10, 32)
	t := timeline{number: uint32(n)}
	switch {
	case forked && begin == "?":
		t.begin = unknownBegin
	case forked:
		var at uint64
		var wrong error
		at, wrong = strconv.ParseUint(begin, 16, 64)
		t.begin, err = pglogrepl.LSN(at), errors.Join(err, wrong)
	}
	if err != nil || n == 0 || t.String() != s {
		return timeline{}, fmt.Errorf("postgres: timeline %q: want a number, or <number>@<begin>", s)
	}
	return t, nil
}

// An ancestor is a timeline that the server's log came from.
type ancestor struct {
	timeline
	end pglogrepl.LSN // where the next one left it
}

// identity is what the log of a server is: positions of another one mean nothing here.
type identity struct {
	system    string // identifier of the database cluster
	timeline  timeline
	ancestors []ancestor // oldest first
}

// has reports whether p lies in what this log has inherited: on an ancestor, before the next timeline left it.
func (i identity) has(p position) bool {
	for _, a := range i.ancestors {
		if a.timeline == p.timeline {
			return p.lsn <= a.end
		}
	}
	return false
}

// identify asks the replication connection what the server's log is.
//
// Whether the server is a standby is asked first. A standby tells the timeline that it replays, and it may be promoted at any moment, which
// ends no connection. Asked afterwards:
//
//  1. the standby replays timeline 1, and says so
//  2. it is promoted, and writes timeline 2
//  3. asked whether it is a standby, it says no: the stream would give positions of timeline 2 the number 1
func (c *conns) identify(ctx context.Context) error {
	here, standby, err := c.whereReplication(ctx)
	if err != nil {
		return err
	}
	if err := c.sameServer(ctx, here); err != nil {
		return err
	}
	id, err := pglogrepl.IdentifySystem(ctx, c.repl)
	if err != nil {
		return fmt.Errorf("postgres: IDENTIFY_SYSTEM: %w", advise(err))
	}
	c.standby = standby
	c.identity = identity{system: id.SystemID, timeline: timeline{number: uint32(id.Timeline)}}
	if standby || id.Timeline == 1 {
		return nil
	}
	file, err := pglogrepl.TimelineHistory(ctx, c.repl, id.Timeline)
	switch {
	case code(err) == codeNoFile: // then no position is known to be of this log
		c.identity.timeline.begin = unknownBegin
		return nil
	case err != nil:
		return fmt.Errorf("postgres: TIMELINE_HISTORY %d: %w", id.Timeline, advise(err))
	}
	return c.identity.descend(string(file.Content))
}

// descend reads the ancestors from a timeline's history file: a line for each, with its number and where the next one left it.
func (i *identity) descend(file string) error {
	var begin pglogrepl.LSN
	for line := range strings.Lines(file) {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		bad := fmt.Errorf("postgres: history of timeline %d: %q: want <timeline> <LSN>", i.timeline.number, strings.TrimSpace(line))
		if len(fields) < 2 {
			return bad
		}
		number, err1 := strconv.ParseUint(fields[0], 10, 32)
		end, err2 := pglogrepl.ParseLSN(fields[1])
		if err1 != nil || err2 != nil {
			return bad
		}
		i.ancestors = append(i.ancestors, ancestor{timeline{uint32(number), begin}, end})
		begin = end
	}
	i.timeline.begin = begin
	return nil
}

// started tells one run of a server from any other, in text that no setting of a session changes.
const started = `extract(epoch FROM pg_postmaster_start_time())::text`

// whereReplication asks which server replicates, and whether it is a standby.
func (c *conns) whereReplication(ctx context.Context) (server string, standby bool, err error) {
	results, err := c.repl.Exec(ctx, `SELECT `+started+`, pg_is_in_recovery()::text`).ReadAll()
	if err != nil {
		return "", false, fmt.Errorf("postgres: ask about the server: %w", advise(err))
	}
	if len(results) != 1 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) != 2 {
		return "", false, errors.New("postgres: ask about the server: the answer has another form")
	}
	row := results[0].Rows[0]
	return string(row[0]), string(row[1]) == "true", nil
}

// sameServer reports whether the ordinary connection leads where the replicating one does. In the middle of a failover, one may lead to the
// old primary, and say what a reader sees there.
func (c *conns) sameServer(ctx context.Context, replicates string) error {
	var here string
	if err := c.sql.QueryRow(ctx, `SELECT `+started).Scan(&here); err != nil {
		return fmt.Errorf("postgres: ask about the server: %w", err)
	}
	if here != replicates {
		return errors.New("postgres: Config.ConnString has led two connections to two servers: is this a failover, or a balancer? " +
			"It must lead to the primary; add target_session_attrs=primary")
	}
	return nil
}
