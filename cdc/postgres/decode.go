package postgres

import (
	"fmt"

	"github.com/jackc/pglogrepl"

	"github.com/tandem-cache/tandem/cdc"
)

// decoder turns messages of pgoutput (protocol version 1, where a transaction
// arrives whole after its commit) into pieces.
type decoder struct {
	maxEvents int
	relations map[uint32]*pglogrepl.RelationMessage // as the stream described them last
	open      bool                                  // between Begin and Commit
	piece     piece                                 // what has arrived of the transaction
}

func newDecoder(maxEvents int) *decoder {
	return &decoder{maxEvents: maxEvents, relations: make(map[uint32]*pglogrepl.RelationMessage)}
}

// decode takes one message. If it completes a piece, it returns that.
func (d *decoder) decode(data []byte) (*piece, error) {
	message, err := pglogrepl.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("postgres: decode a change: %w", err)
	}
	switch m := message.(type) {
	case *pglogrepl.BeginMessage:
		d.open = true
		d.piece = piece{xid: m.Xid, committed: m.CommitTime}
		return nil, nil
	case *pglogrepl.CommitMessage:
		d.open = false
		return d.cut(m.TransactionEndLSN), nil
	case *pglogrepl.RelationMessage:
		d.relations[m.RelationID] = m
		return nil, nil
	case *pglogrepl.InsertMessage:
		return d.row(m.RelationID, cdc.Insert, nil, m.Tuple)
	case *pglogrepl.UpdateMessage:
		return d.row(m.RelationID, cdc.Update, m.OldTuple, m.NewTuple)
	case *pglogrepl.DeleteMessage:
		return d.row(m.RelationID, cdc.Delete, m.OldTuple, nil)
	case *pglogrepl.TruncateMessage:
		return d.truncate(m.RelationIDs)
	default: // types, origins, logical messages: nothing was outdated
		return nil, nil
	}
}

// row adds a change of one row.
func (d *decoder) row(id uint32, kind cdc.Kind, before, after *pglogrepl.TupleData) (*piece, error) {
	relation, ok := d.relations[id]
	if !ok {
		return nil, fmt.Errorf("postgres: a change of relation %d, which the stream did not describe", id)
	}
	rows, bytes := rowsOf(relation, before, after)
	return d.add(cdc.Event{Entity: entity(relation), Kind: kind, Rows: rows}, bytes), nil
}

// truncate adds one event for each relation. TRUNCATE names few of them, so
// that the piece may get longer than maxEvents by that much.
func (d *decoder) truncate(ids []uint32) (*piece, error) {
	var full *piece
	for _, id := range ids {
		relation, ok := d.relations[id]
		if !ok {
			return nil, fmt.Errorf("postgres: a truncate of relation %d, which the stream did not describe", id)
		}
		d.piece.events = append(d.piece.events, cdc.Event{Entity: entity(relation), Kind: cdc.Whole})
	}
	if len(d.piece.events) >= d.maxEvents {
		full = d.cut(0)
	}
	return full, nil
}

// add appends an event and returns the piece if that filled it.
func (d *decoder) add(e cdc.Event, bytes int) *piece {
	d.piece.events = append(d.piece.events, e)
	d.piece.bytes += bytes
	if len(d.piece.events) < d.maxEvents && d.piece.bytes < maxBytes/4 {
		return nil
	}
	return d.cut(0)
}

// cut returns the piece and begins another one of the same transaction.
func (d *decoder) cut(end pglogrepl.LSN) *piece {
	p := d.piece
	p.end = end
	d.piece = piece{xid: p.xid, committed: p.committed}
	return &p
}

func entity(r *pglogrepl.RelationMessage) string { return r.Namespace + "." + r.RelationName }

// rowsOf returns the new and the old version, as far as they were delivered, and
// the size of their text. A TOAST column that an update left alone isn't sent
// in the new version; under REPLICA IDENTITY FULL the old one has it.
func rowsOf(r *pglogrepl.RelationMessage, before, after *pglogrepl.TupleData) (rows []cdc.Row, bytes int) {
	old, size := rowOf(r, before)
	bytes += size
	if after != nil {
		fresh, size := rowOf(r, after)
		bytes += size
		for i, c := range after.Columns {
			if c.DataType != pglogrepl.TupleDataTypeToast || i >= len(r.Columns) {
				continue
			}
			if value, ok := old[r.Columns[i].Name]; ok {
				fresh[r.Columns[i].Name] = value
			}
		}
		rows = append(rows, fresh)
	}
	if before != nil {
		rows = append(rows, old)
	}
	return rows, bytes
}

func rowOf(r *pglogrepl.RelationMessage, t *pglogrepl.TupleData) (row cdc.Row, bytes int) {
	if t == nil {
		return nil, 0
	}
	row = make(cdc.Row, len(t.Columns))
	for i, c := range t.Columns {
		if c.DataType == pglogrepl.TupleDataTypeText && i < len(r.Columns) {
			row[r.Columns[i].Name] = string(c.Data)
			bytes += len(c.Data)
		}
	}
	return row, bytes
}
