package tier_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/tier"
)

// tells reports whether one of texts has all parts.
func tells(texts []string, parts ...string) bool {
	for _, text := range texts {
		all := true
		for _, part := range parts {
			all = all && strings.Contains(text, part)
		}
		if all {
			return true
		}
	}
	return false
}

func (p pod) problems(t *testing.T) []string { return p.cache.Health(t.Context()).Problems }
func (p pod) warnings(t *testing.T) []string { return p.cache.Health(t.Context()).Warnings }

// newLoggedPod is newPod with a log that can be read.
func newLoggedPod(t *testing.T, addr string, src *source) (pod, *lines) {
	t.Helper()
	c, log := logged(t, tier.Config{Redis: connect(t, addr), RemoteTimeout: 2 * time.Second})
	return pod{cache: c, Space: newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.CDC("feed"), Load: src.load})}, log
}

// Health names what Redis refuses in Redis's words and since when, and finds out by itself that it is over; so do the log and the metric.
func TestHealthNamesRefusedWrites(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	src := &source{}
	p, log := newLoggedPod(t, addr, src)
	p.want(t, "k", 0)
	refuseWrites(t, connect(t, addr), true)
	for range 3 {
		wantError(t, p.Invalidate(t.Context(), "k"), "NOREPLICAS")
	}
	p.want(t, "another", 0)
	for _, want := range [][]string{
		{"invalidations fail since 20", "NOREPLICAS Not enough good replicas to write", "followers hold", "min-replicas-to-write"},
		{"values can't be stored since 20", "NOREPLICAS", "each pod loads for itself"},
	} {
		if got := p.problems(t); !tells(got, want...) {
			t.Errorf("got the problems %q; want one with %q", got, want)
		}
	}
	if got := p.cache.Health(t.Context()); got.Status != "degraded" || !got.L1.Trusted {
		t.Errorf("got status %q, L1 trusted %t; want degraded, and reads that go on", got.Status, got.L1.Trusted)
	}
	if n := metric(t, p.cache, "tandem_remote_errors_total", "invalidate", "noreplicas"); n != 3 {
		t.Errorf("%v errors by this reason; want 3", n)
	}
	if n := log.count("Redis refuses a write", "op=invalidate", "reason=noreplicas"); n != 1 {
		t.Errorf("%d lines; want 1:\n%s", n, log)
	}
	refuseWrites(t, connect(t, addr), false)
	eventually(t, "health tells of no refused invalidation", func() bool { return !tells(p.problems(t), "invalidations fail") })
	if n := log.count("Redis takes the write again", "op=invalidate"); n != 1 {
		t.Errorf("%d lines about the end; want 1:\n%s", n, log)
	}
	if err := p.Invalidate(t.Context(), "another"); err != nil {
		t.Fatal(err)
	}
	p.want(t, "another", 0)
	eventually(t, "values are stored again", func() bool { return len(p.problems(t)) == 0 || !tells(p.problems(t), "values can't be stored") })
}

// The words are the server's where a right is missing, too.
func TestHealthNamesMissingRights(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	p := newPod(t, addr, &source{})
	admin := connect(t, addr)
	for _, right := range []string{"publish", "xadd", "hset", "evalsha"} {
		setUser(t, admin, "-"+right)
		if err := p.Invalidate(t.Context(), "k"); err == nil {
			t.Errorf("without %s: no error", right)
		}
		if got := p.problems(t); !tells(got, "invalidations fail since", "Cache.Check") {
			t.Errorf("without %s: got the problems %q", right, got)
		}
		if n := metric(t, p.cache, "tandem_remote_errors_total", "invalidate", "noperm"); n != 1 {
			t.Errorf("without %s: %v errors of this reason more; want 1", right, n)
		}
		setUser(t, admin, "+@all")
		if err := p.Invalidate(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		p = newPod(t, addr, &source{})
	}
}

// setUser changes the rights of the user that all clients are.
func setUser(t *testing.T, admin *redis.Client, rules ...string) {
	t.Helper()
	args := []any{"ACL", "SETUSER", "default"}
	for _, rule := range rules {
		args = append(args, rule)
	}
	if err := admin.Do(context.Background(), args...).Err(); err != nil {
		t.Fatal(err)
	}
}

// A Redis that would fill the machine, or refuse what it has no room for, is told of where values do not expire.
func TestHealthWarnsOfMemorySettings(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	admin := connect(t, addr)
	endless := newPod(t, addr, &source{})
	c := openCache(t, tier.Config{Redis: connect(t, addr)})
	newSpace(t, c, tier.SpaceConfig[int]{Name: "test:brief", Strategy: tier.TTL(time.Minute)})
	brief := pod{cache: c}
	for _, set := range []struct{ maxmemory, policy, want string }{
		{"0", "allkeys-lru", "no maxmemory, and values of test:row do not expire"},
		{"100mb", "noeviction", "maxmemory-policy is noeviction"},
		{"100mb", "volatile-lru", "maxmemory-policy is volatile-lru"},
		{"100mb", "allkeys-lfu", ""},
	} {
		for name, value := range map[string]string{"maxmemory": set.maxmemory, "maxmemory-policy": set.policy} {
			if err := admin.ConfigSet(t.Context(), name, value).Err(); err != nil {
				t.Fatal(err)
			}
		}
		if got := endless.warnings(t); set.want != "" && !tells(got, set.want) || set.want == "" && tells(got, "maxmemory") {
			t.Errorf("with %s, %s: got the warnings %q; want %q", set.maxmemory, set.policy, got, set.want)
		}
		if got := brief.warnings(t); tells(got, "maxmemory") {
			t.Errorf("where all values expire: got the warnings %q", got)
		}
	}
}

// Without a subscription reads stay right, and health says what is slower and why.
func TestHealthWarnsOfAMissingSubscription(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	admin := connect(t, addr)
	p := newPod(t, addr, &source{})
	setUser(t, admin, "-subscribe")
	if err := admin.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a warning", func() bool { return tells(p.warnings(t), "no subscription since 20", "NOPERM", "journal") })
	setUser(t, admin, "+@all")
	eventually(t, "none", func() bool { return !tells(p.warnings(t), "no subscription") })
}

// A follower whose reports Redis refuses is heard all the same, as not connected and with the reason.
func TestRefusedReportsAreHeard(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	a, b := newPod(t, addr, &source{}), newPod(t, addr, &source{})
	feed, err := a.cache.Feed("feed")
	if err != nil {
		t.Fatal(err)
	}
	report := func(problem string) error {
		return feed.Report(t.Context(), problem, nil, "1", time.Now(), 0, nil)
	}
	if err := report(""); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other pod has heard the feed", func() bool { return b.cache.Health(t.Context()).Feeds["feed"].Connected })
	refuseWrites(t, connect(t, addr), true)
	eventually(t, "it hears what is wrong", func() bool {
		wantError(t, report(""), "NOREPLICAS")
		time.Sleep(50 * time.Millisecond)
		return tells(b.problems(t), "the feed feed is not connected", "reports are refused", "NOREPLICAS")
	})
	if !tells(a.problems(t), "reports of feeds can't be sent since", "NOREPLICAS") {
		t.Errorf("the follower's pod has the problems %q", a.problems(t))
	}
	refuseWrites(t, connect(t, addr), false)
	eventually(t, "it is connected again", func() bool { return report("") == nil && b.cache.Health(t.Context()).Feeds["feed"].Connected })
}
