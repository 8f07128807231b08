// Command keys counts, lists, measures and deletes the entries of a cache, and lists what depends on an object. It is a pod of the cache
// while it runs: what it deletes is outdated on every pod.
//
//	go run ./examples/keys -redis redis://127.0.0.1:6379 -cache storefront count '*'
//	go run ./examples/keys … list 'orders:account:acc_00?'
//	go run ./examples/keys … usage 'catalog:*'
//	go run ./examples/keys … delete 'orders:*'
//	go run ./examples/keys … dependents product prd_0001
//
// A pattern matches whole keys, domain:type:identifier; '*' is any number of any bytes, '?' is any one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/tier"
)

// closeTimeout bounds the end of the program.
const closeTimeout = 5 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "keys:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, progress io.Writer) (err error) {
	flags := flag.NewFlagSet("keys", flag.ContinueOnError)
	url := flags.String("redis", "redis://127.0.0.1:6379", "where the cache's L2 is")
	name := flags.String("cache", "storefront", "the cache's name, Config.Name")
	var q tier.KeyQuery
	flags.IntVar(&q.Rate, "rate", tier.DefaultKeyRate, "keys a second to look at")
	flags.IntVar(&q.Sample, "sample", 1, "usage: measure each n-th key")
	verbose := flags.Bool("v", false, "tell how far it is")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *verbose {
		q.Progress = func(p tier.KeyProgress) {
			fmt.Fprintf(progress, "%d of about %d keys looked at, %d found\n", p.Looked, p.Total, p.Found)
		}
	}
	options, err := redis.ParseURL(*url)
	if err != nil {
		return fmt.Errorf("-redis: %w", err)
	}
	options.ContextTimeoutEnabled = true
	client := redis.NewClient(options)
	defer func() { err = errors.Join(err, client.Close()) }()
	cache, err := tier.Open(ctx, tier.Config{Name: *name, Redis: client, RemoteTimeout: time.Second})
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		err = errors.Join(err, cache.Close(ctx))
	}()
	return operate(ctx, cache, q, flags.Args(), out)
}

// operate does what the command line says. L1 is this program's own, and empty: all figures are of L2.
func operate(ctx context.Context, cache *tier.Cache, q tier.KeyQuery, args []string, out io.Writer) error {
	op := ""
	if len(args) > 1 {
		op, q.Pattern = args[0], args[1]
	}
	switch {
	case op == "dependents" && len(args) == 3:
		for key, err := range cache.Dependents(ctx, args[1], args[2]) {
			if err != nil {
				return err
			}
			fmt.Fprintln(out, key)
		}
		return nil
	case op == "list" && len(args) == 2:
		for k, err := range cache.Keys(ctx, q) {
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "%-40s age %-10s ttl %-10s %d bytes\n", k, k.Age.Round(time.Millisecond), k.TTL.Round(time.Millisecond), k.Size)
		}
		return nil
	case op == "count" && len(args) == 2:
		n, err := cache.Count(ctx, q)
		fmt.Fprintln(out, n.L2, "entries")
		return err
	case op == "usage" && len(args) == 2:
		u, err := cache.Usage(ctx, q)
		fmt.Fprintf(out, "%d entries, %d bytes, %d measured\n", u.L2.Keys, u.L2.Bytes, u.Measured)
		return err
	case op == "delete" && len(args) == 2:
		n, err := cache.Delete(ctx, q)
		fmt.Fprintln(out, n.L2, "entries deleted")
		return err
	}
	return errors.New("want count, list, usage or delete and a pattern, or dependents and an entity and an id; -h tells the flags")
}
