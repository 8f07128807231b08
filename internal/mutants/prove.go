package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// What became of a mutation.
const (
	caught   = "caught"
	survived = "SURVIVED"
	expected = "survives" // and the table says why
	broken   = "broken"   // the mutation says nothing: it doesn't apply, doesn't compile, or its test fails without it
)

// prove tries mutations, several at once, each worker in a copy of its own. It is true when all ended as they should. With seek, it
// looks for seeds instead.
func prove(ctx context.Context, all []mutation, workers int, seek uint64) (bool, error) {
	began := time.Now()
	root, err := moduleRoot()
	if err != nil {
		return false, err
	}
	temp, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return false, err
	}
	defer func() { _ = os.RemoveAll(temp) }()
	trees := make([]tree, workers)
	for i := range trees {
		trees[i] = tree{filepath.Join(temp, fmt.Sprint(i))}
		if err := copyTree(root, trees[i].dir); err != nil {
			return false, err
		}
	}
	p := &prover{ends: make(map[string]int)}
	if seek != 0 {
		p.mutated(ctx, trees, all, func(t tree, m mutation) (string, string) { return seekSeed(ctx, t, m, seek) })
		return true, ctx.Err()
	}
	if err := errors.Join(p.unmutated(ctx, trees[0], all), p.unmutatedSeeds(ctx, trees[0], all)); err != nil {
		return false, err
	}
	p.mutated(ctx, trees, all, func(t tree, m mutation) (string, string) { return p.try(ctx, t, m) })
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	fmt.Printf("%d mutations in %s: %d caught, %d survived, %d survive as expected, %d broken\n", len(all),
		time.Since(began).Round(time.Second), p.ends[caught], p.ends[survived], p.ends[expected], p.ends[broken])
	return p.ends[survived]+p.ends[broken] == 0, nil
}

// A prover counts how mutations end.
type prover struct {
	failing []string        // tests that fail in the whole tree, each with its package before it
	dirty   map[uint64]bool // seeds that show a violation in the whole tree

	mu   sync.Mutex // guards ends, and printing
	ends map[string]int
}

// unmutated runs the tests of all mutations in the whole tree, as often as the mutations do.
func (p *prover) unmutated(ctx context.Context, t tree, all []mutation) error {
	for _, pkg := range packages(all) {
		runs := make(map[int]map[string]bool) // by count
		for _, m := range all {
			if m.pkg == pkg && m.run != "" {
				if runs[m.count] == nil {
					runs[m.count] = make(map[string]bool)
				}
				runs[m.count][m.run] = true
			}
		}
		began := time.Now()
		binary, err := t.build(ctx, pkg, "whole.test")
		if err != nil {
			return fmt.Errorf("the unmutated tree: %w", err)
		}
		failed := 0
		for count, patterns := range runs {
			r, err := t.test(ctx, binary, pkg, join(patterns), count, 0)
			if err != nil {
				return fmt.Errorf("the unmutated tree: %s: %w", pkg, err)
			}
			for _, test := range r.failed {
				p.failing = append(p.failing, pkg+" "+test)
				fmt.Printf("unmutated, %s FAILS\n", test)
				failed++
			}
		}
		if failed == 0 {
			fmt.Printf("unmutated, the tests of %s pass  %.1fs\n", pkg, time.Since(began).Seconds())
		}
	}
	return nil
}

func join(patterns map[string]bool) string {
	var all []string
	for pattern := range patterns {
		all = append(all, pattern)
	}
	return strings.Join(all, "|")
}

// mutated tries each mutation and prints a line for it.
func (p *prover) mutated(ctx context.Context, trees []tree, all []mutation, try func(tree, mutation) (end, detail string)) {
	jobs := make(chan mutation)
	var wg sync.WaitGroup
	for _, t := range trees {
		wg.Go(func() {
			for m := range jobs {
				began := time.Now()
				end, detail := try(t, m)
				if ctx.Err() != nil {
					continue
				}
				p.mu.Lock()
				p.ends[end]++
				fmt.Printf("%-32s %-8s  %s  %.1fs\n", m.name, end, detail, time.Since(began).Seconds())
				p.mu.Unlock()
			}
		})
	}
	for _, m := range all {
		jobs <- m
	}
	close(jobs)
	wg.Wait()
}

// try takes the rule out of t, runs its tests and its seed, and puts it back. detail is the test that failed, or what is wrong.
func (p *prover) try(ctx context.Context, t tree, m mutation) (end, detail string) {
	if test := p.failsAlready(m); test != "" {
		return broken, test + " fails without the mutation"
	}
	restore, err := m.apply(t.dir)
	if err != nil {
		return broken, err.Error()
	}
	defer func() {
		if err := restore(); err != nil {
			end, detail = broken, err.Error()
		}
	}()
	if end, detail = t.tryTests(ctx, m); end != caught || m.seed == 0 {
		return end, detail
	}
	what, err := t.trySeed(ctx, m.seed)
	switch {
	case p.dirty[m.seed]:
		return broken, fmt.Sprintf("seed %d shows a violation without the mutation", m.seed)
	case err != nil:
		return broken, err.Error()
	case what == "":
		return survived, fmt.Sprintf("%s noticed, seed %d did not", detail, m.seed)
	}
	return caught, fmt.Sprintf("%s; seed %s", detail, what)
}

func (t tree) tryTests(ctx context.Context, m mutation) (end, detail string) {
	binary, err := t.build(ctx, m.pkg, "mutant.test")
	if err != nil {
		return broken, err.Error()
	}
	r, err := t.test(ctx, binary, m.pkg, m.run, m.count, m.limit, "-test.failfast")
	switch {
	case err != nil:
		return broken, err.Error()
	case !r.ran:
		return broken, fmt.Sprintf("there is no test %s in %s", m.run, m.pkg)
	case m.survives != "" && len(r.failed) == 0:
		return expected, m.survives
	case m.survives != "":
		return broken, innermost(r.failed) + " fails, though the table says that nothing does"
	case len(r.failed) == 0:
		return survived, fmt.Sprintf("%s passed, run %d times", m.run, cmp.Or(m.count, 1))
	}
	return caught, innermost(r.failed)
}

// failsAlready is a test of m that fails in the whole tree.
func (p *prover) failsAlready(m mutation) string {
	for alternative := range strings.SplitSeq(m.run, "|") {
		outer, _, _ := strings.Cut(alternative, "/")
		re, err := regexp.Compile(outer)
		for _, failing := range p.failing {
			pkg, test, _ := strings.Cut(failing, " ")
			test, _, _ = strings.Cut(test, "/")
			if pkg == m.pkg && (err != nil || re.MatchString(test)) {
				return test
			}
		}
	}
	return ""
}
