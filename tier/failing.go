package tier

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tandem-cache/tandem/remote"
)

const (
	failingLife = time.Minute      // for which a failure that was not tried again is told
	failingLog  = 30 * time.Second // between two lines about the beginning of one
)

// failing remembers which writes Redis does not take, and in what words. A write that succeeds ends the failure of its kind.
type failing struct {
	log   *slog.Logger
	cache string
	begun func(op remoteOp) // called when a failure begins, or goes on; nil: nobody listens

	some atomic.Uint32 // a bit for each kind that fails: a success looks no further than this

	mu sync.Mutex // guards by
	by [opCount]failure
}

// A failure of one kind of write. The zero value is none.
type failure struct {
	since, last time.Time
	times       uint64
	reason      remote.Reason
	err         error
	logged      time.Time // the last line about its beginning
	told        bool      // that line is of this failure
}

// isWrite reports whether an operation writes, or publishes.
func (op remoteOp) isWrite() bool {
	switch op {
	case opGet, opJudge, opScan, opProbe:
		return false
	}
	return true
}

// note takes the outcome of a call. What its caller gave up says nothing.
func (f *failing) note(op remoteOp, err error) {
	if !op.isWrite() || err == nil && f.some.Load()&(1<<op) == 0 {
		return
	}
	reason := remote.ReasonOf(err)
	if reason == remote.Canceled {
		return
	}
	if err == nil {
		f.end(op)
		return
	}
	f.fail(op, err, reason)
	if f.begun != nil {
		f.begun(op)
	}
}

func (f *failing) fail(op remoteOp, err error, reason remote.Reason) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now, one := time.Now(), &f.by[op]
	if one.err == nil {
		one.since, one.times, one.told = now, 0, false
		f.some.Or(1 << op)
	}
	one.last, one.err, one.reason = now, err, reason
	one.times++
	if !one.told && reason.Refusal() && now.Sub(one.logged) >= failingLog {
		one.told, one.logged = true, now
		f.log.Warn("tier: Redis refuses a write", "cache", f.cache, "op", opNames[op], "reason", reason, "error", err)
	}
}

func (f *failing) end(op remoteOp) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one := &f.by[op]
	if one.err != nil && one.told {
		f.log.Info("tier: Redis takes the write again", "cache", f.cache, "op", opNames[op], "after", time.Since(one.since).Round(time.Millisecond), "failed", one.times)
	}
	*one = failure{logged: one.logged}
	f.some.And(^uint32(1 << op))
}

// of returns the failure of an operation, if it is one of now: a trial keeps that of invalidations up to date.
func (f *failing) of(op remoteOp) failure {
	f.mu.Lock()
	defer f.mu.Unlock()
	if one := f.by[op]; time.Since(one.last) < failingLife {
		return one
	}
	return failure{}
}

// A writing is what fails for users when operations fail.
type writing struct {
	ops     []remoteOp
	what    string // fails
	so      string // what that means
	refused bool   // told only if Redis refuses: that it does not answer is told elsewhere
}

var writings = []writing{
	{[]remoteOp{opInvalidate, opSet}, "invalidations fail", "Invalidate returns the error, followers hold their batches, other pods keep what they have", false},
	{[]remoteOp{opCheckpoint}, "checkpoints of feeds can't be read or moved", "followers hold their batches, or can't begin", true},
	{[]remoteOp{opReport}, "reports of feeds can't be sent", "other pods may take the feed as silent", true},
	{[]remoteOp{opLease, opFill, opRenew, opRelease, opIndex, opSweep}, "values can't be stored", "each pod loads for itself", true},
}

// problems tells what fails, since when and in Redis's words.
func (f *failing) problems() (problems []string) {
	if f.some.Load() == 0 {
		return nil
	}
	for _, w := range writings {
		if worst := f.worst(w); worst.err != nil {
			text := fmt.Sprintf("%s since %s (%s): %s: %s", w.what, timestamp(worst.since), time.Since(worst.since).Round(time.Second), wordsOf(worst.err), w.so)
			if remedy := remedies[worst.reason]; remedy != "" {
				text += "; " + remedy
			}
			problems = append(problems, text)
		}
	}
	return problems
}

// worst is the failure of a writing that has lasted longest; one that Redis refuses before others.
func (f *failing) worst(w writing) (worst failure) {
	for _, op := range w.ops {
		one := f.of(op)
		if one.err == nil || w.refused && !one.reason.Refusal() {
			continue
		}
		longer := one.since.Before(worst.since) && one.reason.Refusal() == worst.reason.Refusal()
		if worst.err == nil || longer || one.reason.Refusal() && !worst.reason.Refusal() {
			worst = one
		}
	}
	return worst
}

// maxWords bounds what health shows of an error.
const maxWords = 512

func wordsOf(err error) string {
	text := err.Error()
	return text[:min(len(text), maxWords)]
}

// remedies are what an operator does about a refusal.
var remedies = map[remote.Reason]string{
	remote.OOM:        "raise Redis's maxmemory, or set an allkeys- eviction policy",
	remote.Misconf:    "Redis can't persist: look at its log and disk",
	remote.ReadOnly:   "Config.Redis leads to a replica: let it lead to the master",
	remote.NoReplicas: "Redis has fewer replicas in touch than min-replicas-to-write: bring them back",
	remote.Auth:       "give the client the user and password that Redis knows",
	remote.NoPerm:     "give the user what it lacks: Cache.Check lists it, docs/redis.md has the smallest set",
}

// checked counts a call about a checkpoint, or the lease of a feed.
func (c *Cache) checked(began time.Time, err error) error {
	c.stats.remoteCall(opCheckpoint, began, err)
	return err
}
