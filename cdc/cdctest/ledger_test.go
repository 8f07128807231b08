package cdctest_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/cdc/cdctest"
)

// A Ledger objects to each step that comes too early, and to nothing else.
func TestLedger(t *testing.T) {
	lost := cdc.Batch{Lost: true, Position: "1"}
	rows := cdc.Batch{Position: "2", Events: []cdc.Event{
		{Entity: "rows", Kind: cdc.Update, Rows: []cdc.Row{{"id": "a"}}},
		{Entity: "rows", Kind: cdc.Update, Rows: []cdc.Row{{"id": "b"}}},
	}}
	part, rest := cdc.Batch{Events: rows.Events[:1]}, cdc.Batch{Events: rows.Events[1:], Position: "2"}
	unknown := cdc.Batch{Position: "2", Events: []cdc.Event{{Kind: cdc.Whole}}}
	for _, c := range []struct {
		name    string
		batches []cdc.Batch
		steps   string
		want    string // in the only problem; "": there is none
	}{
		{"a loss", []cdc.Batch{lost}, "next flush advance:-1 ack:1", ""},
		{"a loss that is not answered", []cdc.Batch{lost}, "next advance:-1", "before the flush"},
		{"read on before the loss is acknowledged", []cdc.Batch{lost, rows}, "next flush advance:-1 next", "the source was read"},
		{"rows", []cdc.Batch{rows}, "next invalidate:a,b advance:-2 ack:2", ""},
		{"rows, by a flush", []cdc.Batch{rows}, "next flush advance:-2 ack:2", ""},
		{"one row only", []cdc.Batch{rows}, "next invalidate:a advance:-2", `before "b" was invalidated`},
		{"invalidated before it came", []cdc.Batch{rows}, "invalidate:a,b next advance:-2", `before "a" was invalidated`},
		{"flushed before it came", []cdc.Batch{rows}, "flush next advance:-2", `before "a" was invalidated`},
		{"an entity that isn't known", []cdc.Batch{unknown}, "next flush advance:-2", ""},
		{"an entity that isn't known, not flushed", []cdc.Batch{unknown}, "next invalidate:a advance:-2", "before the flush"},
		{"a part of a transaction", []cdc.Batch{part, rest}, "next next invalidate:b advance:-2", `before "a" was invalidated`},
		{"acknowledged before the checkpoint", []cdc.Batch{rows}, "next invalidate:a,b ack:2", "before it was the checkpoint"},
		{"acknowledged where it was opened", []cdc.Batch{rows}, "ack:0", ""},
		{"a position of no batch", []cdc.Batch{rows}, "next invalidate:a,b advance:-7", "no batch of the stream carried"},
		{"a checkpoint that another moved", []cdc.Batch{rows}, "next advance:5-2", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			ledger := cdctest.NewLedger(func(e cdc.Event) []string { return []string{e.Rows[0]["id"]} })
			source, feed := ledger.Follower(scripted(c.batches))
			stream, err := source.Open(t.Context(), "0")
			if err != nil {
				t.Fatal(err)
			}
			for step := range strings.FieldsSeq(c.steps) {
				take(t, step, stream, feed)
			}
			switch problems := ledger.Problems(); {
			case c.want == "" && len(problems) > 0:
				t.Errorf("got %q; want no problem", problems)
			case c.want != "" && (len(problems) != 1 || !strings.Contains(problems[0], c.want)):
				t.Errorf("got %q; want one: %s", problems, c.want)
			}
		})
	}
}

// take does one step, such as "invalidate:a,b" or "advance:1-2".
func take(t *testing.T, step string, stream cdc.Stream, feed cdc.Feed) {
	t.Helper()
	ctx := t.Context()
	name, arg, _ := strings.Cut(step, ":")
	var err error
	switch name {
	case "next":
		_, err = stream.Next(ctx)
	case "flush":
		err = feed.Flush(ctx)
	case "invalidate":
		err = feed.Invalidate(ctx, strings.Split(arg, ",")...)
	case "advance":
		from, to, _ := strings.Cut(arg, "-")
		_, err = feed.Advance(ctx, "", from, to)
	case "ack":
		err = stream.Ack(ctx, arg)
	default:
		t.Fatalf("step %q", step)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// scripted is a source of these batches.
type scripted []cdc.Batch

func (s scripted) Identity() string { return "scripted" }

func (s scripted) Exclusive() bool { return true }

func (s scripted) Open(context.Context, string) (cdc.Stream, error) {
	return &script{left: s}, nil
}

type script struct {
	cdc.Stream
	left []cdc.Batch
}

func (s *script) Next(context.Context) (cdc.Batch, error) {
	if len(s.left) == 0 {
		return cdc.Batch{}, errors.New("ended")
	}
	b := s.left[0]
	s.left = s.left[1:]
	return b, nil
}

func (s *script) Ack(context.Context, string) error { return nil }

// An acknowledgement that the source didn't take is none.
func TestLedgerFailedAcknowledgement(t *testing.T) {
	ledger := cdctest.NewLedger(func(cdc.Event) []string { return nil })
	source, feed := ledger.Follower(refusing{scripted{{Position: "1"}}})
	stream, err := source.Open(t.Context(), "0")
	if err != nil {
		t.Fatal(err)
	}
	take(t, "next", stream, feed)
	take(t, "advance:-1", stream, feed)
	if err := stream.Ack(t.Context(), "1"); err == nil {
		t.Error("got no error; want the source's")
	}
	if got := ledger.Acknowledged(); got != "" {
		t.Errorf("got %q acknowledged; want nothing", got)
	}
	if problems := ledger.Problems(); len(problems) > 0 {
		t.Errorf("got %q; want no problem", problems)
	}
}

// refusing is a source that takes no acknowledgement.
type refusing struct{ scripted }

func (r refusing) Open(ctx context.Context, from string) (cdc.Stream, error) {
	st, err := r.scripted.Open(ctx, from)
	return refusingStream{st}, err
}

type refusingStream struct{ cdc.Stream }

func (refusingStream) Ack(context.Context, string) error { return errors.New("refused") }
