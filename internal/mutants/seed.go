package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"
)

// simulation is the package that runs the real code under faults, from a seed.
const simulation = "internal/sim"

// seedTries is how often a seed is run that shows nothing: a few in a hundred do not come out the same again.
const seedTries = 3

// unmutatedSeeds runs the seeds of all mutations in the whole tree, where they must show nothing.
func (p *prover) unmutatedSeeds(ctx context.Context, t tree, all []mutation) error {
	p.dirty = make(map[uint64]bool)
	seeds := make(map[uint64]bool)
	for _, m := range all {
		if m.seed != 0 {
			seeds[m.seed] = true
		}
	}
	if len(seeds) == 0 {
		return nil
	}
	began := time.Now()
	binary, err := t.build(ctx, simulation, "whole.test")
	if err != nil {
		return fmt.Errorf("the unmutated tree: %w", err)
	}
	for seed := range seeds {
		what, err := t.simulate(ctx, binary, seed, 1)
		if err != nil {
			return fmt.Errorf("the unmutated tree: %w", err)
		}
		if what != "" {
			p.dirty[seed] = true
			fmt.Printf("unmutated, seed %s\n", what)
		}
	}
	fmt.Printf("unmutated, %d of %d seeds show nothing  %.1fs\n", len(seeds)-len(p.dirty), len(seeds), time.Since(began).Seconds())
	return nil
}

// trySeed builds the simulation in t, as it is, and runs a seed until it shows something. what is the violation, "" for none.
func (t tree) trySeed(ctx context.Context, seed uint64) (what string, err error) {
	binary, err := t.build(ctx, simulation, "mutant.test")
	if err != nil {
		return "", err
	}
	for range seedTries {
		if what, err = t.simulate(ctx, binary, seed, 1); what != "" || err != nil {
			break
		}
	}
	return what, err
}

// seekSeed looks for the first seed that shows a mutation.
func seekSeed(ctx context.Context, t tree, m mutation, n uint64) (end, detail string) {
	restore, err := m.apply(t.dir)
	if err != nil {
		return broken, err.Error()
	}
	binary, err := t.build(ctx, simulation, "mutant.test")
	if err := errors.Join(err, restore()); err != nil {
		return broken, err.Error()
	}
	what, err := t.simulate(ctx, binary, 1, n)
	switch {
	case err != nil:
		return broken, err.Error()
	case what == "":
		return "no seed", fmt.Sprintf("of the first %d", n)
	}
	return "seed", what
}

var violation = regexp.MustCompile(`(?m)^\s*sim_test\.go:\d+: seed (\d+: .*)$`)

// simulate runs n seeds from first on, up to the first that shows a violation: its number and the violation.
func (t tree) simulate(ctx context.Context, binary string, first, n uint64) (what string, err error) {
	limit := testTimeout + time.Duration(n)*2*time.Second
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "-test.run=^TestSeeds$", "-test.timeout="+limit.String(),
		"-first", fmt.Sprint(first), "-seeds", fmt.Sprint(n))
	cmd.Dir = filepath.Join(t.dir, simulation)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err == nil {
		return "", nil
	}
	if !errors.As(err, &exit) || ctx.Err() != nil {
		return "", errors.Join(err, ctx.Err())
	}
	if match := violation.FindSubmatch(out); match != nil {
		return string(match[1]), nil
	}
	return "", fmt.Errorf("the simulation ended without naming a seed: %w\n%s", err, out[max(0, len(out)-2000):])
}
