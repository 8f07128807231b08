package postgres

import "github.com/jackc/pglogrepl"

// PositionLSN returns the LSN of a position.
func PositionLSN(s string) (pglogrepl.LSN, bool) {
	p, err := parsePosition(s)
	return p.lsn, err == nil
}
