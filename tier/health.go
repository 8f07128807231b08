package tier

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// silence is how long a feed may go without a report before health calls it silent. Followers report each second.
const silence = 5 * time.Second

func recent(heard time.Time) bool { return !heard.IsZero() && time.Since(heard) < silence }

// HealthHandler answers, as JSON:
//
//	GET /health                  the cache: Redis, L1, every feed, the domains
//	GET /health/{domain}/cache   one domain: hits and misses of each bucket since the start of the pod, invalidations, TTLs
//	GET /health/cdc/{feed}       one feed: connected, position, lag, the spaces it covers
//
// Hits are those of L1 and L2 together; a miss is a load started; callers who shared a load are counted in the metrics alone.
// The status is 200 also when something is degraded, since the pod still answers, and 503 once the cache is closed.
func (c *Cache) HealthHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, r *http.Request) {
		status := http.StatusOK
		if c.flights.isClosed() {
			status = http.StatusServiceUnavailable
		}
		writeJSON(w, status, c.Health(r.Context()))
	})
	mux.HandleFunc("GET /health/{part}/{name}", func(w http.ResponseWriter, r *http.Request) {
		switch part, name := r.PathValue("part"), r.PathValue("name"); {
		case part == "cdc":
			body, ok := c.feedHealth(name)
			writeFound(w, body, ok, "no space or follower of this feed")
		case name == "cache":
			body, ok := c.domainHealth(part)
			writeFound(w, body, ok, "no space of this domain")
		default:
			writeFound(w, nil, false, "ask for /health, /health/{domain}/cache or /health/cdc/{feed}")
		}
	})
	return mux
}

// Health is what GET /health answers.
type Health struct {
	Timestamp string                `json:"timestamp"`
	Status    string                `json:"status"` // "ok", "degraded": slower, or less fresh; "closed"
	Problems  []string              `json:"problems"`
	Warnings  []string              `json:"warnings"` // settings that weaken a promise
	Cache     string                `json:"cache"`
	Pod       string                `json:"pod"` // this one's name, new at each start; Explain tells others by theirs
	Redis     RedisHealth           `json:"redis"`
	L1        L1Health              `json:"l1"`
	Bus       *BusHealth            `json:"bus,omitempty"` // with Redis
	Feeds     map[string]FeedHealth `json:"feeds"`
	Domains   []string              `json:"domains"`
	Spaces    []SpaceHealth         `json:"spaces"`
}

// SpaceHealth names a space as its owner did.
type SpaceHealth struct {
	Name     string `json:"name"`
	Bucket   string `json:"bucket"`   // in its domain's health
	Strategy string `json:"strategy"` // as Strategy.String writes it
	Fallback bool   `json:"fallback"` // one of its feeds is silent: entries live for FallbackTTL

	// Changed are paths within its values that the codec did not bring back as they were, at most 16; see SpaceConfig.AllowLoss.
	Changed []string `json:"changed,omitempty"`
}

// RedisHealth says whether Redis answers.
type RedisHealth struct {
	Configured bool    `json:"configured"`
	Connected  bool    `json:"connected"`
	LatencyMS  float64 `json:"latencyMs"` // of a ping just now
	Error      string  `json:"error,omitempty"`

	LeftOut           bool    `json:"leftOut"`                  // reads go to the source without asking, until Redis answers again
	LeftOutForSeconds float64 `json:"leftOutForSeconds"`        // since then
	LeftOutBecause    string  `json:"leftOutBecause,omitempty"` // what the last probe, or read, has met
}

// L1Health says whether L1 answers reads.
type L1Health struct {
	Trusted         bool    `json:"trusted"`         // the pod has proven that it heard everything, or needs no bus
	FreshForSeconds float64 `json:"freshForSeconds"` // how long that holds without a further proof; 0 without a bus
	Resyncs         uint64  `json:"resyncs"`         // times L1 started anew
}

// BusHealth counts what the bus has seen since the start of the pod.
type BusHealth struct {
	Subscriptions uint64 `json:"subscriptions"` // all but the first are reconnects
	Heard         uint64 `json:"heard"`         // messages that came by themselves
	Replayed      uint64 `json:"replayed"`      // messages that were read from the journal
	Gaps          uint64 `json:"gaps"`          // times that a message came whose predecessors had not
	FailedProbes  uint64 `json:"failedProbes"`  // times that the journal's head could not be read
}

// FeedHealth is a feed as its follower last reported it.
type FeedHealth struct {
	Timestamp  string   `json:"timestamp"`
	Feed       string   `json:"feed"`
	Connected  bool     `json:"connected"`       // the follower says so, and was heard lately
	Problem    string   `json:"problem"`         // what keeps it from being connected, in the follower's words; "": nothing
	Refused    bool     `json:"refused"`         // a follower of another source wants to follow it, too, and may not: see problem
	Silent     bool     `json:"silent"`          // no report for 5 s, or none ever
	Fallback   bool     `json:"fallback"`        // for FeedLimit nothing proved the feed fresh: its spaces fall back to FallbackTTL
	FreshFor   float64  `json:"freshForSeconds"` // until then
	Position   string   `json:"position"`
	LagSeconds float64  `json:"lagSeconds"` // age of the oldest change not yet applied
	LastCommit *string  `json:"lastCommit"` // of the last change applied; null: none yet
	LastReport *string  `json:"lastReport"` // null: none yet
	Spaces     []string `json:"spaces"`
	Warnings   []string `json:"warnings"` // of its follower

	// Follower is what the follower that runs now did since it was made: cdc.Stats by the names in docs/operating.md.
	Follower map[string]uint64 `json:"follower"`
}

const blindProblem = "the user of Redis may not run INFO, so Redis does not tell when it was started again or replaced: each new subscription " +
	"empties L1, and before Redis 7.0 no follower can keep a checkpoint; grant it +info"

// Health asks Redis for a sign of life and says how the cache is.
func (c *Cache) Health(ctx context.Context) Health {
	h := Health{
		Timestamp: timestamp(time.Now()), Status: "ok", Problems: []string{}, Warnings: []string{}, Cache: c.cfg.Name, Pod: c.pod.String(),
		Redis: c.redisHealth(ctx),
		L1:    L1Health{Trusted: c.isTrusted(), Resyncs: c.stats.resyncs.Load()},
		Feeds: map[string]FeedHealth{}, Domains: []string{}, Spaces: []SpaceHealth{},
	}
	if h.Redis.Configured && !h.Redis.Connected {
		h.Problems = append(h.Problems, "Redis does not answer: "+h.Redis.Error)
	}
	if h.Redis.LeftOut {
		h.Problems = append(h.Problems, fmt.Sprintf("L2 is left out since %.1f s, reads load from the source without a lease: %s",
			h.Redis.LeftOutForSeconds, h.Redis.LeftOutBecause))
	}
	if !h.L1.Trusted {
		h.Problems = append(h.Problems, "L1 does not answer: the pod cannot prove that it has heard everything"+c.whyUntrusted())
	}
	if c.bus != nil {
		b := c.bus.Stats()
		h.Bus = &BusHealth{Subscriptions: b.Subscriptions, Heard: b.Heard, Replayed: b.Replayed, Gaps: b.Gaps, FailedProbes: b.FailedProbes}
		h.L1.FreshForSeconds = max(0, c.trustLeft().Seconds())
		if c.bus.Blind() {
			h.Problems = append(h.Problems, blindProblem)
		}
		h.Problems = append(h.Problems, c.stats.failing.problems()...)
		h.Warnings = append(append(h.Warnings, c.settingWarnings(ctx)...), c.subscriptionWarnings()...)
	}
	c.mu.RLock()
	feeds := make([]string, 0, len(c.feeds))
	for feed := range c.feeds {
		feeds = append(feeds, feed)
	}
	for _, d := range c.domains {
		h.Domains = append(h.Domains, d.name)
	}
	for _, sp := range c.spaces {
		h.Spaces = append(h.Spaces, SpaceHealth{
			Name: sp.name, Bucket: sp.bucket, Strategy: sp.strategy.String(),
			Fallback: sp.fallback(), Changed: sp.trips.changedPaths(),
		})
		h.Warnings = append(h.Warnings, sp.tripWarnings()...)
		if problem := sp.stuckProblem(); problem != "" {
			h.Problems = append(h.Problems, problem)
		}
	}
	c.mu.RUnlock()
	slices.Sort(feeds)
	for _, feed := range feeds {
		f, _ := c.feedHealth(feed)
		h.Feeds[feed] = f
		for _, w := range f.Warnings {
			h.Warnings = append(h.Warnings, "the feed "+feed+": "+w)
		}
		switch {
		case f.Fallback:
			h.Problems = append(h.Problems, fmt.Sprintf("the feed %s is not fresh (%s): entries of %s live for %s",
				feed, f.why(), strings.Join(f.Spaces, ", "), c.cfg.FallbackTTL))
		case f.Silent:
			h.Problems = append(h.Problems, "the feed "+feed+" is silent: no follower runs, or none can send its reports")
		case !f.Connected:
			h.Problems = append(h.Problems, "the feed "+feed+" is "+f.why())
		}
	}
	for _, name := range c.unmatchedNames() {
		h.Warnings = append(h.Warnings, name.text)
	}
	if len(h.Problems) > 0 {
		h.Status = "degraded"
	}
	if c.flights.isClosed() {
		h.Status = "closed"
	}
	return h
}

func (c *Cache) redisHealth(caller context.Context) RedisHealth {
	if c.remote == nil {
		return RedisHealth{}
	}
	ctx, cancel := c.remoteContext(caller)
	defer cancel()
	began := time.Now()
	err := c.remote.Ping(ctx)
	h := RedisHealth{Configured: true, Connected: err == nil, LatencyMS: float64(time.Since(began).Microseconds()) / 1000}
	if err != nil {
		ctx, cancel := c.remoteContext(caller)
		defer cancel()
		h.Error = c.remote.Cause(ctx, err).Error()
	}
	if since, cause, open := c.breaker.trouble(); open {
		h.LeftOut = true
		h.LeftOutForSeconds = (c.now() - since).Seconds()
		h.LeftOutBecause = cause.Error()
	}
	return h
}

// why says in a word what keeps a feed from being fresh.
func (f *FeedHealth) why() string {
	switch {
	case f.Refused:
		return f.Problem
	case f.Silent:
		return "silent"
	case !f.Connected && f.Problem != "":
		return "not connected: " + f.Problem
	case !f.Connected:
		return "not connected"
	}
	return fmt.Sprintf("%.0f s behind", f.LagSeconds)
}

func (c *Cache) feedHealth(feed string) (FeedHealth, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	s := c.feeds[feed]
	if s == nil {
		return FeedHealth{}, false
	}
	status, heard := s.last()
	h := FeedHealth{
		Timestamp: timestamp(time.Now()), Feed: feed,
		Connected: status.Connected && recent(heard), Problem: status.Problem, Silent: !recent(heard),
		Position: status.Position, LagSeconds: status.Lag().Seconds(),
		Fallback: c.freshFor(s) <= 0, FreshFor: max(0, c.freshFor(s).Seconds()),
		LastCommit: timestampOrNull(status.Committed()), LastReport: timestampOrNull(heard),
		Spaces: []string{}, Warnings: append([]string{}, status.Warnings...), Follower: maps.Clone(status.Counts),
	}
	if refusal := s.lastRefusal(); refusal != "" {
		h.Problem, h.Refused = refusal, true
	}
	for _, sp := range c.spaces {
		if slices.Contains(sp.strategy.feeds, feed) {
			h.Spaces = append(h.Spaces, sp.name)
		}
	}
	return h, true
}

// domainHealth keeps the buckets in the order in which their spaces were made.
func (c *Cache) domainHealth(name string) (ordered, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, d := range c.domains {
		if d.name != name {
			continue
		}
		var metrics, ttl ordered
		for _, sp := range d.spaces {
			s := &sp.stats
			metrics.add(sp.bucket, ordered{
				{"hits", s.l1Hits.value() + s.l2Hits.value()},
				{"misses", s.loads.value()},
			})
			ttl.add(sp.bucket+"Seconds", seconds(sp.strategy.ttl))
		}
		metrics.add("invalidations", d.invalidations.Load())
		return ordered{{"timestamp", timestamp(time.Now())}, {"metrics", metrics}, {"ttl", ttl}}, true
	}
	return nil, false
}

// seconds is null where there is no TTL.
func seconds(ttl time.Duration) any {
	if ttl == 0 {
		return nil
	}
	return ttl.Seconds()
}

// ordered is a JSON object that keeps the order of its fields.
type ordered []field

type field struct {
	name  string
	value any
}

func (o *ordered) add(name string, value any) { *o = append(*o, field{name, value}) }

// MarshalJSON writes the fields in order.
func (o ordered) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(f.name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(f.value)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func timestampOrNull(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := timestamp(t)
	return &s
}

func writeFound(w http.ResponseWriter, body any, ok bool, missing string) {
	if !ok {
		writeJSON(w, http.StatusNotFound, map[string]string{"error": missing})
		return
	}
	writeJSON(w, http.StatusOK, body)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client may have gone
}
