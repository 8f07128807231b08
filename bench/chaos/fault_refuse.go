package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// full lets Redis run full, with nothing that it may evict, and makes room again.
func full(ctx context.Context, a *attempt) (err error) {
	client := a.client()
	defer func() { _ = client.Close() }()
	used, err := strconv.ParseInt(infoField(ctx, client, "memory", "used_memory"), 10, 64)
	if err != nil {
		return fmt.Errorf("used_memory: %w", err)
	}
	for _, setting := range [][2]string{{"maxmemory-policy", "noeviction"}, {"maxmemory", strconv.FormatInt(used+1<<20, 10)}} {
		if err := client.ConfigSet(ctx, setting[0], setting[1]).Err(); err != nil {
			return err
		}
	}
	junk, n := strings.Repeat("x", 4096), 0
	for ; n < 4096; n++ {
		if err = client.Set(ctx, "junk:"+strconv.Itoa(n), junk, 0).Err(); err != nil {
			break
		}
	}
	if !redis.IsOOMError(err) {
		return fmt.Errorf("the server isn't full: %w", err)
	}
	wait := pause(ctx, a.lasts)
	a.Note = fmt.Sprintf("for %s", a.lasts.Round(1e8))
	_, err = client.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.ConfigSet(ctx, "maxmemory", "0")
		for i := range n {
			p.Unlink(ctx, "junk:"+strconv.Itoa(i))
		}
		return nil
	})
	return errors.Join(err, wait)
}

// revocations are rights that somebody takes away by mistake.
var revocations = [][]any{
	{"-publish"},
	{"-xadd"},
	{"-hset"},
	{"-zadd"},
	{"-unlink"},
	{"-set"},
	{"-time"},
	{"-evalsha"},
	{"-info"},
	{"-@write"},
	{"-subscribe", "-publish"},
	{"resetchannels"},
	{"resetkeys", "%R~*"},
}

// revoke takes rights from the user that all processes are, and gives them back. A right that is taken from a channel cuts those who are
// subscribed to it.
func revoke(ctx context.Context, a *attempt) error {
	client := a.client()
	defer func() { _ = client.Close() }()
	rights := revocations[a.random.IntN(len(revocations))]
	a.Note = fmt.Sprint(rights...)
	if err := client.Do(ctx, append([]any{"ACL", "SETUSER", "default"}, rights...)...).Err(); err != nil {
		return err
	}
	wait := pause(ctx, a.lasts)
	given := client.Do(context.WithoutCancel(ctx), "ACL", "SETUSER", "default", "+@all", "allkeys", "allchannels").Err()
	return errors.Join(given, wait)
}
