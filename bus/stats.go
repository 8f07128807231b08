package bus

import "sync/atomic"

// Stats counts what a bus has seen since it was opened.
type Stats struct {
	Heard         uint64 // numbered messages handed over as they came
	Replayed      uint64 // numbered messages that did not come, or too late, and were read from the journal
	Gaps          uint64 // times that a message came whose predecessors had not
	Resyncs       uint64 // times that the receiver had to start anew
	Subscriptions uint64 // confirmed; all but the first are reconnects
	FailedProbes  uint64 // times that the head of the journal could not be read
}

// counters are Stats in the making.
type counters struct {
	heard, replayed, gaps, resyncs, subscriptions, failedProbes atomic.Uint64
}

// Stats returns the counts so far.
func (b *Bus) Stats() Stats {
	c := &b.stats
	return Stats{
		Heard: c.heard.Load(), Replayed: c.replayed.Load(), Gaps: c.gaps.Load(), Resyncs: c.resyncs.Load(),
		Subscriptions: c.subscriptions.Load(), FailedProbes: c.failedProbes.Load(),
	}
}
