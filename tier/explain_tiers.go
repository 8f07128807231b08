package tier

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/tandem-cache/tandem/bus"
	"github.com/tandem-cache/tandem/local"
	"github.com/tandem-cache/tandem/remote"
)

const (
	maxExplained = 100 // names of a copy that are listed
	namesPerCall = 512 // asked of Redis at once
	whyUntrusted = "untrusted"
	whyFlushed   = "flushed"
	whyUnknown   = "unknown"
	whyUnasked   = "unasked"
)

// An explainer gathers what there is to say of one entry.
type explainer struct {
	space *space
	id    string
	l1    *local.Entry
	l2    *remote.Envelope
	raw   []byte            // of L2
	known map[string]uint64 // the last invalidation of each name, as this pod and Redis know it
	floor map[string]uint64 // of each name's bucket in Redis
}

// lookL1 returns L1's entry, valid or not, also one that ristretto does not show yet; loading says that a flight is under way.
func (x *explainer) lookL1() (e *local.Entry, loading bool) {
	c := x.space.cache
	c.flights.mu.Lock()
	if f := c.flights.byKey[flightKey{x.space.number, x.id}]; f != nil {
		e, loading = f.set, !f.finished
		if f.finished {
			e = f.entry
		}
	}
	c.flights.mu.Unlock()
	if e == nil {
		e = c.store.Get(x.space.number, x.id)
	}
	return e, loading
}

func (x *explainer) lookL2(ctx context.Context) *RemoteCopy {
	c := x.space.cache
	there := &RemoteCopy{LeftOut: c.breaker.isOpen()}
	ctx, cancel := c.remoteContext(ctx)
	defer cancel()
	sight, err := c.remote.Look(ctx, x.space.key(x.id))
	switch {
	case err != nil:
		there.Error = err.Error()
	case sight.Marker != nil:
		holder := sight.Marker.Token.Pod()
		there.Lease = &LeaseHeld{Pod: holder.String(), Here: holder == c.pod, LeftSeconds: sight.Left.Seconds(), Waited: sight.Marker.Waiters}
	case sight.Raw != nil:
		there.Held, there.Bytes, x.raw = true, len(sight.Raw), sight.Raw
		if x.l2, err = remote.Decode(sight.Raw); err != nil {
			there.Why = reasonTexts[reasonUnreadable]
		}
	}
	return there
}

// names are all that a copy stands on, or would.
func (x *explainer) names() []local.Name {
	names := x.space.names(x.id, 0, nil)
	if x.l1 != nil {
		names = append(names, x.l1.Names...)
	}
	if x.l2 != nil {
		names = append(names, x.space.names(x.id, x.l2.Tick, x.l2.Names)...)
	}
	slices.SortFunc(names, func(a, b local.Name) int { return cmp.Compare(a.Text, b.Text) })
	return slices.CompactFunc(names, func(a, b local.Name) bool { return a.Text == b.Text })
}

// learn finds out what this pod and Redis know of the names' invalidations.
func (x *explainer) learn(ctx context.Context, there *RemoteCopy) {
	c := x.space.cache
	names := x.names()
	for i, tick := range c.guard.Ticks(names) {
		x.known[names[i].Text] = tick
	}
	if there == nil || there.Error != "" {
		return
	}
	x.floor = make(map[string]uint64, len(names))
	for some := range slices.Chunk(names, namesPerCall) {
		if err := x.learnRemote(ctx, some); err != nil {
			there.Error = err.Error()
			return
		}
	}
}

func (x *explainer) learnRemote(ctx context.Context, names []local.Name) error {
	c := x.space.cache
	ctx, cancel := c.remoteContext(ctx)
	defer cancel()
	texts := make([]string, len(names))
	for i, n := range names {
		texts[i] = n.Text
	}
	known, err := c.remote.Known(ctx, texts)
	for i, k := range known {
		x.known[texts[i]] = max(x.known[texts[i]], k.Tick)
		x.floor[texts[i]] = k.Floor
	}
	return err
}

// explainL1 looks at all that space.usable does, and says what it finds first.
func (x *explainer) explainL1() Copy {
	c, e := x.space.cache, x.l1
	now := c.now()
	copied := Copy{
		Held: true, Absent: isAbsent(e.Value), AgeSeconds: max(0, now-e.Read).Seconds(), TTLSeconds: ttlSeconds(x.space.left(e, now)), Bytes: int(e.Cost),
	}
	copied.Names, copied.MoreNames = x.stoodOn(e.Names)
	found := c.guard.Look(e)
	switch {
	case found.Verdict == local.Dead && !found.Flushed:
		copied.Why = reasonTexts[reasonInvalidated]
	case now >= e.Expires:
		copied.Why = reasonTexts[reasonExpired]
	case !x.space.current(now, e.Read, extraOf(e).otherFeeds()):
		copied.Why = reasonTexts[reasonSilent]
	case !c.isTrusted():
		copied.Why = whyUntrusted
	case found.Flushed:
		copied.Why = whyFlushed
	case found.Verdict == local.Unknown:
		copied.Why = whyUnknown
	}
	copied.Valid = copied.Why == ""
	return copied
}

// errUnasked says that Redis was not asked, or did not answer.
var errUnasked = errors.New("unasked")

// explainL2 examines the value as a read does.
func (x *explainer) explainL2(there *RemoteCopy) {
	sp, env := x.space, x.l2
	there.Schema, there.Codec, there.KeyID, there.LoadedBy = env.Schema, env.Codec, env.KeyID, env.Token.Pod().String()
	there.Absent = env.Codec == absentCodec
	there.AgeSeconds = age(env).Seconds()
	if !env.Hard.IsZero() {
		there.TTLSeconds = ttlSeconds(sp.life(env))
	}
	there.Names, there.MoreNames = x.stoodOn(sp.names(x.id, env.Tick, env.Names))
	e, why, err := sp.examine(x.id, x.raw, sp.cache.guard.Number(), func(names []local.Name) (bool, error) { return x.judge(there, names) })
	switch {
	case err != nil:
		there.Why = whyUnasked
	case e == nil:
		there.Why = reasonTexts[why]
	default:
		there.Valid = true
		there.TTLSeconds = ttlSeconds(sp.left(e, sp.cache.now()))
	}
}

// judge is Cache.judge with what was learned already.
func (x *explainer) judge(there *RemoteCopy, names []local.Name) (bool, error) {
	if valid, known := x.space.cache.judgeHere(names); known {
		return valid, nil
	}
	if there.Error != "" {
		return false, errUnasked
	}
	valid := true
	for _, n := range names {
		floor := x.floor[n.Text]
		if n.Tick < floor || floor == 0 {
			there.Floor = max(there.Floor, floor, 1)
		}
		valid = valid && floor != 0 && n.Tick >= floor && n.Tick >= x.known[n.Text]
	}
	return valid, nil
}

// stoodOn lists names, those first that were invalidated since. Of a name with two ticks the lower one counts.
func (x *explainer) stoodOn(names []local.Name) (listed []StoodOn, more int) {
	lowest := make(map[string]uint64, len(names))
	for _, n := range names {
		if before, twice := lowest[n.Text]; !twice || n.Tick < before {
			lowest[n.Text] = n.Tick
		}
	}
	for _, n := range names {
		if tick, open := lowest[n.Text]; !open || tick != n.Tick {
			continue
		}
		delete(lowest, n.Text)
		listed = append(listed, StoodOn{Name: n.Text, Tick: n.Tick, Invalidated: x.known[n.Text]})
	}
	slices.SortStableFunc(listed, func(a, b StoodOn) int {
		return cmp.Compare(outdates(b), outdates(a))
	})
	if more = len(listed) - maxExplained; more > 0 {
		return listed[:maxExplained:maxExplained], more
	}
	return listed, 0
}

// outdates is 1 for a name that outdates its copy.
func outdates(n StoodOn) int {
	if n.Invalidated > n.Tick {
		return 1
	}
	return 0
}

// lastInvalidation is the last that is known of all names. Whose it was this pod remembers for a while, and the bus's journal longer.
func (x *explainer) lastInvalidation(ctx context.Context) *LastInvalidation {
	c := x.space.cache
	last := &LastInvalidation{}
	for name, tick := range x.known {
		if tick > last.Tick || tick == last.Tick && name < last.Name {
			last.Name, last.Tick = name, tick
		}
	}
	if last.Tick == 0 {
		return nil
	}
	if heard, ok := c.history.of(last.Tick); ok {
		last.Origin, last.At = heard.origin, heard.at.UTC()
	}
	if c.remote == nil { // there, ticks only count
		return last
	}
	if t := time.UnixMicro(int64(last.Tick)); t.Before(time.Now()) {
		last.NotAfter = t.UTC()
	}
	if last.Origin == "" {
		ctx, cancel := context.WithTimeout(ctx, journalPatience*c.cfg.RemoteTimeout)
		defer cancel()
		for m, err := range c.bus.Recent(ctx) {
			if err != nil {
				break
			}
			if m.Kind == bus.Invalidate && m.Tick == last.Tick {
				last.Origin = m.Origin
				break
			}
		}
	}
	return last
}

// journalPatience is how many RemoteTimeouts the search of the journal may take.
const journalPatience = 10

// ttlSeconds is 0 where there is no bound.
func ttlSeconds(left time.Duration) float64 {
	if left == local.NoExpiry {
		return 0
	}
	return max(0, left).Seconds()
}
