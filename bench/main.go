package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// podCommand is the hidden subcommand of the processes that the program starts.
const podCommand = "pod"

func main() {
	if len(os.Args) == 2 && os.Args[1] == podCommand {
		exit(servePod(os.Stdin, os.Stdout))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(run(ctx, os.Args[1:], os.Stdout))
}

func exit(err error) {
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		os.Exit(0)
	default:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run is a whole invocation. Its error is whatever should make the exit code non-zero.
func run(ctx context.Context, args []string, out io.Writer) error {
	commands := map[string]func(context.Context, []string, io.Writer) error{
		"herd": herdCommand, "hit": hitCommand, "coherence": coherenceCommand,
		"fanout": fanoutCommand, "keys": keysCommand, "cdc": cdcCommand,
	}
	if len(args) > 0 && commands[args[0]] != nil {
		return commands[args[0]](ctx, args[1:], out)
	}
	return errors.New("usage: bench herd|hit|coherence|fanout|keys|cdc [flags]; -h lists the flags of each")
}
