package postgres

import (
	"sync"
	"time"

	"github.com/jackc/pglogrepl"
)

// maxMarks bounds the marks that are waiting; one that is left out makes the lag look
// longer, never shorter.
const maxMarks = 128

// staleMark is the age from which the newest mark no longer proves that the
// stream has caught up.
const staleMark = 3 * markEvery

// progress knows the lag. Once a second the end of the server's log is marked
// with the time; when Next has handed over everything before a mark, all that
// was committed before that time is handed over. This needs neither a change to
// arrive nor the server's clock.
type progress struct {
	mu        sync.Mutex // guards the fields below
	waiting   []mark     // not reached yet, oldest first
	newest    time.Time  // when the newest mark was set
	reached   time.Time  // time of the newest mark that was reached
	committed time.Time  // when the last change handed over was committed
	handed    pglogrepl.LSN
	apart     time.Duration // least distance of the marks in waiting, but for the newest
}

type mark struct {
	at  time.Time // before the log's end was read
	lsn pglogrepl.LSN
}

// set adds a mark.
func (p *progress) set(m mark) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.newest = m.at
	if m.lsn <= p.handed {
		p.reached, p.waiting, p.apart = m.at, nil, 0
		return
	}
	// The newest is always kept; those before it, at a distance.
	if n := len(p.waiting); n > 1 && m.at.Sub(p.waiting[n-2].at) < p.apart {
		p.waiting[n-1] = m
		return
	}
	if len(p.waiting) == maxMarks {
		p.thinLocked()
	}
	p.waiting = append(p.waiting, m)
}

// thinLocked drops every second mark, and keeps later ones as far apart.
func (p *progress) thinLocked() {
	kept := p.waiting[:0]
	for i := 0; i < len(p.waiting); i += 2 {
		kept = append(kept, p.waiting[i])
	}
	p.waiting = kept
	p.apart = 2 * max(p.apart, markEvery)
}

// hand notes that everything before lsn was handed over. committed may be zero.
func (p *progress) hand(lsn pglogrepl.LSN, committed time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !committed.IsZero() {
		p.committed = committed
	}
	if lsn <= p.handed {
		return
	}
	p.handed = lsn
	n := 0
	for n < len(p.waiting) && p.waiting[n].lsn <= lsn {
		p.reached = p.waiting[n].at
		n++
	}
	if p.waiting = p.waiting[n:]; len(p.waiting) == 0 {
		p.apart = 0
	}
}

// lag is right to a second or so. Before the first mark is reached it is known
// from the commit times alone.
func (p *progress) lag(now time.Time) (lag time.Duration, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.reached.IsZero() && p.committed.IsZero():
		return 0, false
	case p.reached.IsZero():
		return max(0, now.Sub(p.committed)), true
	case len(p.waiting) == 0 && now.Sub(p.newest) < staleMark:
		return 0, true
	default:
		return now.Sub(p.reached), true
	}
}
