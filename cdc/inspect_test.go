package cdc_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-cache/tandem/cdc"
)

// inspected is the world's source, with streams that say what the world's inspection is.
type inspected struct{ source }

func (s inspected) Open(ctx context.Context, from string) (cdc.Stream, error) {
	st, err := s.source.Open(ctx, from)
	if err != nil {
		return nil, err
	}
	return inspectedStream{st, s.world}, nil
}

type inspectedStream struct {
	cdc.Stream
	w *world
}

func (s inspectedStream) Inspect() cdc.Inspection {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return s.w.inspection
}

// A problem of the open stream is the feed's, as long as it lasts, though the stream knows its lag.
func TestProblemOfAnOpenStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lines
		w := newWorld(t, batch("a"))
		cfg := w.config()
		cfg.Source, cfg.Logger = inspected{source{w}}, slog.New(slog.NewTextHandler(&log, nil))
		f, stop := run(t, cfg)
		defer stop()
		want := func(connected bool, problem string) {
			t.Helper()
			nap(1100 * time.Millisecond)
			w.mu.Lock()
			got := w.problem
			w.mu.Unlock()
			if st := f.Stats(); st.Connected != connected || st.Problem != problem || got != problem {
				t.Errorf("connected %v, problem %q, reported %q; want %v, %q", st.Connected, st.Problem, got, connected, problem)
			}
		}
		want(true, "")
		w.set(func() { w.inspection.Problems = map[string]string{"elsewhere": "gone"} })
		want(true, "") // an entity without a route outdates nothing
		w.set(func() { w.inspection.Problems = map[string]string{"t": "t is in no publication"} })
		want(false, "t is in no publication")
		nap(time.Minute)
		if st := f.Stats(); st.Lag < time.Minute {
			t.Errorf("lag %s; want it as long as the problem lasts", st.Lag)
		}
		w.set(func() { w.inspection.Problems = map[string]string{"": "the publication is gone"} })
		want(false, "the publication is gone")
		w.set(func() { w.inspection.Problems = nil })
		want(true, "")
		if st := f.Stats(); st.Lag != 0 {
			t.Errorf("lag %s; want 0", st.Lag)
		}
		if n := strings.Count(log.String(), "doesn't deliver all changes"); n != 2 {
			t.Errorf("the log has %d lines of it; want one when it begins, one when it changes:\n%s", n, &log)
		}
		if n := strings.Count(log.String(), "delivers all changes again"); n != 1 {
			t.Errorf("the log has %d lines of its end; want 1:\n%s", n, &log)
		}
	})
}

// Names that never meet are warnings: a route that nothing reaches, an entity without a route.
func TestWarnings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other := batch("a")
		other.Events[0].Entity, other.Events[0].Rows = "public.audit", nil
		w := newWorld(t)
		cfg := w.config()
		cfg.Source = inspected{source{w}}
		_, stop := run(t, cfg)
		defer stop()
		for _, step := range []struct {
			change func()
			want   []string
		}{
			{func() {}, nil},
			{func() { w.inspection.Entities = []string{"T"} }, []string{"the source delivers no changes of t, though there is a route: is the name right, is it published?"}},
			{func() { w.inspection.Problems = map[string]string{"t": "it is told there"} }, nil},
			{func() { w.inspection = cdc.Inspection{Entities: []string{"t"}, Warnings: []string{"a row filter"}} }, []string{"a row filter"}},
			{func() { w.batches = append(w.batches, other) }, []string{"no route for public.audit: its changes arrive and invalidate nothing", "a row filter"}},
		} {
			w.set(step.change)
			nap(1100 * time.Millisecond)
			w.mu.Lock()
			if diff := cmp.Diff(step.want, w.warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
			w.mu.Unlock()
		}
	})
}

// lines is a log.
type lines struct {
	mu sync.Mutex // guards the builder
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
