package cdctest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/cdc"
)

// probe is a test at work on a rig.
type probe struct {
	testing.TB
	rig  Rig
	made int             // rows
	old  map[string]bool // their ids
}

// change changes n rows that were never changed before, in one transaction.
func (p *probe) change(n int) (ids []string) {
	p.Helper()
	if p.old == nil {
		p.old = make(map[string]bool)
	}
	for range n {
		p.made++
		id := p.rig.ID(p.made)
		ids = append(ids, id)
		p.old[id] = true
	}
	p.rig.Change(ids...)
	return ids
}

// await polls until ok.
func (p *probe) await(what string, ok func() bool) {
	p.Helper()
	for end := time.Now().Add(p.rig.Patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			p.Fatalf("after %s still not: %s", p.rig.Patience, what)
		}
	}
}

// open opens the source; the stream ends with the test at the latest.
func (p *probe) open(from string) *reading {
	p.Helper()
	stream, err := p.tryOpen(from)
	if err != nil {
		p.Fatalf("open at %q: %v", from, err)
	}
	return p.read(stream)
}

func (p *probe) tryOpen(from string) (cdc.Stream, error) {
	ctx, cancel := context.WithTimeout(context.Background(), p.rig.Patience)
	defer cancel()
	return p.rig.Source.Open(ctx, from)
}

// reopen opens the source, which another stream may have held until just now.
func (p *probe) reopen(from string) *reading {
	p.Helper()
	var stream cdc.Stream
	p.await("open", func() bool {
		var err error
		stream, err = p.tryOpen(from)
		return err == nil
	})
	return p.read(stream)
}

func (p *probe) read(stream cdc.Stream) *reading {
	r := &reading{probe: p, stream: stream}
	p.Cleanup(r.close)
	return r
}

// begin opens a source that was never acknowledged anything, and acknowledges its
// flush.
func (p *probe) begin() *reading {
	p.Helper()
	r := p.open("")
	r.ack(r.lost().Position)
	return r
}

// ids are the rows of an event, each once; none: the event is of the whole entity.
func (p *probe) ids(e cdc.Event) (ids []string) {
	if e.Kind != cdc.Insert && e.Kind != cdc.Update && e.Kind != cdc.Delete {
		return nil
	}
	for _, row := range e.Rows {
		if id := row[p.rig.Column]; !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// isContext reports whether err is the end of a context.
func isContext(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}
