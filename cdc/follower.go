package cdc

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tandem-cache/tandem/internal/episode"
)

// errSteppedDown ends a session whose checkpoint was moved by somebody else, or
// lies on another server than before.
var errSteppedDown = errors.New("cdc: the checkpoint was moved by somebody else")

// closeTimeout bounds the end of a stream.
const closeTimeout = 5 * time.Second

// Follower applies the changes of one source to one feed. Its methods may be
// called from any goroutine.
type Follower struct {
	cfg    FollowerConfig
	router router // made of cfg.Routes, which the caller may change
	log    *slog.Logger
	holder string // this follower, as the lease of the feed knows it

	identity string // the source's
	// What goes wrong for a while is logged when it begins, each 30 s, and when it ends.
	away  episode.Episode // there is no stream
	holds episode.Episode // the cache does not take a batch
	blind episode.Episode // the checkpoint can't be read
	unled episode.Episode // the lease can't be extended

	mu       sync.Mutex // guards the fields below
	running  bool
	stats    Stats     // Connected and Lag are computed when asked for
	stream   Stream    // nil: disconnected
	held     []held    // batches that were taken and are not applied yet, oldest first
	caughtUp time.Time // everything committed before was applied, as last known
	known    bool      // stats.Position and server were read from the feed
	foreign  bool      // the last attempt found another source's checkpoint
	covering bool      // the stream is open, and the flush that a feed without a checkpoint begins with is not made
	server   string    // that holds the checkpoint
	unrouted tally     // stats.Unrouted by entity
	poison   tally     // stats.Poisonous by entity
	// poisonLogged is when the last one was logged, by entity as poison has it.
	poisonLogged map[string]time.Time
}

// held is when a batch was taken, and when its oldest change was committed.
type held struct{ taken, oldest time.Time }

// NewFollower checks cfg and makes a follower, which does nothing before Run. It declares the routes to the Feed, if that is a [Declarer].
func NewFollower(cfg FollowerConfig) (*Follower, error) {
	cfg, err := cfg.withDefaults()
	router, wrong := cfg.Routes.compile()
	if err := errors.Join(err, wrong); err != nil {
		return nil, err
	}
	identity := cfg.Source.Identity()
	if err := CheckIdentity(identity); err != nil {
		return nil, err
	}
	if err := router.declare(cfg.Feed); err != nil {
		return nil, err
	}
	if s, ok := cfg.Source.(Selector); ok {
		s.Select(slices.Sorted(maps.Keys(router)))
	}
	return &Follower{
		cfg: cfg, router: router, log: logger(cfg), holder: rand.Text(), identity: identity, unrouted: make(tally), poison: make(tally), poisonLogged: make(map[string]time.Time),
	}, nil
}

// logger names in each line the feed, and its cache, if the Feed has them to tell.
func logger(cfg FollowerConfig) *slog.Logger {
	log := cfg.Logger
	if named, ok := cfg.Feed.(interface{ Name() string }); ok {
		log = log.With("feed", named.Name())
	}
	if named, ok := cfg.Feed.(interface{ CacheName() string }); ok {
		log = log.With("cache", named.CacheName())
	}
	return log
}

// Run follows the source until ctx ends, whatever fails, and then returns nil.
// It owns everything that the follower starts. The only error is that the
// follower runs already.
func (f *Follower) Run(ctx context.Context) error {
	if !f.start() {
		return errors.New("cdc: the follower runs already")
	}
	defer f.end()
	var wg sync.WaitGroup
	wg.Go(func() { f.report(ctx) })
	defer wg.Wait()

	retry := f.backoff()
	for ctx.Err() == nil {
		err := f.follow(ctx, &retry)
		f.pause(ctx, err, &retry)
	}
	return nil
}

func (f *Follower) start() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running {
		return false
	}
	f.running, f.caughtUp = true, time.Now()
	return true
}

func (f *Follower) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running = false
}

func (f *Follower) backoff() backoff {
	return backoff{lowest: f.cfg.MinBackoff, highest: f.cfg.MaxBackoff}
}

// follow opens the source at the checkpoint and applies batches until something
// fails. retry is reset by the first one that is applied, and by a stream that
// lasts for MaxBackoff.
func (f *Follower) follow(ctx context.Context, retry *backoff) error {
	stored, server, err := f.readCheckpoint(ctx)
	if err != nil {
		return err
	}
	if !f.cfg.Source.Exclusive() {
		if err := f.lead(ctx); err != nil {
			return err
		}
		defer f.resign(ctx)
		if stored, server, err = f.readCheckpoint(ctx); err != nil { // what the leader before has moved
			return err
		}
	}
	from := stored.position
	f.resume(ctx, from, server)
	stream, err := f.open(ctx, from)
	if err != nil {
		f.leadsWithout(err)
		return fmt.Errorf("cdc: open the source: %w", err)
	}
	f.opened(stream, from == "")
	attrs := []any{"from", from}
	if so, was := f.away.Ends(); was {
		attrs = so.Attrs(attrs...)
	}
	f.log.InfoContext(ctx, "cdc: follows the source", attrs...)
	defer f.closeStream(ctx, stream)
	s := session{
		f: f, stream: stream, server: server, stored: stored.text, uncovered: from == "",
		acks: newAckQueue(f.cfg.Rewind, from), routing: newRouting(f.cfg.Collapse),
	}
	if skipper, ok := stream.(Skipper); ok {
		s.routing.skip = skipper.Skip
	}
	return s.run(ctx, retry)
}

// leadsWithout notes that the source cannot be opened. A follower that has the lease does not stand by, whatever it did before: no other could
// say what keeps the feed from being connected.
func (f *Follower) leadsWithout(err error) {
	if !f.cfg.Source.Exclusive() && !errors.Is(err, ErrBusy) {
		f.count(func(s *Stats) { s.Standby = false })
	}
}

// readCheckpoint returns the feed's checkpoint. That it is another source's is an error, and told apart from others by foreign: it is found
// before the lease is asked for, which the other source's follower has.
func (f *Follower) readCheckpoint(ctx context.Context) (checkpoint, string, error) {
	text, server, err := f.cfg.Feed.Checkpoint(ctx)
	if err != nil {
		return checkpoint{}, "", fmt.Errorf("cdc: read the checkpoint: %w", err)
	}
	c := parseCheckpoint(text)
	err = c.of(f.identity)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.foreign = err != nil
	return c, server, err
}

// resume notes the checkpoint that is about to be opened. On another server than
// before, it is a rewind: what that one forgot is applied again. On the same, if
// it isn't the checkpoint this follower knew, another follower is active: not a
// word from this one before it has the source.
func (f *Follower) resume(ctx context.Context, from, server string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case !f.known:
	case server != f.server:
		f.stats.Rewinds++
		f.log.WarnContext(ctx, "cdc: the cache's server is another, starts again from the checkpoint that it has",
			"had", f.stats.Position, "has", from)
	case from != f.stats.Position:
		f.stats.Standby = true
	}
	f.stats.Position, f.server, f.known = from, server, true
}

func (f *Follower) opened(stream Stream, covering bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stream, f.covering = stream, covering
	f.stats.Standby = false
	f.stats.Opened++
}

// closeStream ends the stream also when ctx has ended.
func (f *Follower) closeStream(ctx context.Context, stream Stream) {
	f.mu.Lock()
	f.stream, f.held, f.covering = nil, nil, false
	f.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := stream.Close(ctx); err != nil {
		f.log.WarnContext(ctx, "cdc: the stream didn't close well", "error", err)
	}
}

// pause waits before the source is opened again.
func (f *Follower) pause(ctx context.Context, err error, retry *backoff) {
	if ctx.Err() != nil {
		return
	}
	f.count(func(s *Stats) { s.Problem = err.Error() })
	wait := f.cfg.Standby
	var back <-chan struct{} // a source that wants to be left alone is
	switch {
	case errors.Is(err, ErrBusy):
		f.standBy(ctx)
		retry.reset()
	case errors.Is(err, errSteppedDown):
		f.count(func(s *Stats) { s.StepDowns++ })
		wait = retry.next()
		f.log.WarnContext(ctx, "cdc: stepped down, starts again from the stored checkpoint", "pause", wait)
	default:
		if retryAfter(err) == 0 {
			back = f.back()
		}
		wait = max(retry.next(), retryAfter(err))
		if so, due := f.away.Fails(); due {
			f.disconnected(ctx, so.Attrs("error", err, "pause", wait)...)
		}
	}
	_ = sleepUntil(ctx, wait, back) // the caller looks at ctx
}

// disconnected logs that the follower has no stream. Of one that stands by nobody misses it: another follows.
func (f *Follower) disconnected(ctx context.Context, attrs ...any) {
	f.mu.Lock()
	standby := f.stats.Standby
	f.mu.Unlock()
	if standby {
		f.log.InfoContext(ctx, "cdc: stands by, and can't see whether it is needed", attrs...)
		return
	}
	f.log.ErrorContext(ctx, "cdc: disconnected", attrs...)
}

// retryAfter is how long the source wants to be left alone after err.
func retryAfter(err error) time.Duration {
	var slow interface{ RetryAfter() time.Duration }
	if errors.As(err, &slow) {
		return slow.RetryAfter()
	}
	return 0
}

func (f *Follower) standBy(ctx context.Context) {
	f.mu.Lock()
	before := f.stats.Standby
	f.stats.Standby = true
	f.mu.Unlock()
	f.away.Ends() // it has heard that another follows
	if !before {
		f.log.InfoContext(ctx, "cdc: another follower holds the source, stands by")
	}
}

func (f *Follower) count(change func(*Stats)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.stats)
}
