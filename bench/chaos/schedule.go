package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// An incident is one fault, done.
type incident struct {
	Fault  string
	Target string // a process, or a server
	Begin  instant
	End    instant
	Note   string // what it did that can be counted
	Err    string
}

func (i *incident) String() string { return i.Fault + " of " + i.Target }

// play lets the faults go over the world until the time is over, and then gives it time to get well.
func (w *world) play(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	w.began = now()
	s := &schedule{w: w, random: rand.New(rand.NewPCG(w.o.seed, 1)), ends: w.began.add(w.o.duration)}
	wg.Go(func() { w.recordProbe(ctx) })
	wg.Go(func() { s.progress(ctx) })
	for ctx.Err() == nil && now() < s.ends {
		if err := pause(ctx, w.o.calm+time.Duration(s.random.Int64N(int64(w.o.calm)))); err != nil {
			return err
		}
		if err := s.round(ctx); err != nil {
			return err
		}
	}
	return pause(ctx, 2*maxStaleness)
}

// A schedule draws faults. Each of the run's comes once before any comes again.
type schedule struct {
	w      *world
	random *rand.Rand
	ends   instant
	due    []string
	long   bool // the pause of 60 s was

	mu      sync.Mutex // guards current
	current []string
}

// round makes one fault, or two at once in one of three rounds: of different targets, since a fault undoes what it did to its
// own, and only one that is about a server.
func (s *schedule) round(ctx context.Context) error {
	if len(s.w.o.faults) == 0 || now() >= s.ends {
		return nil
	}
	made := []*incident{s.draw(nil)}
	if s.random.IntN(3) == 0 && len(s.w.o.faults) > 1 {
		if second := s.draw(made[0]); second != nil {
			made = append(made, second)
		}
	}
	s.show(made)
	var wg sync.WaitGroup
	for _, i := range made {
		env := &attempt{world: s.w, incident: i, beside: made, random: rand.New(rand.NewPCG(s.random.Uint64(), 2))}
		env.lasts = 2*time.Second + time.Duration(s.random.Int64N(int64(4*time.Second)))
		if i.Fault == "pause" && !s.long && s.w.o.duration >= 5*time.Minute {
			s.long, env.lasts = true, time.Minute
		}
		i.Begin = now()
		wg.Go(func() {
			if err := faultOf(i.Fault).do(ctx, env); err != nil {
				i.Err = err.Error()
			}
			i.End = now()
		})
	}
	wg.Wait()
	s.w.faults = append(s.w.faults, made...)
	s.show(nil)
	for _, i := range made {
		if i.Err != "" && ctx.Err() == nil {
			return fmt.Errorf("%s: %s", i, i.Err)
		}
	}
	return ctx.Err()
}

// draw takes the next fault; beside another one that is under way, one of another target, or nil.
func (s *schedule) draw(beside *incident) *incident {
	for range 20 {
		if len(s.due) == 0 {
			s.due = slices.Clone(s.w.o.faults)
			s.random.Shuffle(len(s.due), func(i, j int) { s.due[i], s.due[j] = s.due[j], s.due[i] })
		}
		for n, name := range s.due {
			i := &incident{Fault: name, Target: s.target(name)}
			if beside != nil && (i.Target == beside.Target || isServer(i.Target) && isServer(beside.Target)) {
				continue
			}
			s.due = slices.Delete(s.due, n, n+1)
			return i
		}
		if beside != nil {
			return nil
		}
	}
	panic("bug: no fault fits")
}

func isServer(target string) bool { return target == "redis" || target == "postgres" }

// target draws the process that a fault is about. One of three is the follower.
func (s *schedule) target(fault string) string {
	switch t := faultOf(fault).target; {
	case t != "":
		return t
	case s.random.IntN(3) == 0:
		return s.w.followers[s.random.IntN(2)].name
	}
	return s.w.pods[s.random.IntN(len(s.w.pods))].name
}

func (s *schedule) show(made []*incident) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = nil
	for _, i := range made {
		s.current = append(s.current, i.String())
	}
	if len(made) > 0 {
		s.line()
	}
}

// progress prints a line each ten seconds, besides those at each fault.
func (s *schedule) progress(ctx context.Context) {
	every(ctx, 10*time.Second, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.line()
	})
}

func (s *schedule) line() {
	var reads, errs, loads, writes int64
	for _, p := range s.w.pods {
		reads, errs, loads, writes = reads+p.reads.Load(), errs+p.errors.Load(), loads+p.loads.Load(), writes+p.writes.Load()
	}
	what := "calm"
	if len(s.current) > 0 {
		what = strings.Join(s.current, ", ")
	}
	say(s.w.out, fmt.Sprintf("%6s  %9d reads %6d failed  %7d loads %6d writes   %s",
		now().sub(s.w.began).Round(time.Second), reads, errs, loads, writes, what))
}
