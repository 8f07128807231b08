package main

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// checks holds, by account, what a read must not fall below.
type checks struct {
	floor []atomic.Int64 // the version whose invalidation this pod has applied
	seen  []atomic.Int64 // the highest version that a read returned; -1: never read

	reads, failed, checked, older, reverted, floors atomic.Uint64

	mu       sync.Mutex // guards examples
	examples []string
}

const maxExamples = 5

func newChecks(accounts int) *checks {
	c := &checks{floor: make([]atomic.Int64, accounts+1), seen: make([]atomic.Int64, accounts+1)}
	for i := range c.seen {
		c.seen[i].Store(-1)
	}
	return c
}

// raise says that the invalidation of version was applied here.
func (c *checks) raise(aid int, version int64) {
	c.floors.Add(1)
	raise(&c.floor[aid], version)
}

func raise(a *atomic.Int64, to int64) {
	for {
		old := a.Load()
		if to <= old || a.CompareAndSwap(old, to) {
			return
		}
	}
}

// A check is one read.
type check struct {
	c           *checks
	aid         int
	floor, seen int64
}

// begin notes, before a read, what it must not fall below.
func (c *checks) begin(aid int) check {
	return check{c: c, aid: aid, floor: c.floor[aid].Load(), seen: c.seen[aid].Load()}
}

// end judges what the read returned.
func (k check) end(a account, err error) {
	c := k.c
	c.reads.Add(1)
	if err != nil {
		c.failed.Add(1)
		c.example("account %d: %v", k.aid, err)
		return
	}
	if k.floor > 0 {
		c.checked.Add(1)
	}
	switch {
	case a.Version < k.floor:
		c.older.Add(1)
		c.example("account %d: version %d after version %d was applied", k.aid, a.Version, k.floor)
	case a.Version < k.seen:
		c.reverted.Add(1)
	}
	raise(&c.seen[k.aid], a.Version)
}

func (c *checks) example(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.examples) < maxExamples {
		c.examples = append(c.examples, fmt.Sprintf(format, args...))
	}
}

func (c *checks) counts() podCounts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return podCounts{
		Reads: c.reads.Load(), Failed: c.failed.Load(), Checked: c.checked.Load(), Older: c.older.Load(),
		Reverted: c.reverted.Load(), Floors: c.floors.Load(), Examples: c.examples,
	}
}
