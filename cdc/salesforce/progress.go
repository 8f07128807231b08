package salesforce

import (
	"sync"
	"time"
)

// quietAfter is for how long the service must have had nothing to say before the stream counts as caught up. That is an assumption: the
// service says nothing for up to 270 s when it has nothing, and what it has comes at once, as far as is known. A stream that is
// silent because it died passes for caught up too, until the watchdog ends it.
const quietAfter = 5 * time.Second

// progress knows whether the stream has caught up.
type progress struct {
	mu     sync.Mutex // guards the fields below
	begun  bool       // the subscription is known to have begun where it should: it names a place, or has answered
	known  bool       // a response came, or none for quietAfter
	asked  time.Time  // when the subscription was begun; zero: there is none
	heard  time.Time  // when its last response came; zero: none did
	behind time.Time  // when the last event was committed that came late; zero: it came in time
	inHand time.Time  // when the events came that are being decoded; zero: none are
}

// subscribed notes that a subscription begins: after a place, or at the end of the topic.
func (p *progress) subscribed(now time.Time, atEnd bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked, p.heard, p.inHand = now, time.Time{}, time.Time{}
	p.begun = !atEnd
	if atEnd {
		p.behind = time.Time{}
	}
}

// received notes that events came, which are decoded before response is called: to fetch their schema may take a while, and quiet that isn't.
func (p *progress) received(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.quietLocked(now) {
		p.behind = time.Time{} // that backlog had ended
	}
	p.inHand = now
}

// response notes what the service sent. committed is when its last event was; zero: there was none, or none has said so yet. An event that
// comes late is one of a backlog, and more may be on their way.
func (p *progress) response(now, committed time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begun, p.known, p.heard, p.inHand = true, true, now, time.Time{}
	p.behind = time.Time{}
	if !committed.IsZero() && now.Sub(committed) > quietAfter {
		p.behind = committed
	}
}

// parked notes that the subscription was ended for want of room. since is when the last event that was received was committed, or received.
func (p *progress) parked(since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked, p.heard, p.behind = time.Time{}, time.Time{}, since
}

// end notes that the stream has ended, or that changes are lost and no subscription is known to have begun since.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begun = false
}

// lag implements cdc.Stream's Lag. oldest is since when the first event waits for Next; zero: none does.
func (p *progress) lag(now, oldest time.Time) (lag time.Duration, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	quiet := p.quietLocked(now)
	if !p.begun || !p.known && !quiet {
		return 0, false
	}
	p.known = true
	switch {
	case !oldest.IsZero():
		return max(1, now.Sub(oldest)), true // 0 would say that nothing waits
	case !p.inHand.IsZero():
		if !p.behind.IsZero() && p.behind.Before(p.inHand) {
			return now.Sub(p.behind), true
		}
		return max(1, now.Sub(p.inHand)), true
	case !p.behind.IsZero() && !quiet:
		return max(1, now.Sub(p.behind)), true
	default:
		return 0, true
	}
}

// quietLocked says that the service has said nothing for so long that there is nothing.
func (p *progress) quietLocked(now time.Time) bool {
	last := p.asked
	if p.heard.After(last) {
		last = p.heard
	}
	return !last.IsZero() && now.Sub(last) >= quietAfter
}
