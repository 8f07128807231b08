package postgres

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pglogrepl"
)

// position is a place in one history of the log of one server: "<system identifier>/<timeline>/<LSN>", such as
// "7312345678901234567/1/0/16B3748", or "7312345678901234567/2@3000148/0/31A5C88" on a timeline that began at 0/3000148. "+9f3ab2c1" at its
// end is the print of the catalog that goes with it.
type position struct {
	print    string // see catalog.print; "": unknown
	system   string
	timeline timeline
	lsn      pglogrepl.LSN
}

func (p position) String() string {
	s := p.system + "/" + p.timeline.String() + "/" + p.lsn.String()
	if p.print != "" {
		s += "+" + p.print
	}
	return s
}

// errNoTimeline is of positions that versions before wrote, "<system identifier>/<LSN>".
var errNoTimeline = errors.New("postgres: the position names no timeline")

// parsePosition takes exactly what String writes.
func parsePosition(s string) (position, error) {
	bad := fmt.Errorf("postgres: position %.128q: want <system identifier>/<timeline>/<LSN>+<print>", s)
	place, print, _ := strings.Cut(s, "+")
	system, rest, _ := strings.Cut(place, "/")
	id, err := strconv.ParseUint(system, 10, 64)
	if err != nil {
		return position{}, bad
	}
	if lsn, err := pglogrepl.ParseLSN(rest); err == nil && lsn.String() == rest {
		return position{}, errNoTimeline
	}
	line, text, _ := strings.Cut(rest, "/")
	timeline, err1 := parseTimeline(line)
	lsn, err2 := pglogrepl.ParseLSN(text)
	p := position{system: strconv.FormatUint(id, 10), timeline: timeline, lsn: lsn, print: print}
	if err1 != nil || err2 != nil || lsn == 0 || p.String() != s {
		return position{}, bad
	}
	return p, nil
}
