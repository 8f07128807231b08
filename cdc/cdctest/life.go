package cdctest

import (
	"slices"
	"strings"
	"time"
)

// The steps of a follower, as a book is told of them.
const (
	stepOpen       = "open"      // before the source is opened at Position
	stepRead       = "read"      // before Next
	stepDelivered  = "delivered" // a batch with Names, a Position, and Lost
	stepInvalidate = "invalidate"
	stepFlush      = "flush"
	stepCheckpoint = "checkpoint"
	stepAdvance    = "advance" // from From to Position
	stepAck        = "ack"     // before Position is acknowledged
	stepAcked      = "acked"   // when the source has taken that
	stepLead       = "lead"
	stepResign     = "resign"
	stepReport     = "report"
)

// entry is a step of a follower. Its fields are exported for its way between
// processes.
type entry struct {
	Step     string
	Names    []string
	Position string
	From     string
	Lost     bool
	Unknown  bool // a change of an entity that the source can't name
	Holder   string
	TTL      time.Duration
	Report   Report
}

// answer is what becomes of a step.
type answer struct {
	Position string
	OK       bool
}

// book takes the steps of one follower.
type book interface {
	enter(entry) (answer, error)
}

// life is the book of one follower in a Ledger.
type life struct {
	ledger *Ledger

	// Guarded by ledger.mu.
	pending []delivery // of this stream, not checkpointed, oldest first
	stored  []string   // checkpoints that may be acknowledged, oldest first
	unread  string     // position of a Lost batch that is not acknowledged; "": there is none
}

// delivery is a batch that came.
type delivery struct {
	names    []string
	position string
	flush    bool // it must be answered with a flush
	at       uint64
}

func (f *life) enter(e entry) (answer, error) {
	l := f.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	l.steps[e.Step]++
	switch e.Step {
	case stepOpen:
		f.pending, f.stored, f.unread = nil, []string{e.Position}, ""
	case stepRead:
		if f.unread != "" {
			l.problemLocked("the source was read before the loss at %q was acknowledged", f.unread)
		}
	case stepDelivered:
		f.deliverLocked(e)
	case stepInvalidate:
		l.clock++
		for _, name := range e.Names {
			l.invalidated[name] = l.clock
		}
	case stepFlush:
		l.clock++
		l.flushed = l.clock
		l.flushes++
	case stepCheckpoint:
		return answer{Position: l.checkpoint}, nil
	case stepAdvance:
		return answer{OK: f.advanceLocked(e.From, e.Position)}, nil
	case stepAck:
		f.ackLocked(e.Position)
	case stepAcked:
		f.ackedLocked(e.Position)
	case stepLead:
		return answer{OK: l.leadLocked(e.Holder, e.TTL)}, nil
	case stepResign:
		if l.leader == e.Holder {
			l.leader = ""
		}
	case stepReport:
		l.report = e.Report
	}
	return answer{}, nil
}

func (f *life) deliverLocked(e entry) {
	f.ledger.clock++
	f.pending = append(f.pending, delivery{names: e.Names, position: e.Position, flush: e.Lost || e.Unknown, at: f.ledger.clock})
	if e.Lost {
		f.unread = e.Position
	}
}

func (f *life) advanceLocked(from, to string) bool {
	l := f.ledger
	if from != l.checkpoint {
		return false
	}
	position := to[strings.LastIndexByte(to, '\n')+1:] // behind the source's name
	n := slices.IndexFunc(f.pending, func(d delivery) bool { return d.position == position })
	if n < 0 {
		l.problemLocked("the checkpoint moved to %q, which no batch of the stream carried", to)
	}
	for _, d := range f.pending[:n+1] {
		if name := l.staleLocked(d.names, d.at); name != "" {
			l.problemLocked("the checkpoint moved to %q before %q was invalidated", to, name)
		}
		if d.flush && l.flushed <= d.at {
			l.problemLocked("the checkpoint moved to %q before the flush", to)
		}
	}
	f.pending = f.pending[n+1:]
	f.stored = append(f.stored, position)
	l.checkpoint = to
	return true
}

func (f *life) ackLocked(position string) {
	l := f.ledger
	n := slices.Index(f.stored, position)
	if n < 0 {
		l.problemLocked("%q was acknowledged before it was the checkpoint", position)
	} else {
		f.stored = f.stored[n:]
	}
}

// ackedLocked counts an acknowledgement. It isn't counted before the source has returned: a source may need the time, as one that makes its slot
// then, and a follower that was stopped in between has not acknowledged.
func (f *life) ackedLocked(position string) {
	f.ledger.acked = position
	if f.unread == position {
		f.unread = ""
	}
}

func (l *Ledger) leadLocked(holder string, ttl time.Duration) bool {
	if l.leader != "" && l.leader != holder && time.Now().Before(l.until) {
		return false
	}
	l.leader, l.until = holder, time.Now().Add(ttl)
	return true
}
