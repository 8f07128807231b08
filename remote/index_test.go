package remote_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/remote"
)

// dependents reads a whole index.
func dependents(t *testing.T, s *remote.Store, tag string) []string {
	t.Helper()
	var all []string
	for cursor := uint64(0); ; {
		keys, next, err := s.Dependents(t.Context(), tag, cursor)
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, keys...); next == 0 {
			slices.Sort(all)
			return slices.Compact(all)
		}
		cursor = next
	}
}

func index(t *testing.T, s *remote.Store, key string, life time.Duration, tags ...remote.Name) {
	t.Helper()
	if err := s.Index(t.Context(), []remote.Dependent{{Key: key, Tags: tags, Life: life}}); err != nil {
		t.Fatal(err)
	}
}

// sweep deletes what an invalidation of tag outdates, to the end.
func sweep(t *testing.T, s *remote.Store, tick uint64) (deleted int) {
	t.Helper()
	for tags := []remote.Name{{Text: tag, Tick: tick}}; len(tags) > 0; {
		more, n, err := s.Sweep(t.Context(), tags, 100)
		if err != nil {
			t.Fatal(err)
		}
		tags, deleted = more, deleted+n
	}
	return deleted
}

// valueAt is a value's bytes that stands on names.
func valueAt(t *testing.T, tick uint64, payload string, names ...remote.Name) []byte {
	t.Helper()
	b, err := (&remote.Envelope{Token: remote.NewToken(), Tick: tick, Names: names, Payload: []byte(payload)}).AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func put(t *testing.T, client *redis.Client, key string, value any) {
	t.Helper()
	if err := client.Set(t.Context(), "shop:"+key, value, 0).Err(); err != nil {
		t.Fatal(err)
	}
}

const (
	tag  = "t:product:1"
	base = 1_800_000_000_000_000 // a tick of today's size
)

func TestIndexNamesDependents(t *testing.T) {
	onEach(t, func(t *testing.T, client *redis.Client, s *remote.Store) {
		index(t, s, "a:b:1", 0, remote.Name{Text: tag, Tick: base}, remote.Name{Text: "t:product:2", Tick: base})
		index(t, s, "a:c:1:2", time.Minute, remote.Name{Text: tag, Tick: base + 1})
		if diff := cmp.Diff([]string{"a:b:1", "a:c:1:2"}, dependents(t, s, tag)); diff != "" {
			t.Errorf("of one (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"a:b:1"}, dependents(t, s, "t:product:2")); diff != "" {
			t.Errorf("of the other (-want +got):\n%s", diff)
		}
		if got := dependents(t, s, "t:product:3"); len(got) != 0 {
			t.Errorf("of a third: %q", got)
		}
		if n := client.Exists(t.Context(), "shop:{tag:product:1}", "shop:{tag:product:2}").Val(); n != 2 {
			t.Error("the indexes are not where they should be")
		}
		var many []remote.Name
		for i := range 300 {
			many = append(many, remote.Name{Text: fmt.Sprintf("t:many:%d", i), Tick: base + uint64(i)})
		}
		index(t, s, "a:b:many", 0, many...)
		for i, tag := range many {
			if score := client.ZScore(t.Context(), "shop:{tag:many:"+tag.Text[7:]+"}", "a:b:many").Val(); score != base+float64(i) {
				t.Fatalf("%q: got the tick %f; want %d", tag.Text, score, tag.Tick)
			}
		}
	})
}

func TestIndexedFindsThoseWithAnIndex(t *testing.T) {
	onEach(t, func(t *testing.T, _ *redis.Client, s *remote.Store) {
		var tags, want []remote.Name
		for i := range 1100 {
			tags = append(tags, remote.Name{Text: fmt.Sprintf("t:many:%d", i), Tick: base})
		}
		look := func() {
			t.Helper()
			got, err := s.Indexed(t.Context(), tags)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, want) {
				t.Errorf("got %v; want %v", got, want)
			}
		}
		look()
		for _, i := range []int{3, 4, 700, 1099} {
			want = append(want, tags[i])
			index(t, s, "a:b:c", 0, tags[i])
		}
		look()
	})
}

// A sweep deletes the values that the invalidation outdates, and nothing else, whatever the index says.
func TestSweepDeletesWhatIsOutdated(t *testing.T) {
	on := func(tick uint64) remote.Name { return remote.Name{Text: tag, Tick: tick} }
	var many []remote.Name // more than the sweep reads at first
	for i := range 200 {
		many = append(many, remote.Name{Text: fmt.Sprintf("t:other:%04d", i), Tick: base})
	}
	other := remote.Name{Text: "t:product:11", Tick: base}
	tests := map[string]struct {
		value any
		gone  bool
	}{
		"outdated":                              {valueAt(t, base, "v", on(base)), true},
		"just outdated":                         {valueAt(t, base+9, "v", on(base+9)), true},
		"as new as the invalidation":            {valueAt(t, base+10, "v", on(base+10)), false},
		"fresh":                                 {valueAt(t, base+1000, "v", on(base+1000)), false},
		"fresh, made from an entry that is not": {valueAt(t, base+1000, "v", other, on(base+3)), true},
		"outdated, made from an entry that is fresh": {valueAt(t, base, "v", other, on(base+1000)), false},
		"outdated, with a large payload":             {valueAt(t, base, strings.Repeat("v", 1<<20), on(base)), true},
		"outdated, the name far back":                {valueAt(t, base, "v", append(slices.Clone(many), on(base))...), true},
		"fresh, the name far back":                   {valueAt(t, base, "v", append(slices.Clone(many), on(base+50))...), false},
		"does not stand on it any more":              {valueAt(t, base, "v", other), false},
		"stands on nothing, with a large payload":    {valueAt(t, base, strings.Repeat("v", 100_000)), false},
		"a marker":       {"M1 sixteen bytes...0", false},
		"a newer format": {"V\x02" + string(valueAt(t, base, "v", on(base)))[2:], false},
		"nothing":        {"", false},
		"cut off in the middle of the name's own tick": {string(valueAt(t, base, "", on(base+1<<40)))[:77+1+len(tag)+1], false},
	}
	onEach(t, func(t *testing.T, client *redis.Client, s *remote.Store) {
		gone := 0
		for name, test := range tests {
			put(t, client, "a:b:"+name, test.value)
			index(t, s, "a:b:"+name, 0, on(base))
			if test.gone {
				gone++
			}
		}
		index(t, s, "a:b:missing", 0, on(base))
		index(t, s, "a:b:list", 0, on(base))
		if err := client.LPush(t.Context(), "shop:a:b:list", "x").Err(); err != nil {
			t.Fatal(err)
		}
		if n := sweep(t, s, base+10); n != gone {
			t.Errorf("deleted %d; want %d", n, gone)
		}
		for name, test := range tests {
			if got := client.Exists(t.Context(), "shop:a:b:"+name).Val() == 0; got != test.gone {
				t.Errorf("%s: gone %t; want %t", name, got, test.gone)
			}
		}
		if got := dependents(t, s, tag); len(got) != 0 {
			t.Errorf("%q are still in the index", got)
		}
	})
}

// A sweep takes what stands on the object with a lower tick. The rest waits for a later invalidation.
func TestSweepTakesInSteps(t *testing.T) {
	onEach(t, func(t *testing.T, client *redis.Client, s *remote.Store) {
		for i := range 200 {
			name, key := remote.Name{Text: tag, Tick: base + uint64(i)}, fmt.Sprintf("a:b:%03d", i)
			put(t, client, key, valueAt(t, name.Tick, "v", name))
			index(t, s, key, 0, name)
		}
		other := remote.Name{Text: "t:product:2", Tick: base}
		more, n, err := s.Sweep(t.Context(), []remote.Name{other, {Text: tag, Tick: base + 140}}, 60)
		if err != nil || n != 60 || len(more) != 1 || more[0].Text != tag {
			t.Errorf("got %d, %v, %v; want 60, and more of the second", n, more, err)
		}
		if n := client.Exists(t.Context(), "shop:a:b:000", "shop:a:b:059").Val(); n != 0 {
			t.Errorf("%d of the oldest are left", n)
		}
		if n := sweep(t, s, base+140); n != 80 {
			t.Errorf("deleted %d in the end; want 80", n)
		}
		if got := dependents(t, s, tag); len(got) != 60 || got[0] != "a:b:140" {
			t.Errorf("%d are left, from %q; want 60, from a:b:140", len(got), got[0])
		}
		if n := sweep(t, s, base+200); n != 60 || client.Exists(t.Context(), "shop:{tag:product:1}").Val() != 0 {
			t.Errorf("deleted %d by a later invalidation; want 60, and no index", n)
		}
	})
}

// between is a go-redis hook that runs a function once, when a sweep has taken entries out of an index and before it deletes them.
type between struct {
	run  func()
	done bool
}

func (h *between) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (h *between) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (h *between) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		if err == nil && !h.done {
			h.done = true
			h.run()
		}
		return err
	}
}

// What is filled, or begins to load, after a sweep has taken it out of the index stays, and is in the index again.
func TestRefillAmidASweepStays(t *testing.T) {
	onEach(t, func(t *testing.T, client *redis.Client, s *remote.Store) {
		stale, fresh := remote.Name{Text: tag, Tick: base}, remote.Name{Text: tag, Tick: base + 10}
		for _, key := range []string{"a:b:filled", "a:b:loading", "a:b:dead"} {
			put(t, client, key, valueAt(t, base, "old", stale))
			index(t, s, key, 0, stale)
		}
		refilled := valueAt(t, base+10, "new", fresh)
		hooked := redis.NewClient(&redis.Options{Addr: client.Options().Addr})
		t.Cleanup(func() { _ = hooked.Close() })
		hook := &between{run: func() {
			put(t, client, "a:b:filled", refilled)
			index(t, s, "a:b:filled", 0, fresh)
			token := remote.NewToken()
			if l := mustAcquire(t, s, "a:b:loading", token, valueAt(t, 0, "")); l.Granted {
				t.Error("a lease for a value that is not known to be dead")
			}
			raw, _ := s.Get(t.Context(), "a:b:loading")
			if l := mustAcquire(t, s, "a:b:loading", token, raw); !l.Granted {
				t.Error("no lease")
			}
		}}
		hooked.AddHook(hook)
		_, n, err := remote.New(hooked, "shop").Sweep(t.Context(), []remote.Name{{Text: tag, Tick: base + 5}}, 100)
		if err != nil || n != 1 || !hook.done {
			t.Errorf("deleted %d, %v; want 1", n, err)
		}
		if got := client.Get(t.Context(), "shop:a:b:filled").Val(); got != string(refilled) {
			t.Errorf("the fresh value is now %q", got)
		}
		if got := client.Get(t.Context(), "shop:a:b:loading").Val(); !strings.HasPrefix(got, "M1") {
			t.Errorf("the marker is now %q", got)
		}
		if got := dependents(t, s, tag); !slices.Equal(got, []string{"a:b:filled"}) {
			t.Errorf("in the index: %q; want the fresh one", got)
		}
	})
}

// The note of a fill that comes late does not hide a later fill from the index.
func TestLateNoteIsIgnored(t *testing.T) {
	onEach(t, func(t *testing.T, _ *redis.Client, s *remote.Store) {
		index(t, s, "a:b:c", 0, remote.Name{Text: tag, Tick: base + 10})
		index(t, s, "a:b:c", 0, remote.Name{Text: tag, Tick: base})
		sweep(t, s, base+5)
		if got := dependents(t, s, tag); len(got) != 1 {
			t.Error("the fresh entry is not in the index")
		}
	})
}

// An index lives as long as the longest of its entries.
func TestIndexLivesAsLongAsItsEntries(t *testing.T) {
	onEach(t, func(t *testing.T, client *redis.Client, s *remote.Store) {
		for i, step := range []struct{ life, want time.Duration }{
			{life: time.Minute, want: time.Minute},
			{life: time.Second, want: time.Minute},
			{life: time.Hour, want: time.Hour},
			{life: time.Microsecond, want: time.Hour},
			{life: 0, want: 24 * time.Hour},
			{life: time.Hour, want: 24 * time.Hour},
			{life: 100 * time.Hour, want: 24 * time.Hour},
		} {
			index(t, s, fmt.Sprintf("a:b:%d", i), step.life, remote.Name{Text: tag, Tick: base})
			got := client.PTTL(t.Context(), "shop:{tag:product:1}").Val()
			if got > step.want || got < step.want-30*time.Second {
				t.Errorf("after an entry that lives for %s: the index lives for %s; want %s", step.life, got, step.want)
			}
		}
	})
}

// What nobody takes out of an index, since its entries went otherwise than by their object, goes with the index: in a bounded time.
func TestIndexOfEntriesThatWentIsGone(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: servertest.StartRedis(t).Addr}) // miniredis has no clock
	t.Cleanup(func() { _ = client.Close() })
	s := remote.New(client, "shop")
	s.SetIndexLife(50 * time.Millisecond)
	if err := client.ZAdd(t.Context(), "shop:{tag:product:1}", redis.Z{Score: base, Member: "a:b:old"}).Err(); err != nil {
		t.Fatal(err)
	}
	for i := range 10 { // of a space without a TTL, to which nobody ever comes back; the first index is of a build that let it live
		index(t, s, fmt.Sprintf("a:b:%d", i), 0, remote.Name{Text: fmt.Sprintf("t:product:%d", i), Tick: base})
	}
	index(t, s, "a:b:x", 20*time.Millisecond, remote.Name{Text: "t:product:x", Tick: base})
	deadline := time.Now().Add(20 * time.Second)
	for len(client.Keys(t.Context(), "*{tag:*").Val()) > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("left: %q", client.Keys(t.Context(), "*{tag:*").Val())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// An index that is noted in all the time holds not many more entries than there are.
func TestExpiredEntriesLeaveAHotIndex(t *testing.T) {
	onEach(t, func(t *testing.T, client *redis.Client, s *remote.Store) {
		const all = 400
		name := remote.Name{Text: tag, Tick: base}
		index(t, s, "a:b:stays", time.Hour, name)
		index(t, s, "a:b:forever", 0, name)
		for i := range all {
			index(t, s, fmt.Sprintf("a:b:%d", i), time.Millisecond, name)
		}
		time.Sleep(5 * time.Millisecond) // the last ones expire as well
		for range all {
			index(t, s, "a:b:last", time.Hour, name)
		}
		got := dependents(t, s, tag)
		slices.Sort(got)
		if !slices.Equal(got, []string{"a:b:forever", "a:b:last", "a:b:stays"}) {
			t.Errorf("%d dependents: %.10q; want three", len(got), got)
		}
		if n := client.ZCard(t.Context(), "shop:{tag:product:1}:ends").Val(); n != 2 {
			t.Errorf("%d ends; want those of two entries that expire", n)
		}
		index(t, s, "a:b:last", 0, name) // it does not expire any more
		if n := client.ZCard(t.Context(), "shop:{tag:product:1}:ends").Val(); n != 1 {
			t.Errorf("%d ends; want one", n)
		}
	})
}

func TestFullIndexForgetsTheOldest(t *testing.T) {
	onEach(t, func(t *testing.T, _ *redis.Client, s *remote.Store) {
		s.SetIndexCapacity(3)
		for i := range 5 {
			index(t, s, fmt.Sprintf("a:b:%d", i), 0, remote.Name{Text: tag, Tick: base + uint64(i)})
		}
		if got := dependents(t, s, tag); !slices.Equal(got, []string{"a:b:2", "a:b:3", "a:b:4"}) {
			t.Errorf("got %q; want the three with the highest ticks", got)
		}
	})
}

// A large index is listed in pages.
func TestLargeIndexIsListedWhole(t *testing.T) {
	onEach(t, func(t *testing.T, client *redis.Client, s *remote.Store) {
		members := make([]redis.Z, 5000)
		for i := range members {
			members[i] = redis.Z{Score: base, Member: fmt.Sprintf("a:b:%d", i)}
		}
		if err := client.ZAdd(t.Context(), "shop:{tag:product:1}", members...).Err(); err != nil {
			t.Fatal(err)
		}
		if n := len(dependents(t, s, tag)); n != len(members) {
			t.Errorf("%d of %d", n, len(members))
		}
	})
}

// In a cluster indexes and entries lie in many slots, and no call may have keys of two.
func TestIndexInACluster(t *testing.T) {
	addr := servertest.StartRedis(t, "--cluster-enabled", "yes").Addr
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{addr}, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	node := redis.NewClient(&redis.Options{Addr: addr})
	t.Cleanup(func() { _ = node.Close() })
	if err := node.ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(node.ClusterInfo(t.Context()).Val(), "cluster_state:ok"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the cluster does not come up within 20 s")
		}
	}
	s := remote.New(client, "shop")
	tags := make([]remote.Name, 50)
	for i := range tags {
		tags[i] = remote.Name{Text: fmt.Sprintf("t:product:%d", i), Tick: base + 1}
	}
	for i := range 100 {
		key, names := fmt.Sprintf("a:b:%d", i), []remote.Name{{Text: tags[i%40].Text, Tick: base}, {Text: tags[(i+1)%40].Text, Tick: base}}
		if err := client.Set(t.Context(), "shop:"+key, valueAt(t, base, "v", names...), 0).Err(); err != nil {
			t.Fatal(err)
		}
		index(t, s, key, 0, names...)
	}
	if got, err := s.Indexed(t.Context(), tags); err != nil || !slices.Equal(got, tags[:40]) {
		t.Errorf("with an index: %v, %v; want the first 40", got, err)
	}
	if _, n, err := s.Sweep(t.Context(), tags, 100); n != 100 || err != nil {
		t.Errorf("deleted %d, %v; want 100", n, err)
	}
	if got := dependents(t, s, tags[0].Text); len(got) != 0 {
		t.Errorf("%q are left", got)
	}
}
