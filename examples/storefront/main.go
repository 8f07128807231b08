// Command storefront is a small shop over three pods: orders, a catalog, invoices of an external billing system and a mapping
// of users, each cached as a product team would write it.
//
//	go run ./examples/storefront
//
// needs nothing: Redis and the database are embedded. With REDIS_URL and DATABASE_URL (PostgreSQL) it uses real ones, keeps to
// the schema storefront, and follows the database by logical replication. With -salesforce orders and catalog live in a Salesforce org, a fake
// one, and two feeds of change events keep the caches true to it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9/logging"

	"github.com/tandem-cache/tandem/tier"
)

// shutdownTimeout bounds the end of the program after Ctrl-C.
const shutdownTimeout = 8 * time.Second

// config is what the command line and the environment say.
type config struct {
	host        string
	port        int // of the first pod; the others follow. 0: any free ones
	pods        int
	redisURL    string        // empty: embedded
	databaseURL string        // empty: embedded
	salesforce  bool          // orders and catalog come from an org in this process
	redisLimit  time.Duration // how long a call to Redis may take before a pod goes on without; zero: the cache's default
	log         *slog.Logger
}

func main() {
	cfg := config{redisURL: os.Getenv("REDIS_URL"), databaseURL: os.Getenv("DATABASE_URL")}
	flag.StringVar(&cfg.host, "addr", "127.0.0.1", "address the pods listen on")
	flag.IntVar(&cfg.port, "port", 8081, "port of the first pod, the others take the next ones; 0: any free ports")
	flag.IntVar(&cfg.pods, "pods", 3, "number of pods")
	flag.DurationVar(&cfg.redisLimit, "redis-timeout", tier.DefaultRemoteTimeout, "how long a call to Redis may take before a pod goes on without it")
	flag.BoolVar(&cfg.salesforce, "salesforce", false, "take orders and catalog from a Salesforce org, a fake in this process, by its change events")
	verbose := flag.Bool("v", false, "log what goes well, too")
	flag.Parse()

	level := slog.LevelWarn
	if *verbose {
		level = slog.LevelInfo
	}
	logging.Disable() // go-redis's own: the caches log what goes wrong with Redis
	cfg.log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	slog.SetDefault(cfg.log)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, cfg, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "storefront:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends, and leaves nothing behind.
func run(ctx context.Context, cfg config, out io.Writer) error {
	f, err := startFleet(ctx, cfg)
	switch {
	case err != nil && ctx.Err() != nil:
		return errors.New("stopped while starting")
	case err != nil:
		return err
	}
	say := func(text string) { _, _ = io.WriteString(out, text) } // a terminal that has gone changes nothing
	if err := f.awaitFeeds(ctx); err != nil {
		say(fmt.Sprintf("\nServing, but: %v\n", err))
	}
	say(f.guideText())
	<-ctx.Done()
	say("\nStopping …\n")
	if err := f.close(); err != nil {
		return err
	}
	say("Stopped.\n")
	return nil
}
