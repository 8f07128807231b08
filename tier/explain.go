package tier

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// An Explanation says why a read of an entry would be answered as it would: what both tiers hold of it, and what is known of its past. It
// holds no values. [Explanation.String] is for people.
type Explanation struct {
	At       time.Time `json:"at"`
	Key      string    `json:"key"` // domain:type:identifier
	Pod      string    `json:"pod"` // that explains
	Strategy string    `json:"strategy"`
	Fallback bool      `json:"fallback"` // the space's feed is silent
	Trusted  bool      `json:"trusted"`  // this pod has proven that it heard everything; else its L1 does not answer
	Loading  bool      `json:"loading"`  // a read of L2 or the source is under way in this pod

	L1 Copy        `json:"l1"`
	L2 *RemoteCopy `json:"l2,omitempty"` // nil: no Redis

	// LastInvalidation is the last that is known of any name that a copy stands on; without a copy, of the key, the space and the feed. nil:
	// none is known any more.
	LastInvalidation *LastInvalidation `json:"lastInvalidation,omitempty"`

	// LastRead is the last of this pod that L1 did not answer. nil: none since the pod started, or later reads of others took its place.
	LastRead *LastRead `json:"lastRead,omitempty"`
}

// A Copy is what a tier holds of an entry.
type Copy struct {
	Held  bool `json:"held"`
	Valid bool `json:"valid"` // a read would be answered with it

	// Why says why a copy is not valid. As in tandem_dead_entries_total: "invalidated" (Names say by which), "expired", "silent": too old for
	// a space whose feed is silent; "schema", "unreadable", "sealed". Of L1 alone: "untrusted", as above; "flushed": L1 started anew after messages
	// were missed; "unknown": this pod no longer knows, and asks Redis. Of L2 alone: "unasked": Redis did not answer who asked for its names.
	Why string `json:"why,omitempty"`

	Absent     bool    `json:"absent,omitempty"` // it remembers that the source has no value
	AgeSeconds float64 `json:"ageSeconds"`       // since the source was read
	TTLSeconds float64 `json:"ttlSeconds"`       // what is left; 0: no bound
	Bytes      int     `json:"bytes"`            // in L1 about, in L2 exactly

	// Names are what it stands on: those that outdate it first, at most 100; MoreNames are not listed.
	Names     []StoodOn `json:"names,omitempty"`
	MoreNames int       `json:"moreNames,omitempty"`
}

// A StoodOn is a name that a copy stands on.
type StoodOn struct {
	Name        string `json:"name"`
	Tick        uint64 `json:"tick"`        // S: the copy reflects the name's invalidations up to this
	Invalidated uint64 `json:"invalidated"` // tick of its last one that is known here or in Redis, above Tick: it outdates the copy. 0: none is known
}

// A RemoteCopy is what L2 holds of an entry: a value, the marker of a load, or nothing.
type RemoteCopy struct {
	Copy
	Lease    *LeaseHeld `json:"lease,omitempty"`
	Schema   uint32     `json:"schema"`
	Codec    string     `json:"codec,omitempty"`
	KeyID    uint32     `json:"keyId"`                // of the encryption; 0: none
	LoadedBy string     `json:"loadedBy,omitempty"`   // the pod
	LeftOut  bool       `json:"leftOut,omitempty"`    // after failures in a row, reads do not ask Redis at present
	Error    string     `json:"error,omitempty"`      // Redis did not answer
	Floor    uint64     `json:"tableFloor,omitempty"` // Redis's table does not reach back to the copy's tick: this is the lowest that it would know
}

// A LeaseHeld is the right to load the entry, which a pod has.
type LeaseHeld struct {
	Pod         string  `json:"pod"`
	Here        bool    `json:"here"` // this pod
	LeftSeconds float64 `json:"leftSeconds"`
	Waited      bool    `json:"waited"` // another pod asked for it meanwhile
}

// A LastInvalidation is the last known of a name.
type LastInvalidation struct {
	Name     string    `json:"name"`
	Tick     uint64    `json:"tick"`
	Origin   string    `json:"origin,omitempty"`  // "api" or a feed; "": neither this pod nor the bus's journal knows any more
	At       time.Time `json:"at,omitzero"`       // when this pod heard of it; zero: it does not remember
	NotAfter time.Time `json:"notAfter,omitzero"` // by its tick, it was not later; zero: its tick does not tell
}

// A LastRead is what became of a read of L2 and the source.
type LastRead struct {
	At          time.Time `json:"at,omitzero"` // zero: only a refusal is known
	TookSeconds float64   `json:"tookSeconds"`
	Tier        Tier      `json:"tier,omitempty"`     // TierL2: a hit; TierSource: a load
	Error       string    `json:"error,omitempty"`    // "timeout", "panic", "cycle", "closed", "error": the loader's
	DeadInL2    string    `json:"deadInL2,omitempty"` // why what L2 held was of no use; "": it held nothing, or was not asked
	Leased      bool      `json:"leased"`             // loaded with a lease; without one where Redis failed, or another's took too long
	ShownByL1   bool      `json:"shownByL1"`          // L1 was given it; else it was outdated, or the pod was not trusted, as it came
	Refused     string    `json:"refused,omitempty"`  // why it was not stored, as in tandem_refused_fills_total
	RefusedAt   time.Time `json:"refusedAt,omitzero"`
}

// Explain says why a read of id would be a hit or a miss, and what became of the last. It is for an operator's question: it asks Redis two or
// three times, and sixteen more where only the bus's journal may know who invalidated last. It loads, stores and counts nothing, but that L1's policy takes it as a use. Its error says that id is malformed; a
// Redis that fails is in the explanation.
func (s *Space[V]) Explain(ctx context.Context, id string) (Explanation, error) {
	return s.core.explain(ctx, id)
}

func (sp *space) explain(ctx context.Context, id string) (Explanation, error) {
	if err := checkID(id); err != nil {
		return Explanation{}, fmt.Errorf("tier: explain %s: %w", shown(sp.key(id)), err)
	}
	c := sp.cache
	e := Explanation{
		At: time.Now().UTC(), Key: sp.key(id), Pod: c.pod.String(), Strategy: sp.strategy.String(),
		Fallback: sp.fallback(), Trusted: c.isTrusted(),
	}
	x := explainer{space: sp, id: id, known: make(map[string]uint64)}
	x.l1, e.Loading = x.lookL1()
	if c.remote != nil {
		e.L2 = x.lookL2(ctx)
	}
	x.learn(ctx, e.L2)
	if x.l1 != nil {
		e.L1 = x.explainL1()
	}
	if e.L2 != nil && x.l2 != nil {
		x.explainL2(e.L2)
	}
	e.LastInvalidation = x.lastInvalidation(ctx)
	e.LastRead = c.lastRead(sp.key(id))
	return e, nil
}

// ExplainHandler answers GET ?key=domain:type:identifier with the [Explanation] of that entry: as JSON, or to who accepts text/plain as text.
// It names identifiers and tags, and reads from Redis: mount it where operators get, and nobody else does.
func (c *Cache) ExplainHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.URL.Query().Get("key")
		name, id, err := splitKey(key)
		sp := c.spaceNamed(name)
		switch {
		case err != nil:
			writeJSON(w, http.StatusBadRequest, map[string]string{"error": "ask with ?key=domain:type:identifier"})
			return
		case sp == nil:
			writeFound(w, nil, false, "no space of this name")
			return
		}
		e, err := sp.explain(r.Context(), id)
		switch {
		case err != nil:
			writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		case strings.Contains(r.Header.Get("Accept"), "text/plain"):
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = fmt.Fprint(w, e) // the client may have gone
		default:
			writeJSON(w, http.StatusOK, e)
		}
	})
}

func (c *Cache) lastRead(key string) *LastRead {
	out, ok := c.outcomes.of(key)
	if !ok {
		return nil
	}
	r := &LastRead{
		At: out.at.UTC(), TookSeconds: out.took.Seconds(), Error: out.failure, DeadInL2: out.dead, Leased: out.leased, ShownByL1: out.shown,
		Refused: out.refused, RefusedAt: out.refusedAt.UTC(),
	}
	if !out.at.IsZero() && out.failure == "" {
		r.Tier = tiers[out.from]
	}
	return r
}
