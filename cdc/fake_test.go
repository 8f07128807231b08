package cdc_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandem-cache/tandem/cdc"
)

var errDown = errors.New("down")

// malformedError is how a feed refuses a name for good.
type malformedError struct{}

func (malformedError) Error() string   { return "malformed name" }
func (malformedError) Permanent() bool { return true }

// world is a source and a feed in memory. It checks what must hold at each step
// and notes the steps.
type world struct {
	t *testing.T

	mu         sync.Mutex // guards the fields below
	steps      []string
	hook       func(step string) error // runs before each step; its error fails it
	after      func(step string) error // runs after the step took effect
	batches    []cdc.Batch             // the source's log; its positions are "1", "2", …, by index
	acked      int                     // position acknowledged upstream
	checkpoint string
	foreign    string // the source that the checkpoint is of; "": ours
	refusals   []string
	bare       bool   // the feed has no checkpoint, where checkpoint is ""
	server     string // that holds the checkpoint
	lostBelow  int    // opening below this is a gap
	busy       bool
	shared     bool          // the source is not exclusive
	leader     string        // of the feed's lease; "": nobody
	leads      time.Time     // until then
	opening    time.Duration // how long Open takes
	broken     error         // Next fails with it
	opened     int
	closed     int
	lag        time.Duration
	unknown    bool
	bad        map[string]bool      // names refused as malformed
	names      map[string]time.Time // when each was invalidated last
	flushed    int
	flushedAt  time.Time // last
	settle     time.Duration
	taken      map[int]time.Time // when each batch, by its index, was last taken; -1: the one that is Lost
	reports    []report
	counts     map[string]uint64 // of the last report
	problem    string            // of the last report
	warnings   []string          // of the last report
	inspection cdc.Inspection    // what an inspector says
	reportErr  error
}

type report struct {
	connected bool
	position  string
	lag       time.Duration
}

func newWorld(t *testing.T, batches ...cdc.Batch) *world {
	return &world{t: t, batches: batches, names: make(map[string]time.Time), bad: make(map[string]bool), taken: make(map[int]time.Time)}
}

// step notes a step and runs the hook.
func (w *world) step(format string, args ...any) error {
	s := fmt.Sprintf(format, args...)
	w.mu.Lock()
	w.steps = append(w.steps, s)
	hook := w.hook
	w.mu.Unlock()
	if hook != nil {
		return hook(s)
	}
	return nil
}

func (w *world) end(format string, args ...any) error {
	w.mu.Lock()
	after := w.after
	w.mu.Unlock()
	if after != nil {
		return after(fmt.Sprintf(format, args...))
	}
	return nil
}

// set changes the world under its lock.
func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func (w *world) count(prefix string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.steps {
		if strings.HasPrefix(s, prefix) {
			n++
		}
	}
	return n
}

func index(position string) int {
	n, _ := strconv.Atoi(position)
	return n
}

// feed implements cdc.Feed.
type feed struct{ *world }

func (f feed) Invalidate(ctx context.Context, names ...string) error {
	if len(names) > 500 {
		f.t.Errorf("got %d names at once", len(names))
	}
	if err := f.step("invalidate %s", strings.Join(names, " ")); err != nil {
		return err
	}
	f.mu.Lock()
	if slices.ContainsFunc(names, func(n string) bool { return f.bad[n] }) {
		f.mu.Unlock()
		return fmt.Errorf("feed: %w", malformedError{})
	}
	for _, n := range names {
		f.names[n] = time.Now()
	}
	f.mu.Unlock()
	return errors.Join(f.end("invalidate %s", strings.Join(names, " ")), ctx.Err())
}

func (f feed) Flush(ctx context.Context) error {
	if err := f.step("flush"); err != nil {
		return err
	}
	f.set(func() { f.flushed++; f.flushedAt = time.Now() })
	return errors.Join(f.end("flush"), ctx.Err())
}

func (f feed) Checkpoint(ctx context.Context) (position, server string, err error) {
	if err := f.step("checkpoint"); err != nil {
		return "", "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.checkpoint == "" && f.bare {
		return "", f.server, ctx.Err()
	}
	return f.owner() + "\n" + cmp.Or(f.checkpoint, atStart), f.server, ctx.Err()
}

// atStart is the position of a feed that was followed before and has seen nothing of the log. Steps show it as "".
const atStart = "start"

// owner is the source that the checkpoint is of.
func (w *world) owner() string { return cmp.Or(w.foreign, source{w}.Identity()) }

// strip takes the source off a checkpoint.
func strip(t *testing.T, text string) string {
	owner, position, _ := strings.Cut(text, "\n")
	if text != "" && owner != "world" {
		t.Errorf("the checkpoint %q names another source", text)
	}
	if position == atStart {
		return ""
	}
	return position
}

func (f feed) Advance(ctx context.Context, server, from, to string) (bool, error) {
	from, to = strip(f.t, from), strip(f.t, to)
	if err := f.step("advance %s-%s", from, to); err != nil {
		return false, err
	}
	f.mu.Lock()
	if from != f.checkpoint || server != f.server {
		f.mu.Unlock()
		return false, nil
	}
	f.appliedLocked(index(to))
	f.checkpoint = to
	f.mu.Unlock()
	return true, errors.Join(f.end("advance %s-%s", from, to), ctx.Err())
}

// appliedLocked checks that everything up to a position reached the cache, and
// reached it again a settle time after it was taken.
func (f feed) appliedLocked(to int) {
	for i, b := range f.batches[:to] {
		for _, e := range b.Events {
			for _, r := range e.Rows {
				at, ok := f.names[r["name"]]
				if !ok && f.flushed == 0 {
					f.t.Errorf("checkpoint %d before %q was invalidated", to, r["name"])
				}
				if ok && at.Before(f.taken[i].Add(f.settle)) {
					f.t.Errorf("checkpoint %d before %q was repeated", to, r["name"])
				}
			}
		}
	}
	if at, ok := f.taken[-1]; ok && f.flushedAt.Before(at.Add(f.settle)) {
		f.t.Errorf("checkpoint %d before the flush was repeated", to)
	}
	if f.lostBelow > index(f.checkpoint) && f.flushed == 0 {
		f.t.Errorf("checkpoint %d before the flush", to)
	}
}

func (f feed) Lead(_ context.Context, holder string, ttl time.Duration) (bool, error) {
	if err := f.step("lead"); err != nil {
		return false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.leader != "" && f.leader != holder && time.Now().Before(f.leads) {
		return false, nil
	}
	f.leader, f.leads = holder, time.Now().Add(ttl)
	return true, nil
}

func (f feed) Resign(_ context.Context, holder string) error {
	if err := f.step("resign"); err != nil {
		return err
	}
	f.set(func() {
		if f.leader == holder {
			f.leader = ""
		}
	})
	return nil
}

func (f feed) Refuse(_ context.Context, problem string) error {
	f.set(func() { f.refusals = append(f.refusals, problem) })
	return nil
}

func (f feed) Report(_ context.Context, problem string, warnings []string, position string, _ time.Time, lag time.Duration, counts map[string]uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reports = append(f.reports, report{problem == "", position, lag})
	f.problem, f.warnings, f.counts = problem, warnings, counts
	return f.reportErr
}

// source implements cdc.Source.
type source struct{ *world }

func (s source) Identity() string { return "world" }

func (s source) Exclusive() bool { return !s.shared }

func (s source) Open(_ context.Context, from string) (cdc.Stream, error) {
	if from == atStart {
		from = ""
	}
	if err := s.step("open %s", from); err != nil {
		return nil, err
	}
	s.mu.Lock()
	opening := s.opening
	s.mu.Unlock()
	time.Sleep(opening)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy {
		return nil, fmt.Errorf("source: %w", cdc.ErrBusy)
	}
	s.opened++
	at := index(from)
	if from == "" {
		at = s.acked
	}
	st := &stream{world: s.world, at: at, changed: make(chan struct{})}
	if at < s.lostBelow {
		st.at, st.lost = s.lostBelow, true
	}
	return st, nil
}

type stream struct {
	*world
	at      int
	lost    bool
	begin   bool // the stream begins when its first batch is acknowledged
	closed  bool
	changed chan struct{}
}

func (s *stream) Next(ctx context.Context) (cdc.Batch, error) {
	for {
		b, ok, err := s.poll()
		if ok || err != nil {
			return b, err
		}
		select {
		case <-ctx.Done():
			return cdc.Batch{}, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (s *stream) poll() (cdc.Batch, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return cdc.Batch{}, false, errors.New("closed")
	case s.broken != nil:
		return cdc.Batch{}, false, s.broken
	case s.begin:
		s.t.Error("read on before the lost batch was acknowledged")
		return cdc.Batch{}, false, errors.New("not begun")
	case s.lost:
		s.lost, s.begin = false, true
		s.taken[-1] = time.Now()
		return cdc.Batch{Lost: true, Position: strconv.Itoa(s.at)}, true, nil
	case s.at < len(s.batches):
		b := s.batches[s.at]
		s.taken[s.at] = time.Now()
		s.at++
		if b.Position == "" {
			b.Position = strconv.Itoa(s.at)
		}
		if b.Position == "none" {
			b.Position = ""
		}
		s.steps = append(s.steps, "next "+b.Position)
		return b, true, nil
	}
	return cdc.Batch{}, false, nil
}

func (s *stream) Ack(ctx context.Context, position string) error {
	if position == atStart {
		return nil
	}
	if err := s.step("ack %s", position); err != nil {
		return err
	}
	s.mu.Lock()
	if index(position) > index(s.checkpoint) {
		s.t.Errorf("acknowledged %s with checkpoint %s", position, s.checkpoint)
	}
	s.acked = max(s.acked, index(position))
	s.begin = false
	s.mu.Unlock()
	return errors.Join(s.end("ack %s", position), ctx.Err())
}

func (s *stream) Lag() (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lag, !s.unknown
}

func (s *stream) Close(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		s.t.Error("closed twice")
	}
	s.closed = true
	s.world.closed++
	return nil
}

// batch is one event of entity "t" for each name.
func batch(names ...string) cdc.Batch {
	b := cdc.Batch{Oldest: time.Now(), Committed: time.Now()}
	for _, n := range names {
		b.Events = append(b.Events, cdc.Event{Entity: "t", Kind: cdc.Update, Rows: []cdc.Row{{"name": n}}})
	}
	return b
}

func (w *world) config() cdc.FollowerConfig {
	return cdc.FollowerConfig{
		Source: source{w},
		Feed:   feed{w},
		Routes: cdc.Routes{"t": {Row: func(r cdc.Row) []string { return []string{r.Must("name")} }, All: []string{"all-t"}}},
		Logger: slog.New(slog.DiscardHandler),
		Rewind: time.Millisecond,
		Settle: w.settle,
	}
}

// run starts a follower; stop ends it and waits.
func run(t *testing.T, cfg cdc.FollowerConfig) (f *cdc.Follower, stop func()) {
	t.Helper()
	f, err := cdc.NewFollower(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return f, start(t, f)
}

// start runs f; stop ends it and waits.
func start(t *testing.T, f *cdc.Follower) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

// nap sleeps in the bubble until everything else does.
func nap(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
