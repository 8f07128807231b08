package cdctest

import (
	"errors"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/tandem-cache/tandem/cdc"
)

// streamCut: a stream that is cut ends with an error, and the next one goes on after
// the last position.
func streamCut(p *probe) {
	r := p.begin()
	position := r.at(r.take(p.change(2)))
	p.rig.Cut()
	waiting := p.change(3)
	r.breaks()
	r.close()

	r = p.reopen(position)
	r.take(waiting)
	r.take(p.change(1))
}

// breaks waits until the stream ends with an error that isn't of a context. What
// it handed over before doesn't count.
func (r *reading) breaks() {
	r.Helper()
	for end := time.Now().Add(r.rig.Patience); ; {
		_, err := r.tryNext(time.Until(end))
		switch {
		case err == nil:
		case isContext(err):
			r.Fatal("the stream doesn't notice that it was cut")
		default:
			r.noSecret(err)
			return
		}
	}
}

// expiredCredentials: Open fails with an error that names no secret and isn't taken
// for a loss, and when they are good again it goes on.
func expiredCredentials(p *probe) {
	r := p.begin()
	first := p.change(1)
	position := r.at(r.take(first))
	r.close()
	after := p.change(2)
	p.rig.Revoke()
	for _, from := range []string{position, ""} {
		p.await("an error of Open", func() bool { // one that was made before may still be good for a moment
			stream, err := p.tryOpen(from)
			if err != nil {
				if errors.Is(err, cdc.ErrBusy) {
					p.Errorf("got %v; want an error that isn't ErrBusy", err)
				}
				p.noSecret(err)
				return true
			}
			r := p.read(stream)
			b, err := r.tryNext(p.rig.Patience)
			r.close()
			if err != nil && !isContext(err) {
				p.noSecret(err)
				return true
			}
			if b.Lost && from != "" {
				p.Fatal("worthless credentials were taken for a loss")
			}
			return false
		})
	}
	p.rig.Grant()
	r = p.reopen(position)
	r.take(after)
}

func (p *probe) noSecret(err error) {
	p.Helper()
	for _, secret := range p.rig.Secrets {
		if strings.Contains(err.Error(), secret) {
			p.Errorf("an error names a secret of %d bytes", len(secret))
		}
	}
}

// slowConsumer: while nobody calls Next the source holds little, and then everything
// comes; if the stream has ended meanwhile, from the next one.
func slowConsumer(p *probe) {
	r := p.begin()
	r.close()
	begun := r.position
	var made [][]string
	for n := p.rig.Flood; n > 0; n -= 100 {
		made = append(made, p.change(min(n, 100)))
	}

	idle := heap()
	r = p.reopen(begun)
	time.Sleep(p.rig.Pause)
	held := heap() - idle

	var all []cdc.Batch
	w := wanted{reading: r, left: made}
	for len(w.left) > 0 {
		b, err := w.tryNext(p.rig.Patience)
		switch {
		case err == nil && !b.Lost:
			w.see(b.Events)
			all = append(all, b)
		case err == nil:
			p.Fatal("a slow consumer lost changes")
		case isContext(err):
			p.Fatalf("%d of %d transactions don't come", len(w.left), len(made))
		default:
			p.Logf("the stream ended while nobody read it: %v", err)
			w.close()
			at := w.position
			if at == "" {
				at = begun
			}
			w.reading = p.reopen(at)
			w.left = following(made, w.left)
		}
	}
	if whole := heap() - idle; held > whole/2 {
		p.Errorf("the source held %d kB while nobody read it, and all %d rows take %d kB; want much less", held>>10, p.rig.Flood, whole>>10)
	}
	runtime.KeepAlive(all)
	w.take(p.change(1))
}

// following is what may come once more after a resume: the transaction that was cut
// comes as a whole.
func following(made, left [][]string) [][]string {
	n := len(made) - len(left)
	return slices.Clone(made[n:])
}

func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// exclusive: a source says truly whether a second stream can be open; the first one
// lives in either case.
func exclusive(p *probe) {
	first := p.begin()
	first.take(p.change(1))
	position := first.position
	stream, err := p.tryOpen(position)
	waiting := p.change(2)
	switch {
	case p.rig.Source.Exclusive():
		if !errors.Is(err, cdc.ErrBusy) {
			p.Errorf("the source says that it is exclusive: the second open: got %v; want ErrBusy", err)
		}
	case err != nil:
		p.Fatalf("the source says that it isn't exclusive: the second open: %v", err)
	default:
		second := p.read(stream)
		second.take(waiting)
		second.close()
	}
	first.take(waiting)
	first.close()
	p.reopen(position).take(waiting)
}
