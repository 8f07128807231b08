package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/remote"
	"github.com/tandem-cache/tandem/tier"
)

// compare holds every value in Redis and every one in each L1 against the table.
func (r *coherenceRun) compare(ctx context.Context, report *coherenceReport) error {
	table, err := r.table(ctx)
	if err != nil {
		return err
	}
	client := redis.NewClient(&redis.Options{Addr: r.redis})
	defer func() { _ = client.Close() }()
	keys, err := r.compareL2(ctx, client, table, report)
	if err != nil {
		return err
	}
	// Behind the caches' back: from now on only L1 can answer a Peek.
	for len(keys) > 0 {
		n := min(len(keys), 1000)
		if err := client.Del(ctx, keys[:n]...).Err(); err != nil {
			return fmt.Errorf("empty Redis: %w", err)
		}
		keys = keys[n:]
	}
	pods, err := callAll[map[int]account](ctx, r.fleet, "l1", nil)
	if err != nil {
		return err
	}
	for i, found := range pods {
		report.L1Entries = append(report.L1Entries, len(found))
		for aid, got := range found {
			if want := table[aid]; got != want {
				report.L1Stale++
				report.example("L1 of pod %d, account %d: %+v; the table has %+v", i, aid, got, want)
			}
		}
	}
	return nil
}

func (r *coherenceRun) table(ctx context.Context) (map[int]account, error) {
	conn, err := pgx.Connect(ctx, r.bench.url)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(ctx) }()
	rows, err := conn.Query(ctx, `SELECT aid, abalance, version FROM pgbench_accounts`)
	if err != nil {
		return nil, fmt.Errorf("read the table: %w", err)
	}
	table := make(map[int]account, r.options.accounts())
	var aid int
	var a account
	_, err = pgx.ForEachRow(rows, []any{&aid, &a.Balance, &a.Version}, func() error {
		table[aid] = a
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the table: %w", err)
	}
	return table, nil
}

// compareL2 returns the keys of all entries, leases included.
func (r *coherenceRun) compareL2(ctx context.Context, client *redis.Client, table map[int]account, report *coherenceReport) ([]string, error) {
	prefix := r.cache + ":" + accountSpace + ":"
	var all []string
	seen := make(map[string]bool) // SCAN may name a key twice
	scan := client.Scan(ctx, 0, prefix+"*", 1000).Iterator()
	for scan.Next(ctx) {
		key := scan.Val()
		if seen[key] {
			continue
		}
		seen[key] = true
		all = append(all, key)
		raw, err := client.Get(ctx, key).Bytes()
		if errors.Is(err, redis.Nil) || err == nil && len(raw) > 0 && raw[0] == 'M' {
			continue // a lease
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", key, err)
		}
		got, aid, err := decodeAccount(strings.TrimPrefix(key, prefix), raw)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", key, err)
		}
		report.L2Entries++
		if want := table[aid]; got != want {
			report.L2Stale++
			report.example("L2, account %d: %+v; the table has %+v", aid, got, want)
		}
	}
	if err := scan.Err(); err != nil {
		return nil, fmt.Errorf("list the entries in Redis: %w", err)
	}
	return all, nil
}

func decodeAccount(id string, raw []byte) (a account, aid int, err error) {
	if aid, err = strconv.Atoi(id); err != nil {
		return a, 0, err
	}
	env, err := remote.Decode(raw)
	if err != nil {
		return a, 0, err
	}
	if err := env.Decompress(tier.DefaultMaxValueBytes); err != nil {
		return a, aid, err
	}
	return a, aid, remote.MsgPack{}.Decode(env.Payload, &a)
}
