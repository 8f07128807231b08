package postgres

import "github.com/jackc/pglogrepl"

// PositionLSN returns the LSN of a position.
func PositionLSN(s string) (pglogrepl.LSN, bool) {
	p, err := parsePosition(s)
	return p.lsn, err == nil
}

// Sees reports whether the snapshot sees the transaction.
func Sees(snap string, xid uint32) (bool, error) {
	s, err := parseSnapshot(snap)
	return s.sees(xid), err
}

// FormatPosition parses a position and writes it again.
func FormatPosition(s string) (string, error) {
	p, err := parsePosition(s)
	return p.String(), err
}
