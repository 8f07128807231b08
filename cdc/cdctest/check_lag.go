package cdctest

import "time"

// idleProgress: changes that concern nobody move the position, and it is good.
func idleProgress(p *probe) {
	r := p.begin()
	begun := r.position
	p.rig.Unrelated()
	for r.position == begun {
		if b := r.next(); len(b.Events) > 0 || b.Lost {
			p.Fatalf("got %d events, lost %t; want a position alone", len(b.Events), b.Lost)
		}
	}
	position := r.position
	r.ack(position)
	after := p.change(1)
	r.take(after)
	r.close()

	r = p.reopen(position)
	r.take(after)
	r.silent()
}

// lag: it becomes known on an idle source, counts a change that waits, and is 0
// again when that was handed over.
func lag(p *probe) {
	r := p.begin()
	caughtUp := func() bool {
		if b, err := r.tryNext(20 * time.Millisecond); err == nil && len(b.Events) > 0 || err != nil && !isContext(err) {
			p.Fatalf("next: got %d events, %v; want nothing", len(b.Events), err)
		}
		lag, known := r.stream.Lag()
		return known && lag == 0
	}
	p.await("a known lag of 0 on an idle source", caughtUp)
	waiting := p.change(1)
	var least time.Duration
	p.await("a lag that grows while a change waits", func() bool {
		lag, known := r.stream.Lag()
		if known && least == 0 {
			least = lag
		}
		return known && least > 0 && lag > least
	})
	r.take(waiting)
	p.await("a known lag of 0 after the change was handed over", caughtUp)
	r.close()
	r.stream.Lag() // may be called still
}
