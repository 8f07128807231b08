package main

import (
	"errors"
	"fmt"
)

// coherenceReport is what a run of coherence counted.
type coherenceReport struct {
	Pods         int      `json:"pods"`
	Clients      int      `json:"clients"`
	Seconds      float64  `json:"seconds"`
	Sabotage     string   `json:"sabotage,omitempty"`
	Transactions int      `json:"transactions"`
	Events       uint64   `json:"events"`        // changes that the follower took
	Invalidated  uint64   `json:"invalidations"` // names, as acknowledged to the follower
	Reads        uint64   `json:"reads"`
	L1Hits       uint64   `json:"l1_hits"`
	L2Hits       uint64   `json:"l2_hits"`
	Loads        uint64   `json:"loads"`
	Checked      uint64   `json:"checked"` // reads of an account of which the pod had applied an invalidation
	Older        uint64   `json:"older"`
	Reverted     uint64   `json:"reverted"`
	Failed       uint64   `json:"failed"`
	L2Entries    int      `json:"l2_entries"`
	L2Stale      int      `json:"l2_stale"`
	L1Entries    []int    `json:"l1_entries"` // of each pod
	L1Stale      int      `json:"l1_stale"`
	Probes       int      `json:"probes"` // commits seen by a pod
	Unseen       int      `json:"unseen"` // commits that a pod did not see within probePatience
	ProbeP50MS   float64  `json:"probe_p50_ms"`
	ProbeMaxMS   float64  `json:"probe_max_ms"`
	DrainMS      float64  `json:"drain_ms"` // from the end of the load until every pod had applied everything
	Examples     []string `json:"examples,omitempty"`

	PerPod []podCounts `json:"per_pod"`
}

func newCoherenceReport(o coherenceOptions, transactions int, pods []podCounts) *coherenceReport {
	r := &coherenceReport{
		Pods: o.pods, Clients: o.clients, Seconds: o.duration.Seconds(), Sabotage: o.sabotage, Transactions: transactions, PerPod: pods,
	}
	for i, p := range pods {
		r.Events += p.Events
		r.Invalidated += p.Invalidated
		r.Reads += p.Reads
		r.L1Hits += p.L1Hits
		r.L2Hits += p.L2Hits
		r.Loads += p.Loads
		r.Checked += p.Checked
		r.Older += p.Older
		r.Reverted += p.Reverted
		r.Failed += p.Failed
		for _, example := range p.Examples {
			r.example("pod %d, %s", i, example)
		}
	}
	return r
}

func (r *coherenceReport) example(format string, args ...any) {
	if len(r.Examples) < 4*maxExamples {
		r.Examples = append(r.Examples, fmt.Sprintf(format, args...))
	}
}

// verdict is an error where something was wrong or too little happened.
func (r *coherenceReport) verdict() error {
	return errors.Join(r.violations(), r.implausible())
}

// violations is an error where the cache broke a promise.
func (r *coherenceReport) violations() error {
	var errs []error
	for _, bad := range []struct {
		count uint64
		what  string
	}{
		{r.Older, "reads older than an invalidation that the pod had applied"},
		{uint64(r.L2Stale), "stale values in Redis"},
		{uint64(r.L1Stale), "stale values in an L1"},
		{r.Failed, "reads that failed"},
	} {
		if bad.count > 0 {
			errs = append(errs, fmt.Errorf("coherence: %d %s", bad.count, bad.what))
		}
	}
	return errors.Join(errs...)
}

// implausible is an error where the run proves nothing.
func (r *coherenceReport) implausible() error {
	var errs []error
	need := func(what string, got, least uint64) {
		if got < least {
			errs = append(errs, fmt.Errorf("coherence: %d %s; at least %d are needed to prove something", got, what, least))
		}
	}
	for _, p := range r.PerPod {
		if p.Retries > 0 {
			errs = append(errs, fmt.Errorf("coherence: %d calls of the follower failed: the pods' counts prove nothing; is the machine overloaded?", p.Retries))
		}
	}
	need("transactions", uint64(r.Transactions), 100)
	need("changes followed", r.Events, uint64(r.Transactions)) // each changes one account
	need("invalidations", r.Invalidated, 50)
	need("L1 hits", r.L1Hits, 1000)
	need("L2 hits", r.L2Hits, 50)
	need("loads", r.Loads, 50)
	need("values in Redis", uint64(r.L2Entries), 100)
	need("commits seen by a probe", uint64(r.Probes), uint64(r.Pods))
	for i, p := range r.PerPod {
		need(fmt.Sprintf("checked reads in pod %d", i), p.Checked, 1000)
		need(fmt.Sprintf("versions known to be applied in pod %d", i), p.Floors, 50)
	}
	for i, n := range r.L1Entries {
		need(fmt.Sprintf("values in the L1 of pod %d", i), uint64(n), 100)
	}
	return errors.Join(errs...)
}

func (r *coherenceReport) print(p *printer) {
	p.printf("%d pods, pgbench with %d clients for %g s: %d transactions, %d changes, %d invalidations\n",
		r.Pods, r.Clients, r.Seconds, r.Transactions, r.Events, r.Invalidated)
	l1 := 0
	p.table(func(t *printer) {
		t.printf("\treads\tL1 hits\tL2 hits\tloads\tchecked\tolder\treverted\tL1 compared\t\n")
		for i, c := range r.PerPod {
			t.printf("pod %d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n",
				i, c.Reads, c.L1Hits, c.L2Hits, c.Loads, c.Checked, c.Older, c.Reverted, r.L1Entries[i])
			l1 += r.L1Entries[i]
		}
		t.printf("all\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n",
			r.Reads, r.L1Hits, r.L2Hits, r.Loads, r.Checked, r.Older, r.Reverted, l1)
	})
	p.printf("compared with the table: %d values in Redis, %d stale; %d in the L1s, %d stale\n", r.L2Entries, r.L2Stale, l1, r.L1Stale)
	p.printf("a commit was seen by a pod after %.1f ms (p50 of %d), %.1f ms at most, %d not within %s; drained %.0f ms after the load\n",
		r.ProbeP50MS, r.Probes, r.ProbeMaxMS, r.Unseen, probePatience, r.DrainMS)
	for _, example := range r.Examples {
		p.printf("  %s\n", example)
	}
}
