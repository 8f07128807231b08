package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	pods     int
	duration time.Duration
	faults   []string
	seed     uint64
	calm     time.Duration
	sabotage []string
	keep     string
	json     string
}

func parseFlags(args []string) (options, error) {
	o, faults, sabotage := options{}, "", ""
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.IntVar(&o.pods, "pods", 3, "processes that read and write through the cache")
	flags.DurationVar(&o.duration, "for", time.Minute, "how long faults are made")
	flags.StringVar(&faults, "faults", "all", "all, none, or a list: "+strings.Join(faultNames(), ","))
	flags.Uint64Var(&o.seed, "seed", 0, "of the schedule; 0: one at random, which the report shows")
	flags.DurationVar(&o.calm, "calm", 0, "the least time between faults; 0: by the length of the run, 2s to 6s")
	flags.StringVar(&sabotage, "sabotage", "", "break the cache, to see the checks fail: a list of "+strings.Join(sabotages, ","))
	flags.StringVar(&o.keep, "keep", "", "a directory that must not exist, for the histories and the servers' logs; empty: a temporary one, which goes")
	flags.StringVar(&o.json, "json", "", "a file for the report as JSON")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch faults {
	case "all":
		o.faults = faultNames()
	case "none", "":
	default:
		o.faults = strings.Split(faults, ",")
	}
	for _, f := range o.faults {
		if faultOf(f) == nil {
			return o, fmt.Errorf("chaos: -faults: there is no %q", f)
		}
	}
	if sabotage != "" {
		o.sabotage = strings.Split(sabotage, ",")
	}
	for _, s := range o.sabotage {
		if !slices.Contains(sabotages, s) {
			return o, fmt.Errorf("chaos: -sabotage: there is no %q", s)
		}
	}
	if o.pods < 1 || o.duration < time.Second || flags.NArg() > 0 {
		return o, errors.New("chaos: -pods is at least 1, -for at least 1s; nothing follows the flags")
	}
	if o.seed == 0 {
		o.seed = 1 + rand.Uint64N(1<<32)
	}
	if o.calm == 0 {
		o.calm = max(2*time.Second, min(6*time.Second, o.duration/60))
	}
	return o, nil
}

func main() {
	if len(os.Args) == 2 && (os.Args[1] == podCommand || os.Args[1] == followerCommand) {
		exit(serve(os.Args[1], os.Stdin, os.Stdout))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(run(ctx, os.Args[1:], os.Stdout))
}

func exit(err error) {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		os.Exit(0)
	}
	fmt.Fprintln(os.Stderr, "chaos:", err)
	os.Exit(1)
}

// run is a whole invocation. Its error is whatever should make the exit code non-zero.
func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parseFlags(args)
	if err != nil {
		return err
	}
	r, err := chaos(ctx, o, out)
	if err != nil {
		return err
	}
	r.print(out)
	if o.json != "" {
		err = r.save(o.json)
	}
	return errors.Join(err, r.verdict())
}

// chaos makes a world, lets the schedule go over it and checks the histories.
func chaos(ctx context.Context, o options, out io.Writer) (_ *report, err error) {
	w, err := newWorld(ctx, o, out)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if err := w.start(); err != nil {
		return nil, err
	}
	if err := w.play(ctx); err != nil {
		return nil, err
	}
	if err := w.stopChildren(); err != nil {
		return nil, err
	}
	h, err := readHistories(w.dir)
	if err != nil {
		return nil, err
	}
	return check(h, w)
}
