package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/tier"
)

func split(addr string) (host, port string) {
	host, port, _ = net.SplitHostPort(addr)
	return host, port
}

// infoField reads one field of INFO; "" when there is none, or no server.
func infoField(ctx context.Context, client *redis.Client, section, field string) string {
	for line := range strings.Lines(client.Info(ctx, section).Val()) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), field+":"); ok {
			return value
		}
	}
	return ""
}

func restartEmpty(ctx context.Context, a *attempt) error { return a.restartRedis(ctx, true) }

func restartAOF(ctx context.Context, a *attempt) error { return a.restartRedis(ctx, false) }

// restartRedis kills the master and starts it again on the same address, with what it had written or with nothing.
func (a *attempt) restartRedis(ctx context.Context, empty bool) error {
	if err := a.master.Kill(); err != nil {
		return err
	}
	if err := pause(ctx, a.lasts/3); err != nil {
		return err
	}
	if empty {
		if err := a.wipe(); err != nil {
			return err
		}
	}
	return a.master.Start()
}

// wipe removes what the stopped master has written.
func (a *attempt) wipe() error { return os.RemoveAll(filepath.Join(a.dirs[a.master], "appendonlydir")) }

// freeze lets connections be and answers nothing.
func freeze(ctx context.Context, a *attempt) error {
	if err := a.master.Freeze(); err != nil {
		return err
	}
	wait := pause(ctx, a.lasts)
	return errors.Join(a.master.Thaw(), wait)
}

func flushAll(ctx context.Context, a *attempt) error {
	client := a.client()
	defer func() { _ = client.Close() }()
	return client.FlushAll(ctx).Err()
}

// promote makes the replica the master after it was held back, so that the last writes are lost. Every way to the old one is cut
// first: it takes no more commands. It comes back as the replica of the new one, empty.
//
// A pod is killed meanwhile. The others have heard what the new master has not, and are safe from it; one that starts on the new master
// knows only what that does.
func promote(ctx context.Context, a *attempt) error {
	old, next := a.client(), redis.NewClient(&redis.Options{Addr: a.replica.Addr})
	defer func() { _, _ = old.Close(), next.Close() }()
	p := &promotion{Held: now()}
	if err := a.link.poison("timeout", "downstream", `"timeout": 0`); err != nil {
		return err
	}
	if err := pause(ctx, min(a.lasts/2, 2*time.Second)); err != nil {
		return err
	}
	for _, c := range a.children() {
		if err := c.proxy.cut(); err != nil {
			return err
		}
	}
	p.Cut = now()
	p.Lost = headOf(ctx, old) - headOf(ctx, next)
	if err := a.link.cut(); err != nil {
		return err
	}
	if err := next.ReplicaOf(ctx, "NO", "ONE").Err(); err != nil {
		return err
	}
	a.master, a.replica = a.replica, a.master
	a.Note = fmt.Sprintf("lost %d broadcasts", p.Lost)
	a.promotions = append(a.promotions, p)
	late := a.bystander()
	if late != nil {
		if err := late.kill(); err != nil {
			return err
		}
		a.Note += ", " + late.name + " killed"
	}
	for _, c := range a.children() {
		c.proxy.lead(a.master.Addr)
		if err := c.proxy.join(); err != nil {
			return err
		}
	}
	if late != nil {
		if err := late.start(a.dir); err != nil {
			return err
		}
	}
	return a.newReplica(ctx)
}

// newReplica starts the old master again with nothing, as the replica of the new one.
func (a *attempt) newReplica(ctx context.Context) error {
	if err := a.replica.Kill(); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(a.dirs[a.replica], "appendonlydir")); err != nil {
		return err
	}
	if err := a.replica.Start(); err != nil {
		return err
	}
	if err := a.link.heal(); err != nil {
		return err
	}
	a.link.lead(a.master.Addr)
	if err := a.link.join(); err != nil {
		return err
	}
	return a.replicate(ctx)
}

// headOf is the number of the last broadcast that a server knows.
func headOf(ctx context.Context, client *redis.Client) int64 {
	n, _ := client.HGet(ctx, cacheName+":{bus}:head", "n").Int64()
	return n
}

// evict fills the memory with junk, so that allkeys-lru throws keys of the cache out: of any kind, since it looks at one key at a
// time.
func evict(ctx context.Context, a *attempt) (err error) {
	client := a.client()
	defer func() { _ = client.Close() }()
	before, _ := strconv.ParseInt(infoField(ctx, client, "stats", "evicted_keys"), 10, 64)
	used, err := strconv.ParseInt(infoField(ctx, client, "memory", "used_memory"), 10, 64)
	if err != nil {
		return fmt.Errorf("used_memory: %w", err)
	}
	for _, setting := range [][2]string{
		{"maxmemory-samples", "1"}, {"maxmemory-policy", "allkeys-lru"}, {"maxmemory", strconv.FormatInt(used+4<<20, 10)},
	} {
		if err := client.ConfigSet(ctx, setting[0], setting[1]).Err(); err != nil {
			return err
		}
	}
	limited, cancel := context.WithTimeout(ctx, a.lasts)
	defer cancel()
	junk, n := strings.Repeat("x", 4096), 0
	every(limited, 20*time.Millisecond, func() {
		_, _ = client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for range 50 {
				n++
				p.Set(ctx, "junk:"+strconv.Itoa(n), junk, 10*time.Second)
			}
			return nil
		})
	})
	after, _ := strconv.ParseInt(infoField(ctx, client, "stats", "evicted_keys"), 10, 64)
	a.Note = fmt.Sprintf("evicted %d keys", after-before)
	return client.ConfigSet(ctx, "maxmemory", "0").Err()
}

// overflow stops a pod and broadcasts more than Redis is ready to keep for it.
func overflow(ctx context.Context, a *attempt) error {
	client := a.client()
	defer func() { _ = client.Close() }()
	victim := a.bystander()
	if victim == nil {
		return nil
	}
	if err := client.ConfigSet(ctx, "client-output-buffer-limit", "pubsub 1048576 0 0").Err(); err != nil {
		return err
	}
	if err := victim.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	wait := a.flood(ctx, client)
	if wait == nil {
		wait = pause(ctx, a.lasts)
	}
	a.Note += ", " + victim.name + " stopped"
	return errors.Join(wait, victim.signal(syscall.SIGCONT),
		client.ConfigSet(ctx, "client-output-buffer-limit", "pubsub 33554432 8388608 60").Err())
}

// flood invalidates about 30 MB of names that nobody reads: more than the system keeps for a connection through a proxy.
func (a *attempt) flood(ctx context.Context, client *redis.Client) error {
	c, err := tier.Open(ctx, tier.Config{Name: cacheName, Redis: client, RemoteTimeout: 5 * time.Second})
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(ctx) }()
	pad, failed := strings.Repeat("x", 900), 0
	for n := range 60 {
		names := make([]string, 500)
		for i := range names {
			names[i] = tier.Key("chaos:junk", pad+strconv.Itoa(n*len(names)+i))
		}
		if err := c.Invalidate(ctx, names...); err != nil {
			failed++
		}
	}
	a.Note = fmt.Sprintf("%d of 60 floods failed", failed)
	return ctx.Err()
}
