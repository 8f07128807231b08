// Command model explores small worlds of the protocol completely: every order of every step, with every fault that the world
// knows. A world that keeps its promises is explored again without each of its rules, and each time a promise has to break.
//
//	go run ./internal/model             # all of them
//	go run ./internal/model -run lease  # those whose name matches
//	go run ./internal/model -v          # with the shortest way to each broken promise
//	go run ./internal/model -list       # the rules, and explore nothing
//
// A state is a value, a world a function from a state to those that may follow. The worlds mirror the code step by step and name
// the functions that they mirror; what a world leaves out, it says.
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"
)

func worlds() []world {
	return []world{
		guardWorld(), joinerWorld(), keeperWorld(), leaseWorld(), setWorld(), setAloneWorld(), tickWorld(), bucketWorld(), resyncWorld(),
		busWorld(), failoverWorld(), followerWorld(), followersWorld(), firstWorld(), namelessWorld(), marksWorld(), historyWorld(), historySyncWorld(), settleWorld(), nestingWorld(),
	}
}

func main() {
	pattern := flag.String("run", "", "only worlds whose name matches this `regexp`")
	verbose := flag.Bool("v", false, "print how each mutation breaks its world")
	list := flag.Bool("list", false, "print the rules as a Markdown table, and explore nothing")
	flag.Parse()
	re, err := regexp.Compile(*pattern)
	if err != nil {
		fmt.Fprintln(os.Stderr, "model: -run:", err)
		os.Exit(2)
	}
	if *list {
		printRules()
		return
	}
	if !run(re, *verbose) {
		os.Exit(1)
	}
}

func printRules() {
	fmt.Println("| world | mutation | the rule that it takes out |\n| --- | --- | --- |")
	for _, w := range worlds() {
		for _, m := range w.mutations {
			fmt.Printf("| `%s` | `%s` | %s |\n", w.name, m.name, m.rule)
		}
	}
}

// run explores the worlds that match and prints a line for each. It is true when all are whole and all their mutations caught.
func run(re *regexp.Regexp, verbose bool) bool {
	began, ok, states, caught, all := time.Now(), true, 0, 0, 0
	fmt.Printf("| %-10s | %9s | %11s | %6s | %9s | %-s |\n", "world", "states", "transitions", "time", "mutations", "what it is")
	fmt.Println("| --- | ---: | ---: | ---: | ---: | --- |")
	for _, w := range worlds() {
		if !re.MatchString(w.name) {
			continue
		}
		v := w.verify()
		states, caught, all = states+v.clean.states, caught+v.caught, all+len(w.mutations)
		fmt.Printf("| %-10s | %9d | %11d | %5.1fs | %9s | %s |\n", w.name, v.clean.states, v.clean.transitions, v.took.Seconds(),
			fmt.Sprintf("%d/%d", v.caught, len(w.mutations)), w.about)
		for _, problem := range v.problems {
			ok = false
			fmt.Printf("%s: %s\n", w.name, problem)
		}
		if verbose {
			fmt.Print(v.traces)
		}
	}
	fmt.Printf("\n%d states, %d of %d mutations caught, in %.1fs\n", states, caught, all, time.Since(began).Seconds())
	return ok
}

// A verdict is what is known of a world.
type verdict struct {
	clean    result
	caught   int
	took     time.Duration
	problems []string
	traces   string
}

// verify explores w whole, and without each of its rules.
func (w world) verify() verdict {
	began := time.Now()
	v := verdict{clean: w.explore(whole)}
	if v.clean.broken != "" {
		v.problems = append(v.problems, "BROKEN: "+v.clean.broken+"\n"+numbered(v.clean.trace))
	}
	for _, step := range w.reaches {
		if !v.clean.steps[step] && v.clean.broken == "" {
			v.problems = append(v.problems, fmt.Sprintf("never does %q: what it promises is worth nothing", step))
		}
	}
	for _, m := range w.mutations {
		r := w.explore(m.off)
		if r.broken == "" {
			v.problems = append(v.problems, fmt.Sprintf("SURVIVES in %d states without %s: %s", r.states, m.name, m.rule))
			continue
		}
		v.caught++
		v.traces += fmt.Sprintf("\n%s without %s (%s): %s\n%s", w.name, m.name, m.rule, r.broken, numbered(r.trace))
	}
	v.took = time.Since(began)
	return v
}

func numbered(steps []string) string {
	var b strings.Builder
	for i, step := range steps {
		fmt.Fprintf(&b, "  %2d %s\n", i+1, step)
	}
	return b.String()
}
