package postgres

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"strconv"
	"sync/atomic"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tandem-cache/tandem/cdc"
)

// decoder turns messages of pgoutput (protocol version 1, where a transaction
// arrives whole after its commit) into pieces.
type decoder struct {
	maxEvents   int
	relations   map[uint32]*relation // as the stream described them last
	open        bool                 // between Begin and Commit
	transaction string               // the xid, once for all of its events
	number      uint64               // of the transaction, from 1; xids come again
	skip        atomic.Pointer[skipped]
	piece       piece  // what has arrived of the transaction
	watch       *watch // knows the names of relations; nil: nobody does
	look        func() // asks for a look at what is published
}

func newDecoder(maxEvents int) *decoder {
	return &decoder{maxEvents: maxEvents, relations: make(map[uint32]*relation)}
}

// decode takes one message. If it completes a piece, it returns that.
func (d *decoder) decode(data []byte) (*piece, error) {
	if d.skips(data) {
		return nil, nil
	}
	message, err := pglogrepl.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("postgres: decode a change: %w", err)
	}
	switch m := message.(type) {
	case *pglogrepl.BeginMessage:
		d.open = true
		d.number++
		d.transaction = strconv.FormatUint(uint64(m.Xid), 10)
		d.piece = piece{xid: m.Xid, number: d.number, committed: m.CommitTime}
		return nil, nil
	case *pglogrepl.CommitMessage:
		d.open = false
		return d.cut(m.TransactionEndLSN), nil
	case *pglogrepl.RelationMessage:
		d.describe(m)
		return nil, nil
	case *pglogrepl.InsertMessage:
		return d.row(m.RelationID, cdc.Insert, nil, m.Tuple, false)
	case *pglogrepl.UpdateMessage:
		return d.row(m.RelationID, cdc.Update, m.OldTuple, m.NewTuple, m.OldTupleType == pglogrepl.UpdateMessageTupleTypeOld)
	case *pglogrepl.DeleteMessage:
		return d.row(m.RelationID, cdc.Delete, m.OldTuple, nil, false)
	case *pglogrepl.TruncateMessage:
		return d.truncate(m.RelationIDs)
	default: // types, origins, logical messages: nothing was outdated
		return nil, nil
	}
}

// skipped are entities of whose rows nobody needs more in one transaction. It doesn't change.
type skipped struct {
	number   uint64
	entities map[string]bool
}

// with returns a copy that has the entity, too; s may be nil, or of another transaction.
func (s *skipped) with(number uint64, entity string) *skipped {
	more := &skipped{number: number, entities: map[string]bool{entity: true}}
	if s != nil && s.number == number {
		maps.Copy(more.entities, s.entities)
	}
	return more
}

// skips reports whether a message is a row that nobody needs. Of those only the kind and the relation are read: decoding them took most of the
// time of a big transaction.
func (d *decoder) skips(data []byte) bool {
	s := d.skip.Load()
	if s == nil || s.number != d.number || !d.open || len(data) < 5 {
		return false
	}
	switch pglogrepl.MessageType(data[0]) {
	case pglogrepl.MessageTypeInsert, pglogrepl.MessageTypeUpdate, pglogrepl.MessageTypeDelete:
		table, ok := d.relations[binary.BigEndian.Uint32(data[1:])]
		return ok && s.entities[table.name]
	}
	return false
}

// describe takes note of a relation. One that has another name than before was renamed, or swapped: changes under the other name, also of a
// rename that was taken back before anybody looked, outdated nothing of this one.
func (d *decoder) describe(m *pglogrepl.RelationMessage) {
	r := &relation{RelationMessage: m, name: m.Namespace + "." + m.RelationName, d: d}
	before := d.relations[m.RelationID]
	d.relations[m.RelationID] = r
	if d.watch == nil {
		return
	}
	d.look()
	had := d.watch.name(m.RelationID)
	if before != nil {
		had = before.name
	}
	if had != "" && had != r.name {
		d.watch.outdate(had, r.name)
	}
}

// row adds a change of one row. both: before has all columns and is not only a key, and there is an after.
func (d *decoder) row(id uint32, kind cdc.Kind, before, after *pglogrepl.TupleData, both bool) (*piece, error) {
	table, ok := d.relations[id]
	if !ok {
		return nil, fmt.Errorf("postgres: a change of relation %d, which the stream did not describe", id)
	}
	rows, size := rowsOf(table, before, after)
	e := cdc.Event{Entity: table.name, Kind: kind, Rows: rows, Transaction: d.transaction}
	if both {
		e.Changed = changed(table, before, after)
	}
	return d.add(e, size), nil
}

// truncate adds one event for each relation. TRUNCATE names few of them, so
// that the piece may get longer than maxEvents by that much.
func (d *decoder) truncate(ids []uint32) (*piece, error) {
	var full *piece
	for _, id := range ids {
		table, ok := d.relations[id]
		if !ok {
			return nil, fmt.Errorf("postgres: a truncate of relation %d, which the stream did not describe", id)
		}
		d.piece.events = append(d.piece.events, cdc.Event{Entity: table.name, Kind: cdc.Whole, Transaction: d.transaction})
	}
	if len(d.piece.events) >= d.maxEvents {
		full = d.cut(0)
	}
	return full, nil
}

// add appends an event and returns the piece if that filled it.
func (d *decoder) add(e cdc.Event, size int) *piece {
	d.piece.events = append(d.piece.events, e)
	d.piece.bytes += size
	if len(d.piece.events) < d.maxEvents && d.piece.bytes < maxBytes/4 {
		return nil
	}
	return d.cut(0)
}

// cut returns the piece and begins another one of the same transaction.
func (d *decoder) cut(end pglogrepl.LSN) *piece {
	p := d.piece
	p.end = end
	d.piece = piece{xid: p.xid, number: p.number, committed: p.committed}
	return &p
}

// relation is a table as the stream described it.
type relation struct {
	*pglogrepl.RelationMessage
	name string // schema.table
	d    *decoder
	pads []bool // columns that are char(n)
	as   uint64 // watch.renewed when pads was made
}

// padded reports whether the i-th column is char(n): its padding is no part of the value, and two values that differ by it are equal.
func (r *relation) padded(i int) bool {
	as := uint64(0)
	if r.d.watch != nil {
		as = r.d.watch.renewed.Load()
	}
	if r.pads == nil || r.as != as {
		r.as, r.pads = as, make([]bool, len(r.Columns))
		for i, c := range r.Columns {
			r.pads[i] = c.DataType == pgtype.BPCharOID || r.d.watch != nil && c.DataType >= firstMade && r.d.watch.padded(c.DataType)
		}
	}
	return r.pads[i]
}

// firstMade is the first OID of what users make.
const firstMade = 16384

// changed returns the columns whose values differ, none as an empty list; nil: unknown. A TOAST column that the update left alone is not in after.
func changed(r *relation, before, after *pglogrepl.TupleData) []string {
	if before == nil || after == nil || len(before.Columns) != len(after.Columns) || len(after.Columns) > len(r.Columns) {
		return nil
	}
	names := make([]string, 0, min(len(after.Columns), 4))
	for i, c := range after.Columns {
		if c.DataType != pglogrepl.TupleDataTypeToast && !same(c, before, i) {
			names = append(names, r.Columns[i].Name)
		}
	}
	return names
}

// rowsOf returns the new and the old version, as far as they were delivered, and the size of their text. A TOAST column that an update left
// alone isn't sent in the new version; under REPLICA IDENTITY FULL the old one has it. What the versions have in common they share.
func rowsOf(r *relation, before, after *pglogrepl.TupleData) (rows []cdc.Row, size int) {
	old, oldSize := rowOf(r, before, nil, nil)
	fresh, freshSize := rowOf(r, after, before, old)
	switch {
	case after == nil:
		return []cdc.Row{old}, oldSize
	case before == nil:
		return []cdc.Row{fresh}, freshSize
	}
	return []cdc.Row{fresh, old}, oldSize + freshSize
}

// rowOf returns the version that t holds, and the size of its text that old, the version that before holds, doesn't share.
func rowOf(r *relation, t, before *pglogrepl.TupleData, old cdc.Row) (row cdc.Row, size int) {
	if t == nil {
		return nil, 0
	}
	row = make(cdc.Row, len(t.Columns))
	for i, c := range t.Columns {
		if i >= len(r.Columns) {
			break
		}
		name := r.Columns[i].Name
		switch {
		case c.DataType == pglogrepl.TupleDataTypeToast || c.DataType == pglogrepl.TupleDataTypeText && same(c, before, i):
			if value, ok := old[name]; ok {
				row[name] = value
			}
		case c.DataType == pglogrepl.TupleDataTypeText:
			data := c.Data
			if r.padded(i) {
				data = bytes.TrimRight(data, " ")
			}
			row[name] = string(data)
			size += len(data)
		}
	}
	return row, size
}

// same says that c is also the i-th column of before.
func same(c *pglogrepl.TupleDataColumn, before *pglogrepl.TupleData, i int) bool {
	return before != nil && i < len(before.Columns) && before.Columns[i].DataType == c.DataType && bytes.Equal(before.Columns[i].Data, c.Data)
}
