package tier_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/tier"
)

// indexKeys are the indexes in Redis, and what stands beside them.
func indexKeys(t *testing.T, client *redis.Client) []string {
	t.Helper()
	keys, err := client.Keys(t.Context(), "shop:{tag:*").Result()
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// With the last entries, their indexes go: nothing would name them, or end them before a day is over.
func TestDeleteOfAllDeletesTheIndexes(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	client := connect(t, addr)
	p := newPod(t, addr, &source{})
	hour := newSpace(t, p.cache, tier.SpaceConfig[int]{Name: "test:hour", Strategy: tier.Hybrid("feed", time.Hour), Load: (&source{}).load})
	for i := range 50 {
		p.get(t, fmt.Sprint("k", i), fmt.Sprint(i))
	}
	if _, err := hour.Get(t.Context(), "1"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all are noted", func() bool { return len(indexKeys(t, client)) == 51 && len(dependents(t, p.cache, "1")) == 2 })
	if n, err := p.cache.Delete(t.Context(), all("*")); err != nil || n.L2 != 51 {
		t.Fatalf("deleted %+v, %v; want 51 in L2", n, err)
	}
	if left := indexKeys(t, client); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
	p.want(t, "1", 0) // and goes on
	indexed(t, p.cache, "1", 1)
}

// A deletion of whole spaces takes their entries out of the indexes, and no others; a narrower one leaves the indexes alone.
func TestDeleteOfASpaceLeavesTheIndexes(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	client, src := connect(t, addr), &source{}
	p := newPod(t, addr, src)
	ttl := newSpace(t, p.cache, tier.SpaceConfig[int]{Name: "test:hour", Strategy: tier.Hybrid("feed", time.Hour), Load: src.load})
	other := newSpace(t, p.cache, tier.SpaceConfig[int]{Name: "rest:row", Strategy: tier.CDC("feed"), Load: src.load})
	const many = 300 // more than Redis shows in one step
	for i := range many {
		p.get(t, fmt.Sprint("k", i), "1")
	}
	for _, s := range []*tier.Space[int]{ttl, other} {
		if _, err := s.Get(t.Context(), "1"); err != nil {
			t.Fatal(err)
		}
	}
	p.get(t, "alone", "2")
	indexed(t, p.cache, "1", many+2)
	indexed(t, p.cache, "2", 1)
	if _, err := p.cache.Delete(t.Context(), all("test:row:k1*")); err != nil {
		t.Fatal(err)
	}
	if n := len(dependents(t, p.cache, "1")); n != many+2 {
		t.Errorf("%d dependents after a narrow deletion; want all %d", n, many+2)
	}
	if _, err := p.cache.Delete(t.Context(), all("test:*")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"rest:row:1"}, dependents(t, p.cache, "1")); diff != "" {
		t.Errorf("dependents (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"shop:{tag:row:1}"}, indexKeys(t, client)); diff != "" {
		t.Errorf("indexes (-want +got):\n%s", diff)
	}
}

// An index of another type does not end a deletion.
func TestDeleteWithABrokenIndex(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	client := connect(t, addr)
	p := newPod(t, addr, &source{})
	for _, pattern := range []string{"test:*", "*"} {
		if err := client.Set(t.Context(), "shop:{tag:row:1}", "junk", 0).Err(); err != nil {
			t.Fatal(err)
		}
		if _, err := p.cache.Delete(t.Context(), all(pattern)); err != nil {
			t.Errorf("%q: %v", pattern, err)
		}
	}
	if left := indexKeys(t, client); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}
