package tier_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/remote"
	"github.com/tandem-cache/tandem/tier"
)

// smallestACL is the rules of docs/redis.md for a user of the cache "shop".
func smallestACL(t *testing.T) []string {
	t.Helper()
	return servertest.SmallestACL(t, "../docs/redis.md", "shop")
}

// newUser makes a user with rules, and returns a client of it.
func newUser(t *testing.T, admin *redis.Client, rules []string) *redis.Client {
	t.Helper()
	args := []any{"ACL", "SETUSER", "shop", "reset", "on", ">secret"}
	for _, rule := range rules {
		args = append(args, rule)
	}
	if err := admin.Do(context.Background(), args...).Err(); err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(&redis.Options{Addr: admin.Options().Addr, Username: "shop", Password: "secret", ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// fitMemory gives a server the settings that Check wants.
func fitMemory(t *testing.T, admin *redis.Client) {
	t.Helper()
	for name, value := range map[string]string{"maxmemory": "200mb", "maxmemory-policy": "allkeys-lfu"} {
		if err := admin.ConfigSet(t.Context(), name, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// openChecked opens a pod as a user.
func openChecked(t *testing.T, client *redis.Client, src *source) pod {
	t.Helper()
	c := openCache(t, tier.Config{Redis: client, RemoteTimeout: 2 * time.Second})
	return pod{cache: c, Space: newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.CDC("feed"), Load: src.load})}
}

// The rights in docs/redis.md suffice, Check finds nothing, and leaves nothing behind.
func TestSmallestACLSuffices(t *testing.T) {
	admin := connect(t, servertest.StartRedis(t).Addr)
	fitMemory(t, admin)
	src := &source{}
	p := openChecked(t, newUser(t, admin, smallestACL(t)), src)
	keys := func() []string {
		list := admin.Keys(t.Context(), "*").Val()
		slices.Sort(list)
		return list
	}
	p.want(t, "k", 0)
	eventually(t, "the value is in L2", func() bool { return slices.Contains(keys(), "shop:test:row:k") })
	eventually(t, "its index too", func() bool { return slices.Contains(keys(), "shop:{tag:row:k}") })
	before := keys()
	for range 2 {
		if err := p.cache.Check(t.Context()); err != nil {
			t.Errorf("Check: %v", err)
		}
	}
	if after := keys(); !slices.Equal(before, after) {
		t.Errorf("Check has left or taken keys: %q before, %q after", before, after)
	}
	p.want(t, "k", 0)
	if n := src.count("k"); n != 1 {
		t.Errorf("%d loads; want 1: Check outdates nothing", n)
	}
	if log := admin.Do(t.Context(), "ACL", "LOG").Val(); fmt.Sprint(log) != "[]" {
		t.Errorf("Redis refused: %v", log)
	}
}

// Each right that is taken away is found, with its remedy.
func TestCheckFindsEachMissingRight(t *testing.T) {
	admin := connect(t, servertest.StartRedis(t).Addr)
	fitMemory(t, admin)
	all := smallestACL(t)
	client := newUser(t, admin, all)
	p := openChecked(t, client, &source{})
	give := func(rules []string) {
		newUser(t, admin, rules)
	}
	taken := 0
	for i, rule := range all {
		if rule[0] == '-' || strings.HasPrefix(rule, "reset") {
			continue
		}
		taken++
		give(slices.Delete(slices.Clone(all), i, i+1))
		err := p.cache.Check(t.Context())
		want := "ACL SETUSER shop " + rule
		if rule == "+publish" || rule == "+subscribe" || rule[0] == '&' {
			want = "+publish +subscribe &shop:{bus}"
		}
		wantError(t, err, want, "NOPERM")
		if err != nil && rule[0] == '+' && strings.Count(err.Error(), "ACL SETUSER") > 1 {
			t.Errorf("without %s also another right is missing: %v", rule, err)
		}
	}
	if want := len(remote.Commands()) + 4; taken != want { // publish, subscribe, keys, channel
		t.Errorf("docs/redis.md has %d rights; want %d: %q", taken, want, remote.Commands())
	}
	give(all)
	if err := p.cache.Check(t.Context()); err != nil {
		t.Errorf("with all rights: %v", err)
	}
}

// Check reports all at once: rights, keys and settings.
func TestCheckReportsAll(t *testing.T) {
	server := servertest.StartRedis(t)
	admin := connect(t, server.Addr)
	p := openChecked(t, newUser(t, admin, []string{"+@all", "-time", "-xadd", "~shop:{*", "&other"}), &source{})
	wantError(t, p.cache.Check(t.Context()), "+time", "+xadd", "shop:test:row:check-", "~shop:*", "&shop:{bus}", "no maxmemory")
	hookless := openCache(t, tier.Config{Redis: connect(t, server.Addr)})
	wantError(t, hookless.Check(t.Context()), "ContextTimeoutEnabled")
	refuseWrites(t, admin, true)
	wantError(t, hookless.Check(t.Context()), "NOREPLICAS", "min-replicas-to-write")
	server.Stop()
	wantError(t, hookless.Check(t.Context()), "does not answer")
	if err := openCache(t, tier.Config{}).Check(t.Context()); err != nil {
		t.Errorf("L1 alone: %v", err)
	}
}

// The cache's tests run as a user with those rights: reads, invalidations, dependencies, Sets, operations on keys, feeds, and Redis losing its data.
func TestRunsUnderTheSmallestACL(t *testing.T) {
	servertest.RunAsUser(t, smallestACL(t), "^(TestTTL|TestDependsOn|TestSetBesideAnInvalidation|TestSetBesideATag|TestGetMany.*|TestPausedBetweenL2AndL1|"+
		"TestOldLoaderReturnsAfterInvalidation|TestSilentFeedFallsBack|TestNestedEntriesGoStaleAtEveryLevel|TestFlushedRedisIsMended|TestMissingBucketIsMended|"+
		"TestL2ComesBeforeTheBroadcast|TestFillWakesWaiters|TestExplainJudgesAsAReadDoes|TestKeys.*|TestDelete.*|TestCount.*|TestDependents.*)$", 15)
}
