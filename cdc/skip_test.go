package cdc_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-cache/tandem/cdc"
)

// skipping is the world's source, with streams that note what the follower needs no more.
type skipping struct {
	source
	skipped *[]string
}

func (s skipping) Open(ctx context.Context, from string) (cdc.Stream, error) {
	st, err := s.source.Open(ctx, from)
	if err != nil {
		return nil, err
	}
	return skippingStream{st, s.skipped}, nil
}

type skippingStream struct {
	cdc.Stream
	skipped *[]string
}

func (s skippingStream) Skip(transaction, entity string) {
	*s.skipped = append(*s.skipped, transaction+" "+entity)
}

// The stream hears of a collapse, once for a transaction and an entity, and of nothing else.
func TestStreamHearsOfACollapse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rules := []cdc.Rule{{Names: []string{"{id}"}}}
		w := newWorld(t, part(false, in("a", "t1"), in("a", "u1"), in("a", "t2"), in("a", "t3")), part(true, in("a", "t4")), part(true, in("b", "t5")))
		w.set(func() { w.names[""] = time.Now().Add(time.Hour) })
		var skipped []string
		cfg := w.config()
		cfg.Source, cfg.Collapse = skipping{source{w}, &skipped}, 1
		cfg.Routes = cdc.Routes{"t": {Rules: rules, All: []string{"all-t"}}, "u": {Rules: rules, All: []string{"all-u"}}}
		f, stop := run(t, cfg)
		nap(500 * time.Millisecond)
		stop()
		if diff := cmp.Diff([]string{"a t"}, skipped); diff != "" || f.Stats().Collapsed != 1 {
			t.Errorf("skipped (-want +got):\n%s", diff)
		}
	})
}
