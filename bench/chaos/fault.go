package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"
)

// A fault breaks something and puts it right again before it returns.
type fault struct {
	name   string
	target string // redis or postgres; empty: a process
	do     func(context.Context, *attempt) error
}

// faults are all that there are.
func faults() []fault {
	return []fault{
		{"cut", "", cut},
		{"latency", "", latency},
		{"reset", "", reset},
		{"halfopen", "", halfOpen},
		{"pause", "", suspend},
		{"kill", "", kill},
		{"redis-empty", "redis", restartEmpty},
		{"redis-aof", "redis", restartAOF},
		{"freeze", "redis", freeze},
		{"promote", "redis", promote},
		{"flushall", "redis", flushAll},
		{"evict", "redis", evict},
		{"overflow", "redis", overflow},
		{"redis-full", "redis", full},
		{"acl-revoked", "redis", revoke},
		{"postgres", "postgres", restartPostgres},
		{"ddl", "postgres", alter},
		{"pg-promote", "postgres", promoteStandby},
	}
}

func faultNames() (names []string) {
	for _, f := range faults() {
		names = append(names, f.name)
	}
	return names
}

func faultOf(name string) *fault {
	for _, f := range faults() {
		if f.name == name {
			return &f
		}
	}
	return nil
}

// An attempt is what a fault has to work with.
type attempt struct {
	*world
	*incident
	beside []*incident // all of the round
	random *rand.Rand
	lasts  time.Duration
}

func (a *attempt) child() *child {
	for _, c := range a.children() {
		if c.name == a.Target {
			return c
		}
	}
	panic("bug: no process " + a.Target)
}

// bystander draws a pod that no fault of the round is about; nil: there is none.
func (a *attempt) bystander() *child {
	var free []*child
	for _, c := range a.pods {
		if !slices.ContainsFunc(a.beside, func(i *incident) bool { return i.Target == c.name }) {
			free = append(free, c)
		}
	}
	if len(free) == 0 {
		return nil
	}
	return free[a.random.IntN(len(free))]
}

// way is the proxy to break: a follower's source now and then.
func (a *attempt) way() *proxy {
	c := a.child()
	if c.source != nil && a.random.IntN(4) == 0 {
		a.Note = "to PostgreSQL"
		return c.source
	}
	return c.proxy
}

func cut(ctx context.Context, a *attempt) error {
	way := a.way()
	if err := way.cut(); err != nil {
		return err
	}
	wait := pause(ctx, a.lasts)
	if err := way.join(); err != nil {
		return err
	}
	return wait
}

// poisoned puts toxics on both directions, or the one given, for a while.
func (a *attempt) poisoned(ctx context.Context, kind, attributes string, directions ...string) error {
	way := a.way()
	for _, d := range directions {
		if err := way.poison(kind, d, attributes); err != nil {
			return err
		}
	}
	wait := pause(ctx, a.lasts)
	if err := way.heal(); err != nil {
		return err
	}
	return wait
}

func latency(ctx context.Context, a *attempt) error {
	return a.poisoned(ctx, "latency", `"latency": 120, "jitter": 100`, "upstream", "downstream")
}

func reset(ctx context.Context, a *attempt) error {
	return a.poisoned(ctx, "reset_peer", `"timeout": 0`, "downstream")
}

// halfOpen keeps connections open and lets nothing through: what is sent is lost, or arrives later than anybody waits for it.
func halfOpen(ctx context.Context, a *attempt) error {
	if a.random.IntN(2) == 0 {
		return a.poisoned(ctx, "latency", `"latency": 2500`, "downstream")
	}
	return a.poisoned(ctx, "timeout", `"timeout": 0`, "upstream", "downstream")
}

// suspend stops the process for longer than any of its timeouts.
func suspend(ctx context.Context, a *attempt) error {
	a.lasts = max(a.lasts, 2*time.Second) + 4*time.Second
	c := a.child()
	if err := c.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	wait := pause(ctx, a.lasts)
	a.Note = fmt.Sprintf("for %s", a.lasts.Round(time.Second))
	if err := c.signal(syscall.SIGCONT); err != nil {
		return err
	}
	return wait
}

// kill takes the process away and starts it again.
func kill(ctx context.Context, a *attempt) error {
	c := a.child()
	if err := c.kill(); err != nil {
		return err
	}
	if err := pause(ctx, a.lasts); err != nil {
		return err
	}
	return c.start(a.dir)
}

func restartPostgres(ctx context.Context, a *attempt) error {
	end := a.postgres.Stop
	if a.random.IntN(2) == 0 {
		end, a.Note = a.postgres.Kill, "killed"
	}
	if err := end(); err != nil {
		return err
	}
	if err := pause(ctx, a.lasts/2); err != nil {
		return err
	}
	return a.postgres.Start()
}
