package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// A report is what a run has shown.
type report struct {
	Pods      int      `json:"pods"`
	Duration  string   `json:"duration"`
	Seed      uint64   `json:"seed"`
	Sabotage  []string `json:"sabotage,omitempty"`
	BoundMS   float64  `json:"bound_ms"` // MaxStaleness
	Lost      promise  `json:"no_lost_invalidation"`
	Backwards promise  `json:"never_backwards"`
	Once      promise  `json:"one_load"`

	Reads        int            `json:"reads"`
	ByTier       map[string]int `json:"reads_by_tier"`
	Failed       int64          `json:"failed_reads"`
	Commits      int            `json:"commits"`
	Acknowledged int            `json:"acknowledged"`        // versions that the checkpoint has passed
	Direct       int            `json:"acknowledged_direct"` // versions that pods invalidated themselves
	Loads        int            `json:"loads"`
	Touches      int            `json:"touches"` // invalidations of a key, its tags' included
	Apart        int            `json:"loads_without_redis"`

	Promotions    []*promotion  `json:"promotions"`
	Failovers     []*failover   `json:"failovers"`
	Exempt        int           `json:"exempt"` // lines of reads between a promotion and the end of the rewind
	ExemptWorstMS float64       `json:"exempt_worst_ms"`
	Staleness     []percentiles `json:"staleness"`
	Incidents     []*incident   `json:"incidents"`

	w         *world
	sightings []*sightings
}

// A promise is what the checks of it came to.
type promise struct {
	Checked    int      `json:"checked"`
	Violations int      `json:"violations"`
	WorstMS    float64  `json:"worst_ms"`
	Examples   []string `json:"examples,omitempty"`
}

func (p *promise) worst(age time.Duration) { p.WorstMS = max(p.WorstMS, milliseconds(age)) }

type percentiles struct {
	During string  `json:"during"`
	Count  int     `json:"count"`
	P50MS  float64 `json:"p50_ms"`
	P90MS  float64 `json:"p90_ms"`
	P99MS  float64 `json:"p99_ms"`
	MaxMS  float64 `json:"max_ms"`
}

func newReport(w *world) *report {
	r := &report{
		Pods: w.o.pods, Duration: w.o.duration.String(), Seed: w.o.seed, Sabotage: w.o.sabotage, BoundMS: milliseconds(maxStaleness),
		ByTier: make(map[string]int), Promotions: w.promotions, Failovers: w.failovers, Incidents: w.faults, w: w,
	}
	for _, p := range w.pods {
		r.Failed += p.errors.Load()
	}
	return r
}

const maxExamples = 5

// violated counts a violation; the first few are told, with the faults around them.
func (r *report) violated(p *promise, at instant, format string, args ...any) {
	p.Violations++
	if len(p.Examples) < maxExamples {
		p.Examples = append(p.Examples, fmt.Sprintf("%s: %s (%s)", at.sub(r.w.began).Round(time.Millisecond),
			fmt.Sprintf(format, args...), r.during(at.add(-2*maxStaleness), at)))
	}
}

// verdict is an error where a promise was broken or nothing was proven.
func (r *report) verdict() error {
	errs := []error{r.broken()}
	if r.Reads == 0 || r.Acknowledged == 0 || r.Direct == 0 || r.Loads == 0 || r.ByTier[fromMemory] == 0 {
		errs = append(errs, errors.New("too little happened to prove anything"))
	}
	for _, p := range r.Promotions {
		if p.Rewind == 0 {
			errs = append(errs, errors.New("after a promotion the feed was not rewound before the end"))
		}
	}
	for _, f := range r.Failovers {
		if f.Followed == 0 {
			errs = append(errs, errors.New("after a failover of PostgreSQL the feed did not follow the new primary before the end"))
		}
	}
	return errors.Join(errs...)
}

// broken is an error where a promise was broken.
func (r *report) broken() error {
	var errs []error
	for _, p := range r.promises() {
		if p.Violations > 0 {
			errs = append(errs, fmt.Errorf("promise broken: %s: %d times", p.name, p.Violations))
		}
	}
	return errors.Join(errs...)
}

type namedPromise struct {
	*promise
	name string
}

func (r *report) promises() []namedPromise {
	return []namedPromise{{&r.Lost, "no lost invalidation"}, {&r.Backwards, "never backwards"}, {&r.Once, "one load"}}
}

func (r *report) save(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

func (r *report) print(out io.Writer) {
	say(out, fmt.Sprintf("\n%d pods, faults for %s, seed %d\n", r.Pods, r.Duration, r.Seed))
	say(out, fmt.Sprintf("%-22s %12s %11s   %s", "promise", "checked", "violations", "worst"))
	say(out, fmt.Sprintf("%-22s %12d %11d   %.0f ms after the acknowledgement; bound %.0f ms", "1 no lost invalidation", r.Lost.Checked, r.Lost.Violations, r.Lost.WorstMS, r.BoundMS))
	say(out, fmt.Sprintf("%-22s %12d %11d   %.0f ms after the pod's own invalidation; bound 0", "2 never backwards", r.Backwards.Checked, r.Backwards.Violations, r.Backwards.WorstMS))
	say(out, fmt.Sprintf("%-22s %12d %11d   %.3f loads per invalidation of a key; %d more at once without Redis", "3 one load", r.Once.Checked, r.Once.Violations,
		float64(r.Loads)/max(1, float64(r.Touches)), r.Apart))
	for _, p := range r.promises() {
		for _, e := range p.Examples {
			say(out, "  "+p.name+": "+e)
		}
	}
	say(out, fmt.Sprintf("\n%d reads (%d from memory, %d from L2, %d from the source, %d failed), %d commits, %d versions acknowledged by the feed, %d by pods",
		r.Reads, r.ByTier[fromMemory], r.ByTier[fromL2], r.ByTier[fromSource], r.Failed, r.Commits, r.Acknowledged, r.Direct))
	for _, p := range r.Promotions {
		say(out, fmt.Sprintf("promotion at %s: the new master lacked %d broadcasts; the feed was rewound %.0f ms after",
			p.Cut.sub(r.w.began).Round(time.Second), p.Lost, milliseconds(p.Rewind)))
	}
	if len(r.Promotions) > 0 {
		say(out, fmt.Sprintf("until then %d lines of reads were exempt, the oldest %.0f ms after the lost acknowledgement", r.Exempt, r.ExemptWorstMS))
	}
	for _, f := range r.Failovers {
		say(out, fmt.Sprintf("failover at %s to timeline %d: %d rows went back; the feed followed %.0f ms after",
			f.Cut.sub(r.w.began).Round(time.Second), f.Timeline, f.Lost, milliseconds(f.Followed)))
	}
	r.printStaleness(out)
	say(out, "\nfaults")
	for _, i := range r.Incidents {
		say(out, fmt.Sprintf("%6s to %6s  %-28s %s", i.Begin.sub(r.w.began).Round(time.Second), i.End.sub(r.w.began).Round(time.Second), i, strings.TrimPrefix(i.Note, ", ")))
	}
}

func (r *report) printStaleness(out io.Writer) {
	say(out, fmt.Sprintf("\n%-28s %8s %9s %9s %9s %9s", "commit to last pod, ms", "commits", "p50", "p90", "p99", "max"))
	for _, s := range r.Staleness {
		say(out, fmt.Sprintf("%-28s %8d %9.1f %9.1f %9.1f %9.1f", s.During, s.Count, s.P50MS, s.P90MS, s.P99MS, s.MaxMS))
	}
}
