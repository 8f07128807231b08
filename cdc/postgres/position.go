package postgres

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pglogrepl"
)

// position is a place in the log of one server: "<system identifier>/<LSN>",
// such as "7312345678901234567/0/16B3748".
type position struct {
	system string
	lsn    pglogrepl.LSN
}

func (p position) String() string { return p.system + "/" + p.lsn.String() }

// parsePosition takes exactly what String writes.
func parsePosition(s string) (position, error) {
	system, text, _ := strings.Cut(s, "/")
	id, err := strconv.ParseUint(system, 10, 64)
	if err != nil {
		return position{}, fmt.Errorf("postgres: position %q: want <system identifier>/<LSN>", s)
	}
	lsn, err := pglogrepl.ParseLSN(text)
	p := position{system: strconv.FormatUint(id, 10), lsn: lsn}
	if err != nil || lsn == 0 || p.String() != s {
		return position{}, fmt.Errorf("postgres: position %q: want <system identifier>/<LSN>", s)
	}
	return p, nil
}
