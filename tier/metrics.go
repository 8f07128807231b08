package tier

import (
	"maps"
	"runtime"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tandem-cache/tandem/remote"
)

// The metrics. Each carries the label cache; keys are never labels.
var (
	perSpace = []string{"cache", "space"}

	hitsDesc        = desc("tandem_hits_total", "Reads answered by a tier (l1, l2) without a load.", "cache", "space", "tier")
	loadsDesc       = desc("tandem_loads_total", "Loads started: the misses.", perSpace...)
	loadErrorsDesc  = desc("tandem_load_errors_total", "Loads that ended in an error, a panic or a timeout.", perSpace...)
	absentDesc      = desc("tandem_absent_loads_total", "Loads that found nothing, which is remembered for NegativeTTL.", perSpace...)
	loneDesc        = desc("tandem_lone_loads_total", "Loads that no other pod knew of, begun without a lease: Redis failed or was left out, or the wait for another pod's load was too long.", "cache", "space")
	refusedLoadDesc = desc("tandem_refused_loads_total", "Loads that were not begun, and failed: no place of MaxLoads was free within LoadTimeout (place), or the key's loader was given up and still runs (running).", "cache", "space", "reason")
	abandonedDesc   = desc("tandem_abandoned_loads", "Loaders that were given up when their contexts ended, and still run.", perSpace...)
	coalescedDesc   = desc("tandem_coalesced_total", "Callers who shared a read of this pod (scope pod), reads that waited for another pod's load (scope fleet).", "cache", "space", "scope")
	setsDesc        = desc("tandem_sets_total", "Sets, by what became of their values: stored, or not (result dropped), since others invalidated the entry or Redis failed.", "cache", "space", "result")
	deadDesc        = desc("tandem_dead_entries_total", "Values found in L2 that could not be used.", "cache", "space", "reason")
	refusedDesc     = desc("tandem_refused_fills_total", "Loaded values that were not stored in L2.", "cache", "space", "reason")
	changedDesc     = desc("tandem_changed_values_total", "Values that were compared with what their codec gives back, and came back changed (reason changed) or not at all (reason decode).", "cache", "space", "reason")
	skippedDesc     = desc("tandem_l2_skipped_total", "Reads that loaded without L2's answer, and without a lease: L2 is left out (left_out), Redis failed (failed), the wait for its turn was too long (line).", "cache", "space", "reason")
	leftOutDesc     = desc("tandem_l2_left_out", "1 while reads leave L2 out because Redis fails.", "cache")
	openedDesc      = desc("tandem_l2_left_out_total", "Times that L2 was left out because Redis failed.", "cache")
	lineDesc        = desc("tandem_l2_line", "Reads of L2 that wait for their turn.", "cache")
	invalidatedDesc = desc("tandem_invalidations_total", "Names invalidated, as this pod applied them; origin is api or a feed.", "cache", "origin")
	remoteErrDesc   = desc("tandem_remote_errors_total", "Calls to Redis that failed.", "cache", "op", "reason")
	resyncsDesc     = desc("tandem_bus_resyncs_total", "Times L1 started anew because messages may have been missed.", "cache")
	trustedDesc     = desc("tandem_l1_trusted", "1 while L1 answers: the pod has proven that it heard everything, or needs no bus.", "cache")
	freshDesc       = desc("tandem_l1_fresh_seconds", "How long L1 answers without a further proof; not above 0: it does not.", "cache")
	replayedDesc    = desc("tandem_bus_replayed_total", "Messages that pub/sub lost or delayed and the journal had.", "cache")
	gapsDesc        = desc("tandem_bus_gaps_total", "Times that a message came whose predecessors had not.", "cache")
	subscribedDesc  = desc("tandem_bus_subscriptions_total", "Subscriptions made; all but the first are reconnects.", "cache")
	unheardDesc     = desc("tandem_bus_unheard", "1 while messages come from the journal alone: pub/sub brings nothing, or all of it too late.", "cache")
	probesDesc      = desc("tandem_bus_failed_probes_total", "Times that the head of the journal could not be read.", "cache")
	collisionsDesc  = desc("tandem_l1_stripe_collisions_total", "Checks that a shared stripe sent to the table and that passed.", "cache")
	l1BytesDesc     = desc("tandem_l1_bytes", "Memory that the entries in L1 take, as L1Bytes counts it.", "cache", "space")
	l1EntriesDesc   = desc("tandem_l1_entries", "Entries in L1, valid or not.", "cache", "space")
	l1CapacityDesc  = desc("tandem_l1_capacity_bytes", "Config.L1Bytes: up to so much L1 holds entries.", "cache")
	l1EvictionsDesc = desc("tandem_l1_evictions_total", "Entries that L1 did not keep: they made room for others (reason room), or were not worth it (reason rejected).", "cache", "space", "reason")
	droppedDesc     = desc("tandem_l1_dropped_total", "Entries not stored in L1, or not deleted, because the queue was full.", "cache")
	strayDesc       = desc("tandem_stray_dependencies_total", "Calls of DependsOn outside a load, in this process.", "cache")
	sweptDesc       = desc("tandem_swept_total", "Values deleted from L2 because a tag that they stood on was invalidated.", "cache")
	unsweptDesc     = desc("tandem_sweeps_dropped_total", "Invalidated tags whose values were not all deleted: the queue was full, or Redis failed. They are dead all the same.", "cache")
	unnotedDesc     = desc("tandem_index_dropped_total", "Entries stored in L2 that the index of their tags does not name: the queue was full, or Redis failed. Invalidations outdate them all the same.", "cache")
	sweepsDesc      = desc("tandem_sweep_queue", "Invalidated tags whose values are being deleted, or wait for it.", "cache")
	unmatchedDesc   = desc("tandem_unmatched_names", "Names that never meet, each a warning in health: a feed, a dependency, a space, a tag.", "cache", "reason")
	flightsDesc     = desc("tandem_flights", "Shared reads under way, or waiting to be shown by L1.", "cache")
	buildDesc       = desc("tandem_build_info", "1; the versions of tandem and of Go that this pod was built with.", "cache", "version", "goversion")
	feedUpDesc      = desc("tandem_feed_connected", "1 while the feed's follower says that it is connected.", "cache", "feed")
	feedFreshDesc   = desc("tandem_feed_fresh_seconds", "How long the feed stays fresh if nothing more is heard; not above 0: its spaces fall back to FallbackTTL.", "cache", "feed")
	feedLagDesc     = desc("tandem_feed_lag_seconds", "Age of the oldest change that the feed has not applied, as last reported.", "cache", "feed")
	followerDesc    = desc("tandem_feed_follower_total", "What the feed's follower did since it was made, by kind, as last reported. The same on every pod: take the max. It changes, and may go back, when another follower takes over.", "cache", "feed", "kind")
	heldDesc        = desc("tandem_feed_held_batches", "Batches that the feed's follower has taken and not applied yet, as last reported.", "cache", "feed")
)

// A metric is one of every cache. The name of the cache is a constant label, so that a registry tells caches apart when they register, and
// refuses the second of one name.
type metric struct {
	name, help string
	labels     []string
}

var metrics []*metric // all of those above

// desc declares a metric. Its first label is cache.
func desc(name, help string, labels ...string) *metric {
	m := &metric{name, help, labels[1:]}
	metrics = append(metrics, m)
	return m
}

// describe returns the descriptions of a cache's metrics.
func describe(cache string) map[*metric]*prometheus.Desc {
	descs := make(map[*metric]*prometheus.Desc, len(metrics))
	for _, m := range metrics {
		descs[m] = prometheus.NewDesc(m.name, m.help, m.labels, prometheus.Labels{"cache": cache})
	}
	return descs
}

// Describe sends the metrics' descriptions; with [Cache.Collect] it makes a Cache a prometheus.Collector:
//
//	prometheus.MustRegister(cache)
//
// Two caches of one name do not register together: their metrics could not be told apart.
func (c *Cache) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.stats.descs {
		ch <- d
	}
	for _, h := range c.stats.histograms() {
		h.Describe(ch)
	}
}

// Collect sends the metrics' values. It may run at any time, also after Close.
func (c *Cache) Collect(ch chan<- prometheus.Metric) {
	count := func(m *metric, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(c.stats.descs[m], prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(m *metric, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(c.stats.descs[m], prometheus.GaugeValue, v, labels...)
	}
	c.mu.RLock() // not while sending: the receiver may be slow
	spaces, feeds := slices.Clone(c.spaces), maps.Clone(c.feeds)
	c.mu.RUnlock()
	for _, sp := range spaces {
		sp.collect(count)
		gauge(abandonedDesc, float64(sp.stuck.since(heedTime).count), sp.name)
		usage := c.store.Usage(sp.number)
		gauge(l1BytesDesc, float64(usage.Bytes), sp.name)
		gauge(l1EntriesDesc, float64(usage.Entries), sp.name)
		count(l1EvictionsDesc, usage.Evictions, sp.name, "room")
		count(l1EvictionsDesc, usage.Rejected, sp.name, "rejected")
		ch <- sp.stats.loadTime
		ch <- sp.stats.readTime[tierL2]
		ch <- sp.stats.readTime[tierSource]
	}
	for op := range c.stats.remoteTime {
		if c.remote != nil {
			for _, reason := range remote.Reasons() {
				count(remoteErrDesc, c.stats.remoteErrors[op].value(reason), opNames[op], string(reason))
			}
			ch <- c.stats.remoteTime[op]
		}
	}
	for origin, n := range c.stats.origins() {
		count(invalidatedDesc, n, origin)
	}
	count(resyncsDesc, c.stats.resyncs.Load())
	count(collisionsDesc, c.guard.Collisions())
	count(droppedDesc, c.stats.keeperFull.Load())
	gauge(l1CapacityDesc, float64(c.store.Capacity()))
	gauge(trustedDesc, number(c.isTrusted()))
	if c.bus != nil {
		gauge(leftOutDesc, number(c.breaker.isOpen()))
		count(openedDesc, c.breaker.opened.value())
		gauge(lineDesc, float64(c.reads.depth()+c.judges.depth()))
		gauge(freshDesc, c.trustLeft().Seconds())
		b := c.bus.Stats()
		count(replayedDesc, b.Replayed)
		count(gapsDesc, b.Gaps)
		count(subscribedDesc, b.Subscriptions)
		count(probesDesc, b.FailedProbes)
		since, _ := c.bus.Unheard()
		gauge(unheardDesc, number(!since.IsZero()))
		count(sweptDesc, c.sweeper.deleted.Load())
		count(unsweptDesc, c.sweeper.dropped.Load())
		count(unnotedDesc, c.noter.dropped.Load())
		gauge(sweepsDesc, float64(c.sweeper.queued.Load()))
	}
	count(strayDesc, strayDependencies.Load())
	unmatched := make(map[string]int)
	for _, name := range c.unmatchedNames() {
		unmatched[name.reason]++
	}
	for _, reason := range unmatchedReasons {
		gauge(unmatchedDesc, float64(unmatched[reason]), reason)
	}
	gauge(flightsDesc, float64(c.flights.count()))
	gauge(buildDesc, 1, builtOf(), runtime.Version())
	for feed, s := range feeds {
		status, heard := s.last()
		gauge(feedUpDesc, number(status.Connected && recent(heard)), feed)
		gauge(feedLagDesc, status.Lag().Seconds(), feed)
		gauge(feedFreshDesc, c.freshFor(s).Seconds(), feed)
		for _, kind := range followerKinds {
			if n, ok := status.Counts[kind]; ok {
				count(followerDesc, n, feed, kind)
			}
		}
		if n, ok := status.Counts[heldCount]; ok {
			gauge(heldDesc, float64(n), feed)
		}
	}
}

// followerKinds are the counts of a report that are metrics, by the names that health has. Other names are not, since a report may carry some for
// each entity, nor are names that this version does not know: the series are bounded.
var followerKinds = []string{"events", "batches", "invalidated", "unrouted", "poisonous", "collapsed", "flushes", "opened", "stepDowns", "rewinds", "retries"}

const heldCount = "held" // of a report, and no counter

func (sp *space) collect(count func(*metric, uint64, ...string)) {
	s := &sp.stats
	count(hitsDesc, s.l1Hits.value(), sp.name, "l1")
	count(hitsDesc, s.l2Hits.value(), sp.name, "l2")
	count(loadsDesc, s.loads.value(), sp.name)
	count(loneDesc, s.lone.value(), sp.name)
	count(loadErrorsDesc, s.failed.value(), sp.name)
	count(absentDesc, s.absent.value(), sp.name)
	count(coalescedDesc, s.joined.value(), sp.name, "pod")
	count(coalescedDesc, s.waited.value(), sp.name, "fleet")
	count(setsDesc, s.set.value(), sp.name, "stored")
	count(setsDesc, s.notSet.value(), sp.name, "dropped")
	count(changedDesc, sp.trips.changed.value(), sp.name, "changed")
	count(changedDesc, sp.trips.undecodable.value(), sp.name, "decode")
	for why := range refusedCount {
		count(refusedLoadDesc, s.refusedLoads[why].value(), sp.name, refusedTexts[why])
	}
	for why := range skipCount {
		count(skippedDesc, s.skips[why].value(), sp.name, skipTexts[why])
	}
	for why := range reasonMoved {
		count(deadDesc, s.deaths[why].value(), sp.name, reasonTexts[why])
	}
	for why := reasonMoved; why < reasonCount; why++ {
		count(refusedDesc, s.refused[why].value(), sp.name, reasonTexts[why])
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
