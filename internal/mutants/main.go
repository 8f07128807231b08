// Command mutants takes the rules that keep the cache coherent out of the code, one at a time, and runs the test that has to
// notice. A rule whose test still passes without it is not proven by that test: the program names it and fails.
//
//	go run ./internal/mutants              # all of them, a few minutes
//	go run ./internal/mutants -run '^bus-' # those whose name matches
//	go run ./internal/mutants -list        # the table in docs/mutants.md
//	go run ./internal/mutants -seek 200    # which of the first 200 seeds of the simulation show them
//
// It works on copies in a temporary directory and needs what the tests need: a redis-server, and PostgreSQL for those of its feed.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// A mutation takes one rule out.
type mutation struct {
	name string // lower case, words joined by '-', beginning with the place
	rule string // what the code promises as long as it is whole
	file string // from the root of the module
	old  string // occurs exactly once in file
	new  string

	pkg   string        // whose tests notice: a directory
	run   string        // the pattern of -test.run; no other test is run
	count int           // runs of those tests, for a fault that needs luck to show; 0 is 1
	limit time.Duration // of all runs, where a test hangs without the rule; 0 is testTimeout

	seed uint64 // of the simulation that shows a broken promise besides; 0: none is known

	survives string // why no test notices and that is right; "" for almost all
}

func mutations() []mutation {
	var all []mutation
	for _, of := range [][]mutation{
		guardMutations, tableMutations, fullMutations, claimMutations, tickMutations, leaseMutations, busMutations, readMutations, invalidateMutations, setMutations,
		flightMutations, stuckMutations, feedMutations, sourceMutations, routeMutations, nestMutations, valueMutations, indexMutations, keysMutations, entryMutations,
		refuseMutations,
	} {
		all = append(all, of...)
	}
	return all
}

func main() {
	pattern := flag.String("run", "", "only mutations whose name matches this `regexp`")
	list := flag.Bool("list", false, "print the rules and their tests as a Markdown table, and run nothing")
	seek := flag.Uint64("seek", 0, "do not run the tests: look for the first seed, up to `n`, with which the simulation shows the mutation")
	workers := flag.Int("p", min(2, runtime.NumCPU()), "how many run at once")
	flag.Parse()
	chosen, err := choose(*pattern)
	if err != nil {
		fail(err)
	}
	if *list {
		fmt.Print(table(chosen))
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ok, err := prove(ctx, chosen, max(1, *workers), *seek)
	if err != nil {
		fail(err)
	}
	if !ok {
		os.Exit(1)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "mutants:", err)
	os.Exit(2)
}

func choose(pattern string) ([]mutation, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("-run: %w", err)
	}
	var chosen []mutation
	for _, m := range mutations() {
		if re.MatchString(m.name) {
			chosen = append(chosen, m)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("-run: no mutation matches %q", pattern)
	}
	return chosen, nil
}

// table shows mutations as Markdown.
func table(all []mutation) string {
	var b strings.Builder
	b.WriteString("| mutation | the rule that it takes out | noticed by |\n| --- | --- | --- |\n")
	for _, m := range all {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", m.name, m.rule, noticedBy(m))
	}
	return b.String()
}

func noticedBy(m mutation) string {
	if m.survives != "" {
		return "nobody: " + m.survives
	}
	var tests []string
	for test := range strings.SplitSeq(m.run, "|") {
		tests = append(tests, "`"+strings.NewReplacer("^", "", "$", "").Replace(test)+"`")
	}
	by := m.pkg + ": " + strings.Join(tests, ", ")
	if m.count > 1 {
		by += fmt.Sprintf(", at most %d times", m.count)
	}
	if m.seed != 0 {
		by += fmt.Sprintf("; seed %d", m.seed)
	}
	return by
}
