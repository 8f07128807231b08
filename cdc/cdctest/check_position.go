package cdctest

import (
	"strings"

	"github.com/tandem-cache/tandem/cdc"
)

// identity: a source has a name that a checkpoint can carry, without a secret, the same before and after it was opened.
func identity(p *probe) {
	id := p.rig.Source.Identity()
	if err := cdc.CheckIdentity(id); err != nil {
		p.Error(err)
	}
	for _, secret := range p.rig.Secrets {
		if strings.Contains(id, secret) {
			p.Error("the identity has a secret")
		}
	}
	p.begin().close()
	p.reopen("").close()
	if again := p.rig.Source.Identity(); again != id {
		p.Errorf("the identity was %q and is %q", id, again)
	}
}

// startWithoutPosition: a source that was never read begins with a loss, again and
// again until that is acknowledged, and what changes after it was handed over comes.
func startWithoutPosition(p *probe) {
	r := p.open("")
	r.lost()
	r.close()

	r = p.reopen("")
	b := r.lost()
	flushing := p.change(2)
	r.ack(b.Position)
	r.take(flushing)
	later := p.change(1)
	r.take(later)
	r.close()

	r = p.reopen(b.Position)
	r.take(flushing, later)
}

// resume: after each position exactly what follows it comes.
func resume(p *probe) {
	r := p.begin()
	var made [][]string
	var positions []string
	for n := range 5 {
		made = append(made, p.change(1+n%3))
		positions = append(positions, r.at(r.take(made[n])))
	}
	r.close()
	for n, position := range positions {
		r := p.reopen(position)
		if rest := made[n+1:]; len(rest) > 0 {
			r.take(rest...)
		}
		if n >= len(positions)-2 {
			r.silent()
		}
		if n == len(positions)-1 {
			r.take(p.change(1))
		}
		r.close()
	}
}

// redeliver: what was not acknowledged comes again.
func redeliver(p *probe) {
	r := p.begin()
	first := p.change(2)
	position := r.at(r.take(first))
	second := p.change(3)
	r.take(second)
	r.close() // the follower died

	r = p.reopen(position)
	r.take(second)
	r.close()

	r = p.reopen("")
	if !p.rig.Remembers {
		r.lost()
		return
	}
	r.take(first, second)
	r.close()

	r = p.reopen(position)
	r.take(second)
	r.ack(position) // that it was opened at
	r.close()

	r = p.reopen("")
	r.take(second)
}

// positionLost: a position that the source can't start at is a loss, until that was
// acknowledged.
func positionLost(p *probe) {
	r := p.begin()
	position := r.at(r.take(p.change(1)))
	r.ack(position)
	r.close()
	p.rig.Lose()
	for range 2 {
		r = p.reopen(position)
		r.lost()
		r.close()
	}
	goesOnAfterLoss(p, position)
}

// malformedPosition: a position that no source wrote is a loss as well.
func malformedPosition(p *probe) {
	r := p.begin()
	r.take(p.change(1))
	r.close()
	for _, bad := range []string{"no source wrote this", "0", "\x00\xff"} {
		r = p.reopen(bad)
		r.lost()
		r.close()
	}
	goesOnAfterLoss(p, "no source wrote this")
}

// goesOnAfterLoss acknowledges the loss at from and reads on, in the same stream and
// in the next.
func goesOnAfterLoss(p *probe, from string) {
	p.Helper()
	r := p.reopen(from)
	b := r.lost()
	flushing := p.change(2)
	r.ack(b.Position)
	position := r.at(r.take(flushing))
	r.ack(position)
	after := p.change(1)
	r.take(after)
	r.silent()
	r.close()

	r = p.reopen(position)
	r.take(after)
}
