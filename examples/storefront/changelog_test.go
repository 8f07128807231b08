package main

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/cdc"
)

func openChanges(t *testing.T, l *changelog, from string) cdc.Stream {
	t.Helper()
	stream, err := l.Open(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func closeChanges(t *testing.T, stream cdc.Stream) {
	t.Helper()
	if err := stream.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func nextBatch(t *testing.T, stream cdc.Stream) cdc.Batch {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b, err := stream.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// begin acknowledges the flush that a new log asks for.
func begin(t *testing.T, l *changelog) (position string) {
	t.Helper()
	stream := openChanges(t, l, "")
	b := nextBatch(t, stream)
	if !b.Lost || b.Position == "" {
		t.Fatalf("got %+v; want a lost batch with a position", b)
	}
	if err := stream.Ack(t.Context(), b.Position); err != nil {
		t.Fatal(err)
	}
	closeChanges(t, stream)
	return b.Position
}

func event(id string) cdc.Event {
	return cdc.Event{Entity: "t", Kind: cdc.Update, Rows: []cdc.Row{{"id": id}}}
}

func TestChangelogIsExclusive(t *testing.T) {
	l := newChangelog()
	stream := openChanges(t, l, "")
	if _, err := l.Open(t.Context(), ""); !errors.Is(err, cdc.ErrBusy) {
		t.Errorf("got %v; want ErrBusy", err)
	}
	closeChanges(t, stream)
	other := openChanges(t, l, "")
	closeChanges(t, stream) // again: must not free the other's
	if _, err := l.Open(t.Context(), ""); !errors.Is(err, cdc.ErrBusy) {
		t.Errorf("got %v; want ErrBusy", err)
	}
	closeChanges(t, other)
}

func TestChangelogResumes(t *testing.T) {
	l := newChangelog()
	from := begin(t, l)
	for _, id := range []string{"1", "2"} {
		l.append(event(id))
	}
	stream := openChanges(t, l, from)
	b := nextBatch(t, stream)
	if b.Lost || len(b.Events) != 2 {
		t.Fatalf("got %+v; want two events", b)
	}
	closeChanges(t, stream)

	l.append(event("3"))
	for i, c := range []struct {
		from string
		want int
	}{{from, 3}, {b.Position, 1}, {"", 3}} {
		stream := openChanges(t, l, c.from)
		if got := nextBatch(t, stream); got.Lost || len(got.Events) != c.want {
			t.Errorf("%d: from %q: got %+v; want %d events", i, c.from, got, c.want)
		}
		closeChanges(t, stream)
	}
}

func TestChangelogLost(t *testing.T) {
	l := newChangelog()
	from := begin(t, l)
	l.append(event("1"))
	for _, bad := range []string{"another/0", "x", l.position(99)} {
		for range 2 { // the second time because the first was not acknowledged
			stream := openChanges(t, l, bad)
			if b := nextBatch(t, stream); !b.Lost {
				t.Errorf("from %q: got %+v; want it lost", bad, b)
			}
			closeChanges(t, stream)
		}
		stream := openChanges(t, l, from)
		if b := nextBatch(t, stream); !b.Lost {
			t.Errorf("after %q: got %+v; want it lost until acknowledged", bad, b)
		} else if err := stream.Ack(t.Context(), b.Position); err != nil {
			t.Error(err)
		}
		closeChanges(t, stream)
	}
}

func TestChangelogOverflows(t *testing.T) {
	l := newChangelog()
	stream := openChanges(t, l, begin(t, l))
	for range maxChanges + 1 {
		l.append(event("1"))
	}
	if b := nextBatch(t, stream); !b.Lost {
		t.Errorf("got %d events; want a lost batch: the log is bounded", len(b.Events))
	}
	closeChanges(t, stream)
}

// TestMemoryShowsBeforeItTells: whoever is told of a change and then reads must see it.
func TestMemoryShowsBeforeItTells(t *testing.T) {
	m := newMemory(newSample())
	source, err := m.Source(catalogFeed, []string{"storefront.products"})
	if err != nil {
		t.Fatal(err)
	}
	stream := openChanges(t, source.(*changelog), "")
	nextBatch(t, stream) // lost
	changed := make(chan error, 1)
	go func() {
		var err error
		for cents := int64(1000); cents < 1200 && err == nil; cents++ {
			err = m.SetPrice(t.Context(), "prd_0001", cents)
			time.Sleep(100 * time.Microsecond)
		}
		changed <- err
	}()
	for seen := int64(0); seen < 1199; {
		b := nextBatch(t, stream)
		told := b.Events[len(b.Events)-1].Rows[0].Must("price_cents")
		list, err := m.PriceList(t.Context(), "acc_001", "jp")
		if err != nil {
			t.Fatal(err)
		}
		seen = list.Products[0].PriceCents
		if fmt.Sprint(seen) < told { // four digits each
			t.Fatalf("told of %s, but read %d", told, seen)
		}
	}
	if err := <-changed; err != nil {
		t.Fatal(err)
	}
	closeChanges(t, stream)
}
