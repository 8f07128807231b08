package postgres

import (
	"sync"
	"time"

	"github.com/jackc/pglogrepl"

	"github.com/tandem-cache/tandem/cdc"
)

// maxBytes bounds the text of the rows in the queue, and a quarter of it the
// text of one piece, except that a piece holds at least one event.
const maxBytes = 16 << 20

// piece is a transaction or, if it is big, a part of one.
type piece struct {
	xid       uint32
	number    uint64 // of the transaction, as the decoder counts them
	events    []cdc.Event
	bytes     int           // text in events
	end       pglogrepl.LSN // just after the transaction; 0: more of it follows
	committed time.Time     // by the server's clock
}

// cost counts a transaction without events too, so that they are bounded.
func (p piece) cost() int { return max(1, len(p.events)) }

// queue carries pieces from the reader to Next. A full queue makes the reader
// wait, and the server keep its log.
type queue struct {
	max   int           // events
	ready chan struct{} // holds one token after a change for Next
	room  chan struct{} // holds one token after a change for the reader

	mu     sync.Mutex // guards the fields below
	pieces []piece
	events int
	bytes  int
	idle   pglogrepl.LSN // nothing that isn't in pieces lies before it
}

func newQueue(maxEvents int) *queue {
	return &queue{max: maxEvents, ready: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// push appends p unless the queue is full. An empty queue takes anything.
func (q *queue) push(p piece) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.pieces) > 0 && (q.events+p.cost() > q.max || q.bytes+p.bytes > maxBytes) {
		return false
	}
	q.pieces = append(q.pieces, p)
	q.events += p.cost()
	q.bytes += p.bytes
	signal(q.ready)
	return true
}

// reach notes that the reader has pushed everything before lsn.
func (q *queue) reach(lsn pglogrepl.LSN) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if lsn > q.idle {
		q.idle = lsn
		signal(q.ready)
	}
}

// take removes the first pieces, of at most room events (the first piece counts
// as fitting). If it leaves the queue empty, idle is how far the reader is.
func (q *queue) take(room int) (pieces []piece, idle pglogrepl.LSN) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for n < len(q.pieces) && (n == 0 || q.pieces[n].cost() <= room) {
		room -= q.pieces[n].cost()
		q.events -= q.pieces[n].cost()
		q.bytes -= q.pieces[n].bytes
		n++
	}
	pieces = q.pieces[:n:n]
	q.pieces = q.pieces[n:]
	if len(q.pieces) > 0 {
		signal(q.ready)
		signal(q.room)
		return pieces, 0
	}
	q.pieces = nil
	signal(q.room)
	return pieces, q.idle
}

// signal leaves a token unless one is there.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
