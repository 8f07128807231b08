package cdctest

import (
	"slices"

	"github.com/tandem-cache/tandem/cdc"
)

// wholeEntity: a change that can't be attributed to rows comes in its place, and
// what follows it comes too.
func wholeEntity(p *probe) {
	r := p.begin()
	before := p.change(1)
	r.take(before)
	p.rig.Whole()
	after := p.change(1)
	wholes, rows := 0, 0
	for rows == 0 {
		b := r.next()
		for _, e := range b.Events {
			switch ids := p.ids(e); {
			case len(ids) == 0:
				wholes++
			case slices.Equal(ids, after):
				rows++
			default:
				p.Fatalf("got rows %v; want an event of the whole entity, and then row %v", ids, after)
			}
			if rows == 0 && wholes == 0 {
				p.Fatal("the row after the event of the whole entity came first")
			}
		}
	}
	if wholes == 0 {
		p.Error("got no event of the whole entity before what changed after it")
	}
	position := r.position
	r.close()

	r = p.reopen(position)
	r.silent()
	r.take(p.change(1))
}

// transactions: from the position of any batch, the rest of a transaction that
// the batch lies in comes again; events of a transaction are known as such.
func transactions(p *probe) {
	r := p.begin()
	begun := r.position
	var made [][]string
	for _, rows := range []int{1, 2*p.rig.MaxBatch + 1, 1, 3, p.rig.MaxBatch, 2} {
		made = append(made, p.change(rows))
	}
	batches := r.take(made...)
	r.at(batches)
	r.close()
	sameTransaction(p, made, batches)

	seen := 0
	all := slices.Concat(made...)
	reopenAt(p, begun, all)
	for _, b := range batches {
		for _, e := range b.Events {
			seen += len(p.ids(e))
		}
		if b.Position != "" {
			reopenAt(p, b.Position, all[seen:])
		}
	}
}

// reopenAt asserts that from a position at least these rows come.
func reopenAt(p *probe, from string, rows []string) {
	p.Helper()
	r := p.reopen(from)
	defer r.close()
	left := make(map[string]bool)
	for _, id := range rows {
		left[id] = true
	}
	for len(left) > 0 {
		b, err := r.tryNext(p.rig.Patience)
		if err != nil || b.Lost {
			p.Fatalf("from %q: %v, lost %t, and %d of the %d rows behind it haven't come", from, err, b.Lost, len(left), len(rows))
		}
		for _, e := range b.Events {
			for _, id := range p.ids(e) {
				delete(left, id)
			}
		}
	}
}

// sameTransaction asserts that Event.Transaction, if the source gives it, is one in
// each transaction, and another in the next.
func sameTransaction(p *probe, made [][]string, batches []cdc.Batch) {
	p.Helper()
	of := make(map[string]int)
	for n, ids := range made {
		for _, id := range ids {
			of[id] = n
		}
	}
	names := make([]map[string]bool, len(made))
	given := false
	for _, b := range batches {
		for _, e := range b.Events {
			for _, id := range p.ids(e) {
				n := of[id]
				if names[n] == nil {
					names[n] = make(map[string]bool)
				}
				names[n][e.Transaction] = true
				given = given || e.Transaction != ""
			}
		}
	}
	for n, in := range names {
		if len(in) != 1 || given && in[""] {
			p.Errorf("the events of transaction %d have Event.Transaction %v; want one, or none in all events", n, in)
		}
		if n == 0 || !given {
			continue
		}
		for name := range in {
			if names[n-1][name] {
				p.Errorf("transactions %d and %d have the same Event.Transaction %q", n-1, n, name)
			}
		}
	}
}

// batchLimit: no batch holds more events than the source was told, whether they are
// of one transaction or of many. Every batch of every check is looked at; here are
// those that come closest.
func batchLimit(p *probe) {
	r := p.begin()
	r.close()
	begun := r.position
	var made [][]string
	for range 2*p.rig.MaxBatch + 1 {
		made = append(made, p.change(1))
	}
	made = append(made, p.change(3*p.rig.MaxBatch+1))
	r = p.reopen(begun)
	r.take(made...)
}
