package cdctest

import (
	"context"
	"math/rand/v2"
	"time"
)

// contextEnds: the end of the context that Next was given ends the wait, and
// nothing is lost, however short it is.
func contextEnds(p *probe) {
	r := p.begin()
	r.endsAfter(p.rig.Quiet)
	r.endsByCancel(p.rig.Quiet)

	var made [][]string
	var got wanted
	got.reading = r
	for n := range 60 {
		made = append(made, p.change(1+n%3))
		got.left = append(got.left, made[n])
		for range 5 {
			r.glance(&got, 0) // it has ended already
			r.glance(&got, time.Duration(rand.Int64N(int64(2*time.Millisecond))))
		}
	}
	p.await("all changes after many interrupted waits", func() bool {
		r.glance(&got, time.Duration(rand.Int64N(int64(20*time.Millisecond))))
		return len(got.left) == 0
	})
	r.silent()
}

// glance looks for a batch for d.
func (r *reading) glance(w *wanted, d time.Duration) {
	r.Helper()
	b, err := r.tryNext(d)
	if err != nil && !isContext(err) {
		r.Fatalf("next: %v", err)
	}
	if b.Lost {
		r.Fatal("changes were lost")
	}
	if err == nil {
		w.see(b.Events)
	}
}

// endsAfter asserts that a wait ends at the deadline of its context.
func (r *reading) endsAfter(d time.Duration) {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	r.endsWith(ctx, d)
}

// endsByCancel asserts that a wait ends when its context is cancelled.
func (r *reading) endsByCancel(after time.Duration) {
	r.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	time.AfterFunc(after, cancel)
	r.endsWith(ctx, after)
}

func (r *reading) endsWith(ctx context.Context, d time.Duration) {
	r.Helper()
	for late := 0; late < 100; {
		_, err := r.nextUntil(ctx, d)
		switch {
		case err != nil && !isContext(err):
			r.Fatalf("next: got %v; want the error of the context", err)
		case err != nil:
			return
		case ctx.Err() != nil:
			late++ // what was there already may still come
		}
	}
	r.Fatal("next: its context has ended, and an idle stream still returns batches")
}

// closeBlocked: a stream that waited for a batch can be closed at once, twice, and
// leaves no goroutine.
func closeBlocked(p *probe) {
	r := p.begin() // so that what a rig starts for its first connection is there
	r.close()
	before := goroutines()
	for range 3 {
		r = p.reopen(r.position)
		r.endsByCancel(p.rig.Quiet / 10)
		r.close()
		if err := r.closeWithin(p.rig.Patience); err != nil {
			p.Errorf("the second close: %v", err)
		}
	}
	p.leavesNone(before)
}

// closeFrozen: Close ends in time though the server says nothing, and no goroutine
// stays when it does again.
func closeFrozen(p *probe) {
	r := p.begin()
	r.close()
	before := goroutines()
	r = p.reopen(r.position)
	r.endsByCancel(p.rig.Quiet / 10)
	p.rig.Freeze()
	p.change(3) // on its way
	r.endsAfter(p.rig.Quiet)
	const within = 2 * time.Second
	r.closed = true
	if err := r.closeWithin(within); err != nil && !isContext(err) {
		p.Errorf("close: %v", err)
	}
	p.rig.Thaw()
	p.leavesNone(before)
	r = p.reopen(r.position)
	r.next()
}
