package tier

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tandem-cache/tandem/bus"
	"github.com/tandem-cache/tandem/remote"
)

// A Feed is the cache as one change feed sees it: what a cdc.Follower needs. Its methods may be called from any goroutine.
type Feed struct {
	cache *Cache
	name  string
}

// MaxCounts is how many counts a report of a feed may carry.
const MaxCounts = 32

const (
	maxProblem  = 256 // bytes of a problem or a warning that a report carries
	maxWarnings = 8   // that a report carries
)

// Feed returns the part of the cache that belongs to the feed called name, as the strategies of spaces name it. After Close its error
// is [ErrClosed].
func (c *Cache) Feed(name string) (*Feed, error) {
	if err := checkWord("feed", name); err != nil {
		return nil, fmt.Errorf("tier: %w", err)
	}
	if c.flights.isClosed() {
		return nil, fmt.Errorf("tier: feed %q: %w", name, ErrClosed)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addFeedLocked(name)
	return &Feed{cache: c, name: name}, nil
}

// Name returns the feed's name.
func (f *Feed) Name() string { return f.name }

// CacheName returns the name of the cache.
func (f *Feed) CacheName() string { return f.cache.cfg.Name }

// Invalidate is [Cache.Invalidate] with the feed as origin.
func (f *Feed) Invalidate(ctx context.Context, names ...string) error {
	return f.cache.invalidate(ctx, f.name, names)
}

// Flush outdates every entry of the spaces that the feed covers, on every pod.
func (f *Feed) Flush(ctx context.Context) error {
	return f.cache.invalidate(ctx, f.name, []string{feedName + f.name})
}

// Checkpoint returns the position up to which the feed's changes are applied, or "", and the identity of the Redis that knows it. It
// lives in Redis beside the data; with L1 alone, in memory.
func (f *Feed) Checkpoint(ctx context.Context) (position, server string, err error) {
	if f.cache.remote == nil {
		return f.state().checkpoint(), "", nil
	}
	ctx, cancel := f.cache.remoteContext(ctx)
	defer cancel()
	began := time.Now()
	position, server, err = f.cache.remote.Checkpoint(ctx, f.name)
	return position, server, f.cache.checked(began, err)
}

// Advance moves the checkpoint. It is false when the checkpoint is not at from, since another follower moved it, or when another
// Redis than server answers: what was invalidated there since the checkpoint was read may be lost.
func (f *Feed) Advance(ctx context.Context, server, from, to string) (bool, error) {
	if f.cache.remote == nil {
		return f.state().advance(from, to), nil
	}
	ctx, cancel := f.cache.remoteContext(ctx)
	defer cancel()
	began := time.Now()
	ok, err := f.cache.remote.Advance(ctx, f.name, server, from, to)
	return ok, f.cache.checked(began, err)
}

// Lead takes or extends the lease of the feed for holder, until ttl has passed. It is false when another holds it. The lease lives in
// Redis; with L1 alone, in memory. It keeps most of the time a single follower at a source that several could follow at once; that
// nothing is lost where two do is the checkpoint's work.
func (f *Feed) Lead(ctx context.Context, holder string, ttl time.Duration) (bool, error) {
	if f.cache.remote == nil {
		return f.state().lead(holder, time.Now(), ttl), nil
	}
	ctx, cancel := f.cache.remoteContext(ctx)
	defer cancel()
	began := time.Now()
	ok, err := f.cache.remote.Lead(ctx, f.name, holder, ttl)
	return ok, f.cache.checked(began, err)
}

// Resign gives the lease back, if holder has it.
func (f *Feed) Resign(ctx context.Context, holder string) error {
	if f.cache.remote == nil {
		f.state().resign(holder)
		return nil
	}
	ctx, cancel := f.cache.remoteContext(ctx)
	defer cancel()
	began := time.Now()
	return f.cache.checked(began, f.cache.remote.Resign(ctx, f.name, holder))
}

// Forget removes the checkpoint: the next follower flushes what the feed covers, and may be of another source than the one before. Stop the
// followers of that before.
func (f *Feed) Forget(ctx context.Context) error {
	if f.cache.remote == nil {
		f.state().forget()
		return nil
	}
	ctx, cancel := f.cache.remoteContext(ctx)
	defer cancel()
	return f.cache.remote.Forget(ctx, f.name)
}

// Refuse tells every pod that a follower may not follow the feed, since its checkpoint is of another source, and why (the first 512 bytes are
// told). While that is heard, and for 5 s after, the spaces that the feed covers fall back, whatever the other's follower reports: nobody
// brings what this one would.
func (f *Feed) Refuse(ctx context.Context, problem string) error {
	return f.tell(ctx, bus.FeedStatus{Feed: f.name, Problem: clip(problem, 2*maxProblem), Refused: true})
}

// Report tells every pod how the feed is: what keeps its follower from being connected ("": it is; the first 256 bytes are told), what else
// a reader of health should know (the first 8 warnings are told, 256 bytes of each), the position and commit time of the last applied change, how long ago the oldest change not yet applied was committed, and counts for health
// to show, at most MaxCounts. Send one each second: a pod that hears none for FeedLimit falls back.
func (f *Feed) Report(ctx context.Context, problem string, warnings []string, position string, committed time.Time, lag time.Duration, counts map[string]uint64) error {
	if len(counts) > MaxCounts {
		return fmt.Errorf("tier: report of the feed %q: %d counts: at most %d", f.name, len(counts), MaxCounts)
	}
	status := bus.FeedStatus{Feed: f.name, Connected: problem == "", Position: position, LagMS: lag.Milliseconds(), Counts: maps.Clone(counts)}
	status.Problem = told(problem)
	for _, w := range warnings[:min(len(warnings), maxWarnings)] {
		status.Warnings = append(status.Warnings, told(w))
	}
	if !committed.IsZero() {
		status.CommittedMS = committed.UnixMilli()
	}
	return f.tell(ctx, status)
}

// clip returns the first bytes of a text, and no part of a rune.
func clip(text string, most int) string {
	return strings.ToValidUTF8(text[:min(len(text), most)], "")
}

// tell tells this pod and every other.
func (f *Feed) tell(ctx context.Context, status bus.FeedStatus) error {
	f.cache.hearFeed(status, true)
	if f.cache.bus == nil {
		return nil
	}
	limited, cancel := f.cache.remoteContext(ctx)
	defer cancel()
	f.tellRoutes(limited)
	return f.cache.report(ctx, status)
}

// report sends a status to the other pods. Where Redis takes no numbered message, it is sent as a notice, with that as its problem: PUBLISH is
// no write to a Redis that is full, can't persist or lacks replicas. A notice proves nothing of the feed, so it never says connected.
func (c *Cache) report(ctx context.Context, status bus.FeedStatus) error {
	began := time.Now()
	limited, cancel := c.remoteContext(ctx)
	defer cancel()
	err := c.bus.Publish(limited, bus.Message{Kind: bus.Feed, Status: &status})
	c.stats.remoteCall(opReport, began, err)
	if !remote.ReasonOf(err).Refusal() {
		return err
	}
	status.Connected, status.Problem = false, cmp.Or(status.Problem, told("reports are refused: "+err.Error()))
	limited, cancel = c.remoteContext(ctx)
	defer cancel()
	_ = c.bus.Notify(limited, bus.Message{Kind: bus.Feed, Status: &status}) // best effort: the caller has the error
	return err
}

// told is what a report carries of a sentence.
func told(sentence string) string {
	return clip(sentence, maxProblem)
}

func (f *Feed) state() *feedState {
	f.cache.mu.RLock()
	defer f.cache.mu.RUnlock()
	return f.cache.feeds[f.name]
}

// feedState is what this pod knows of a feed that one of its spaces names or that it follows.
type feedState struct {
	freshUntil atomic.Int64 // on the cache's clock; see hearFeed

	mu       sync.Mutex // guards the fields below
	status   bus.FeedStatus
	heard    time.Time // zero: never
	refusal  string    // what a follower of another source last said
	refused  time.Time // when that was heard; zero: never
	position string    // the checkpoint of L1 alone
	holder   string    // of the lease of L1 alone, until it ends; "": nobody
	ends     time.Time
	declared []string  // the kinds of names that its routes can give, as a follower of this pod says
	told     time.Time // when other pods were last told
}

func (s *feedState) checkpoint() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.position
}

func (s *feedState) advance(from, to string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.position != from && s.position != to {
		return false
	}
	s.position = to
	return true
}

func (s *feedState) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.position = ""
}

func (s *feedState) lead(holder string, now time.Time, ttl time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holder != "" && s.holder != holder && now.Before(s.ends) {
		return false
	}
	s.holder, s.ends = holder, now.Add(ttl)
	return true
}

func (s *feedState) resign(holder string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holder == holder {
		s.holder = ""
	}
}

func (s *feedState) last() (bus.FeedStatus, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status, s.heard
}

// lastRefusal is what a follower of another source said lately; "": none did.
func (s *feedState) lastRefusal() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !recent(s.refused) {
		return ""
	}
	return s.refusal
}

func (c *Cache) addFeedLocked(name string) *feedState {
	if c.feeds[name] == nil {
		c.feeds[name] = &feedState{}
	}
	return c.feeds[name]
}

// hearFeed notes a report; lately says that it was sent less than MaxStaleness ago. Feeds that nothing here names are not kept.
//
// A connected feed has applied what was committed up to its lag ago, and is fresh until FeedLimit after that moment. So one that
// lags too far is not fresh, one that says nothing ceases to be by itself, also while this pod is paused, and one whose follower
// reconnects within the limit stays fresh: a report of no connection changes nothing. The moment may go back, when a follower
// starts again from an earlier checkpoint.
//
// While a follower of another source is refused, no report makes the feed fresh: the one that reports has not the changes of the other.
//
// A report that was long under way proves nothing. Those of other pods are numbered, so what a pod hears while it is trusted was
// published after its last proof. Were that not asked:
//
//	1 pod: paused, or cut off
//	2 follower: reports, and dies
//	3 pod: wakes a minute later, hears the report, and takes the feed as fresh for another FeedLimit
func (c *Cache) hearFeed(status bus.FeedStatus, lately bool) {
	c.mu.RLock()
	s := c.feeds[status.Feed]
	c.mu.RUnlock()
	if s == nil {
		c.unmatched.heardOf(status.Feed)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if status.Refused {
		s.refusal, s.refused = status.Problem, time.Now()
		s.freshUntil.Store(0)
		return
	}
	if !status.Connected && s.status.Connected && recent(s.heard) {
		return // of a second follower, as a rule; if the first one is gone it will be silent
	}
	s.status, s.heard = status, time.Now()
	if status.Connected && lately && !recent(s.refused) {
		s.freshUntil.Store(int64(c.now() - status.Lag() + c.cfg.FeedLimit))
	}
}

// freshFor is how long the feed stays fresh if nothing more is heard of it; not above 0: its spaces have fallen back.
func (c *Cache) freshFor(s *feedState) time.Duration {
	return time.Duration(s.freshUntil.Load()) - c.now()
}

// current says whether what was read from the source at an instant of the cache's clock is not too old: it may be any age while
// every feed of the space is fresh, and so are those that cover what it was made from; and FallbackTTL otherwise.
func (sp *space) current(now, read time.Duration, also []*feedState) bool {
	fresh := true
	for _, feed := range sp.feeds {
		fresh = fresh && feed.isFresh(now)
	}
	for _, feed := range also {
		fresh = fresh && feed.isFresh(now)
	}
	return fresh || now-read < sp.cache.cfg.FallbackTTL
}

// fallback says whether one of the space's feeds is not fresh.
func (sp *space) fallback() bool {
	now := sp.cache.now()
	return slices.ContainsFunc(sp.feeds, func(feed *feedState) bool { return !feed.isFresh(now) })
}

func (s *feedState) isFresh(now time.Duration) bool { return int64(now) < s.freshUntil.Load() }

// feedNamed returns what this pod knows of a feed. One that nothing here names is never fresh.
func (c *Cache) feedNamed(name string) *feedState {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if s := c.feeds[name]; s != nil {
		return s
	}
	return &feedState{}
}
