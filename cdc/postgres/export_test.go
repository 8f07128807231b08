package postgres

import (
	"encoding/binary"
	"strings"
	"time"

	"github.com/jackc/pglogrepl"

	"github.com/tandem-cache/tandem/cdc"
)

// PositionLSN returns the LSN of a position, or of a checkpoint, which has the source's name in a line before.
func PositionLSN(s string) (pglogrepl.LSN, bool) {
	p, err := parsePosition(s[strings.LastIndexByte(s, '\n')+1:])
	return p.lsn, err == nil
}

// SetStatusEvery sets the time between two statuses of the streams that src opens.
func SetStatusEvery(src *Source, every time.Duration) { src.every = every }

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

// IdleAfterKeepalive returns how far an empty queue says the reader is after a
// keepalive that carries end.
func IdleAfterKeepalive(end uint64, insideTransaction bool) uint64 {
	r := &reader{decoder: newDecoder(1), queue: newQueue(1)}
	r.decoder.open = insideTransaction
	_ = r.keepalive(append(binary.BigEndian.AppendUint64(nil, end), make([]byte, 9)...))
	_, idle := r.queue.take(1)
	return uint64(idle)
}

// Progress opens progress to tests.
type Progress struct{ p progress }

func (p *Progress) Mark(at time.Time, lsn uint64) { p.p.set(mark{at: at, lsn: pglogrepl.LSN(lsn)}) }
func (p *Progress) Hand(lsn uint64, at time.Time) { p.p.hand(pglogrepl.LSN(lsn), at) }
func (p *Progress) Waiting() int                  { return len(p.p.waiting) }
func (p *Progress) Lag(now time.Time) (time.Duration, bool) {
	return p.p.lag(now)
}

// Decode decodes messages of pgoutput, whose last one is a commit, and returns the events between.
func Decode(messages [][]byte) ([]cdc.Event, error) {
	d := newDecoder(1 << 30)
	var p *piece
	for _, m := range messages {
		var err error
		if p, err = d.decode(m); err != nil {
			return nil, err
		}
	}
	return p.events, nil
}
