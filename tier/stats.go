package tier

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tandem-cache/tandem/remote"
)

// A counter counts events. The zero value is ready.
type counter struct{ n atomic.Uint64 }

func (c *counter) Inc()          { c.n.Add(1) }
func (c *counter) value() uint64 { return c.n.Load() }

// A stripedCounter is one that all cores write all the time. Each goroutine has a stripe, by where its stack lies, and a goroutine
// mostly stays on its core: so a core mostly finds the cache line at home. Stripes taken by chance made a hit on two cores a
// third slower.
type stripedCounter [1 << stripeBits]struct {
	n atomic.Uint64
	_ [56]byte // one cache line each
}

const stripeBits = 6

func (c *stripedCounter) inc() {
	var here byte
	stack := uint64(uintptr(unsafe.Pointer(&here))) >> 11 // no stack is smaller than 2 KiB
	c[stack*0x9e3779b97f4a7c15>>(64-stripeBits)].n.Add(1)
}

func (c *stripedCounter) value() (sum uint64) {
	for i := range c {
		sum += c[i].n.Load()
	}
	return sum
}

// A reason says why a value in L2 was of no use, or why a loaded one was not stored.
type reason uint8

const (
	reasonInvalidated reason = iota // one of its names was invalidated
	reasonExpired
	reasonSilent     // too old for a space whose feed is silent
	reasonSchema     // of another schema version
	reasonUnreadable // not an envelope, a newer one, or a payload that does not decode
	reasonOlder      // this pod has loaded a newer one while Redis was away
	reasonSealed     // does not open: copied, altered, a key that is not known; or encrypted where no keys are, or not where they are
	reasonMoved      // one of its names was invalidated while it was loaded
	reasonLease      // the lease was gone: invalidated, expired, or Redis failed
	reasonEncode     // the value does not encode
	reasonDecode     // it encodes, and what was encoded does not decode
	reasonStale      // made from what failed, or has expired
	reasonNames      // it depends on more names than an entry can have
	reasonSize       // the value is larger than MaxValueBytes
	reasonCount
)

var reasonTexts = [reasonCount]string{"invalidated", "expired", "silent", "schema", "unreadable", "older", "sealed", "moved", "lease", "encode", "decode", "stale", "names", "size"}

// Why a load was not begun.
const (
	refusedPlace   = iota // it found no place within its LoadTimeout
	refusedRunning        // the key's loader was given up, and still runs
	refusedCount
)

var refusedTexts = [refusedCount]string{"place", "running"}

// spaceStats counts one space's reads in this pod.
type spaceStats struct {
	l1Hits       stripedCounter
	l2Hits       counter // by flights; those who joined are counted in joined
	loads        counter // started
	failed       counter // loads that ended in an error
	absent       counter // loads that found nothing
	independent  counter // loads of values that depend on nothing
	joined       counter // callers who shared a flight of this pod
	lone         counter // loads without a lease, of flights
	refusedLoads [refusedCount]counter
	waited       counter            // flights that waited for another pod's load
	set          counter            // Sets whose value was stored
	notSet       counter            // Sets that only invalidated, or failed
	skips        [skipCount]counter // reads that loaded without L2's answer
	deaths       [reasonCount]counter
	refused      [reasonCount]counter

	loadTime prometheus.Histogram
	readTime [2]prometheus.Histogram // of flights, by the tier that answered
}

// The tiers that answer a flight.
const (
	tierL2 = iota
	tierSource
)

func (s *spaceStats) init(c *Cache, sp *space) {
	s.loadTime = histogram(c.stats.loadTimes, sp.name)
	for i, answered := range []string{tierL2: "l2", tierSource: "source"} {
		s.readTime[i] = histogram(c.stats.readTimes, sp.name, answered)
	}
}

func (s *spaceStats) loaded(took time.Duration, err error) {
	s.loadTime.Observe(took.Seconds())
	if err != nil {
		s.failed.Inc()
	}
}

func (s *spaceStats) dead(why reason)   { s.deaths[why].Inc() }
func (s *spaceStats) refuse(why reason) { s.refused[why].Inc() }

// A remoteOp is a kind of call to Redis.
type remoteOp uint8

const (
	opGet remoteOp = iota
	opLease
	opFill
	opRenew
	opRelease
	opJudge
	opInvalidate
	opSet
	opIndex
	opSweep
	opScan
	opCheckpoint
	opReport
	opProbe
	opCount
)

var opNames = [opCount]string{"get", "lease", "fill", "renew", "release", "judge", "invalidate", "set", "index", "sweep", "scan", "checkpoint", "report", "probe"}

// cacheStats counts what belongs to no space.
type cacheStats struct {
	resyncs    atomic.Uint64 // times L1 was flushed because messages may have been missed
	keeperFull atomic.Uint64 // jobs of the keeper not done
	heal       func()        // closes the breaker: Redis has answered a call

	start        time.Time    // zero of the cache's clock
	answered     atomic.Int64 // when Redis has answered last, on the cache's clock; 0: never
	timely       atomic.Int64 // when it has first answered a read in time
	remoteTime   [opCount]prometheus.Histogram
	remoteErrors [opCount]reasons
	failing      failing

	descs                             map[*metric]*prometheus.Desc // of this cache
	loadTimes, readTimes, remoteTimes *prometheus.HistogramVec     // what spaces and calls take theirs from

	mu       sync.Mutex // guards byOrigin
	byOrigin map[string]uint64
}

func (s *cacheStats) histograms() []*prometheus.HistogramVec {
	return []*prometheus.HistogramVec{s.loadTimes, s.readTimes, s.remoteTimes}
}

// histogram returns one of a family, which a call of Observe finds without looking for it.
func histogram(family *prometheus.HistogramVec, labels ...string) prometheus.Histogram {
	return family.WithLabelValues(labels...).(prometheus.Histogram)
}

func (s *cacheStats) init(cache string) {
	s.byOrigin = make(map[string]uint64)
	s.descs = describe(cache)
	named := prometheus.Labels{"cache": cache}
	s.loadTimes = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "tandem_load_seconds", Help: "Time the loader of a space took.",
		ConstLabels: named, Buckets: prometheus.ExponentialBuckets(0.0005, 2.5, 12),
	}, []string{"space"})
	s.readTimes = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "tandem_read_seconds", Help: "Time of a read that L1 did not answer, by the tier that did, with all waits.",
		ConstLabels: named, Buckets: prometheus.ExponentialBuckets(0.0001, 2.5, 14),
	}, []string{"space", "tier"})
	s.remoteTimes = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "tandem_remote_seconds", Help: "Time of a call to Redis.",
		ConstLabels: named, Buckets: prometheus.ExponentialBuckets(0.0001, 2.5, 10),
	}, []string{"op"})
	for op := range s.remoteTime {
		s.remoteTime[op] = histogram(s.remoteTimes, opNames[op])
	}
}

func (s *cacheStats) remoteCall(op remoteOp, began time.Time, err error) {
	s.remoteTime[op].Observe(time.Since(began).Seconds())
	if err != nil {
		s.remoteErrors[op].count(remote.ReasonOf(err))
	}
	s.failing.note(op, err)
	if err == nil {
		s.heardOf()
		s.heal()
	}
	if err == nil && op == opGet && s.timely.Load() == 0 {
		s.timely.CompareAndSwap(0, s.answered.Load())
	}
}

// heardOf notes that Redis has answered.
func (s *cacheStats) heardOf() { s.answered.Store(max(1, int64(time.Since(s.start)))) }

// answeredWithin reports whether Redis has answered anything in the last d.
func (s *cacheStats) answeredWithin(d time.Duration) bool {
	at := time.Duration(s.answered.Load())
	return at > 0 && time.Since(s.start)-at < d
}

// reasons counts errors by their reason.
type reasons struct {
	mu sync.Mutex // guards of
	of map[remote.Reason]uint64
}

func (r *reasons) count(reason remote.Reason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == nil {
		r.of = make(map[remote.Reason]uint64)
	}
	r.of[reason]++
}

func (r *reasons) value(reason remote.Reason) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.of[reason]
}

const maxOrigins = 64 // further ones count as "other"

func (s *cacheStats) invalidated(origin string, names int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.byOrigin[origin]; !ok && len(s.byOrigin) >= maxOrigins {
		origin = "other"
	}
	s.byOrigin[origin] += uint64(names)
}

func (s *cacheStats) origins() map[string]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.byOrigin)
}
