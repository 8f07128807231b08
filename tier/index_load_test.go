package tier_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/tier"
)

// heldNotes is a pod whose notes in indexes wait, from the first one on, until release is called. calls counts them.
type heldNotes struct {
	pod

	client  *redis.Client // looks at Redis
	calls   atomic.Int64
	release func()
}

func holdNotes(t *testing.T, capacity int) *heldNotes {
	t.Helper()
	addr := servertest.StartRedis(t).Addr
	released := make(chan struct{})
	p := &heldNotes{client: connect(t, addr), release: sync.OnceFunc(func() { close(released) })}
	name, password := servertest.User()
	client := redis.NewClient(&redis.Options{Addr: addr, Username: name, Password: password, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	client.AddHook(&watch{before: func(cmds []redis.Cmder) error {
		isNote := func(c redis.Cmder) bool {
			return slices.Contains(c.Args(), any("shop:{tag:row:hot}")) && len(c.Args()) > 6
		}
		if slices.ContainsFunc(cmds, isNote) {
			p.calls.Add(1)
			<-released
		}
		return nil
	}})
	c := openCache(t, tier.Config{Redis: client, RemoteTimeout: time.Minute}) // the test holds Redis, which is not to count as a failure
	t.Cleanup(p.release)
	tier.SetNoteQueue(c, capacity)
	p.pod = pod{cache: c, Space: newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.CDC("feed"), Load: (&source{}).load})}
	return p
}

// fill stores count entries that depend on one row in L2, by concurrent readers. No reader waits for the notes. On a busy machine a lease
// may expire before its fill: it returns how many were stored.
func (p *heldNotes) fill(t *testing.T, count int) (stored int) {
	t.Helper()
	p.get(t, "first", "hot")
	eventually(t, "the first note is under way", func() bool { return p.calls.Load() == 1 })
	var wg sync.WaitGroup
	for reader := range 8 {
		wg.Go(func() {
			for i := reader; i < count-1; i += 8 {
				p.get(t, fmt.Sprint(i), "hot")
			}
		})
	}
	wg.Wait()
	eventually(t, "all are in L2, and the notes wait", func() bool {
		stored = len(p.client.Keys(t.Context(), "shop:test:row:*").Val())
		lost := metric(t, p.cache, "tandem_refused_fills_total") + metric(t, p.cache, "tandem_lone_loads_total")
		noted := tier.NotesWaiting(p.cache) + int(metric(t, p.cache, "tandem_index_dropped_total"))
		return stored+int(lost) >= count && noted == stored-1
	})
	return stored
}

// Notes that come together share a call. Were each a call of its own, they would wait for connections while their clocks run, and most would be
// lost: of 100,000 entries that depended on one object, its index had 30,000 to 46,000.
func TestNotesShareCalls(t *testing.T) {
	p := holdNotes(t, 1<<16)
	all := p.fill(t, 600)
	p.release()
	indexed(t, p.cache, "hot", all)
	if n := p.calls.Load(); n > 10 {
		t.Errorf("%d calls noted %d entries; want about one, and five of 128 for those that came meanwhile", n, all)
	}
	if n := metric(t, p.cache, "tandem_index_dropped_total"); n != 0 {
		t.Errorf("%v were dropped", n)
	}
}

// What does not fit in the queue is counted, is not in the index, and is outdated all the same.
func TestFullNoteQueueIsCounted(t *testing.T) {
	p := holdNotes(t, 10)
	all := p.fill(t, 31)
	if n := int(metric(t, p.cache, "tandem_index_dropped_total")); n != all-11 {
		t.Errorf("counted %v of %d; want all but 11: one is under way, 10 wait", n, all)
	}
	p.release()
	indexed(t, p.cache, "hot", 11)
	if err := p.cache.InvalidateTag(t.Context(), "row", "hot"); err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		got, err := p.GetWith(t.Context(), fmt.Sprint(i), func(context.Context, string) (int, error) { return 1, nil })
		if err != nil || got != 1 {
			t.Fatalf("got %d, %v; want what is loaded after the invalidation", got, err)
		}
	}
}

// Close notes what waits.
func TestCloseNotesWhatWaits(t *testing.T) {
	p := holdNotes(t, 1<<16)
	all := p.fill(t, 300)
	closed := make(chan error)
	go func() { closed <- p.cache.Close(context.Background()) }()
	p.release()
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if n := p.client.ZCard(t.Context(), "shop:{tag:row:hot}").Val(); n != int64(all) {
		t.Errorf("the index has %d entries after Close; want %d", n, all)
	}
}
