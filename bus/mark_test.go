package bus_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/bus"
	"github.com/tandem-cache/tandem/internal/servertest"
)

// A history is what a server has of head and journal.
type history struct {
	head    map[string]string
	journal []redis.XMessage
}

func historyOf(t *testing.T, client *redis.Client) history {
	t.Helper()
	return history{client.HGetAll(t.Context(), "shop:{bus}:head").Val(), client.XRange(t.Context(), "shop:{bus}:journal", "-", "+").Val()}
}

// restore makes a server one that has forgotten what came after, and does not say so.
func (h history) restore(t *testing.T, client *redis.Client) {
	t.Helper()
	_, err := client.TxPipelined(t.Context(), func(p redis.Pipeliner) error {
		p.Del(t.Context(), "shop:{bus}:head", "shop:{bus}:journal")
		p.HSet(t.Context(), "shop:{bus}:head", h.head)
		for _, m := range h.journal {
			p.XAdd(t.Context(), &redis.XAddArgs{Stream: "shop:{bus}:journal", ID: m.ID, Values: m.Values})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// openUnasked is a bus that looks at the journal only where a message shows a gap.
func openUnasked(t *testing.T, addr string) (*bus.Bus, *recorder) {
	t.Helper()
	r := newRecorder()
	cfg := config(connect(t, addr), r)
	cfg.MaxStaleness = time.Hour
	b := bus.Open(cfg)
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	eventually(t, "subscribed and fresh", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.proofs == 2
	})
	return b, r
}

// A server came back with fewer messages, and other pods have published others with the same numbers. The numbers lead on from where this pod
// is; the marks tell that it has not heard what that server has.
func TestMessagesOfAnotherHistoryAreTold(t *testing.T) {
	for _, more := range []int{0, 1} { // the head is where the receiver is, or further on
		each := onEach
		if more == 0 { // miniredis cuts no connections
			each = func(t *testing.T, test func(t *testing.T, addr string)) { test(t, servertest.StartRedis(t).Addr) }
		}
		each(t, func(t *testing.T, addr string) {
			b, r := openUnasked(t, addr)
			client := connect(t, addr)
			publish(t, b, 1)
			before := historyOf(t, client)
			publish(t, b, 2)
			publish(t, b, 3)
			r.await(t, "resync", "[k] 1", "[k] 2", "[k] 3")
			before.restore(t, client)
			other, _ := open(t, addr)
			for i := range 2 + more {
				publish(t, other, uint64(12+i)) // numbers 2 and 3, that this pod has had, and 4
			}
			if more == 0 {
				if err := client.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err(); err != nil { // and it looks
					t.Fatal(err)
				}
				r.await(t, "[k] 3", "resync")
				return
			}
			loseMessage(t, client, 15)
			publish(t, other, 16)
			r.await(t, "[k] 14", "resync")
		})
	}
}

// The mark that a receiver makes is the one that Redis makes, for payloads of any length.
func TestMarks(t *testing.T) {
	onEach(t, func(t *testing.T, addr string) {
		b, r := openUnasked(t, addr)
		client := connect(t, addr)
		mark := uint64(0)
		for i, size := range []int{0, 1, 100, 1000, 1010, 1100, 5000, 100000} {
			name := make([]byte, size)
			for i := range name {
				name[i] = byte(rand.IntN(256))
			}
			m := bus.Message{Kind: bus.Invalidate, Tick: uint64(i), Names: []string{string(name)}}
			if err := b.Publish(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			payload, err := bus.Encode(m)
			if err != nil {
				t.Fatal(err)
			}
			mark = bus.Next(mark, payload)
			want := fmt.Sprintf("%d-%d", i+1, mark)
			last := client.XRevRangeN(t.Context(), "shop:{bus}:journal", "+", "-", 1).Val()
			if head := client.HGet(t.Context(), "shop:{bus}:head", "last").Val(); head != want || last[0].ID != want {
				t.Fatalf("%d bytes: the head ends with %s, the journal with %s; want %s", size, head, last[0].ID, want)
			}
		}
		eventually(t, "all heard", func() bool { return len(r.all()) == 9 })
		loseMessage(t, client, 9)
		publish(t, b, 10)
		r.await(t, "[k] 9", "[k] 10")
		if got := b.Stats(); got.Resyncs != 1 {
			t.Errorf("got %+v; want no resync but the first", got)
		}
	})
}

// publishAsBefore is what pods of the version before do: they know no marks.
func publishAsBefore(t *testing.T, client *redis.Client, tick uint64) {
	t.Helper()
	err := client.Eval(t.Context(), `
		local n = redis.call('HINCRBY', KEYS[1], 'n', 1)
		redis.call('XADD', KEYS[2], n .. '-0', 'p', ARGV[1])
		return redis.call('PUBLISH', 'shop:{bus}', 'J1' .. redis.call('HGET', KEYS[1], 'lineage') .. n .. ' ' .. ARGV[1])`,
		[]string{"shop:{bus}:head", "shop:{bus}:journal"}, mustEncode(t, tick)).Err()
	if err != nil {
		t.Fatal(err)
	}
}

// In a rolling deploy pods that know marks and pods that don't hear each other, and nobody starts anew.
func TestVersionsBeforePublishToo(t *testing.T) {
	onEach(t, func(t *testing.T, addr string) {
		b, r := open(t, addr)
		r.await(t, "resync")
		client := connect(t, addr)
		for tick := uint64(1); tick < 20; tick += 3 {
			publishAsBefore(t, client, tick)
			publishAsBefore(t, client, tick+1)
			if tick%2 == 0 {
				loseMessage(t, client, 100)
				loseMessage(t, client, 100)
			}
			publish(t, b, tick+2)
			r.await(t, fmt.Sprintf("[k] %d", tick+2))
			r.awaitFresh(t)
		}
		if got := b.Stats(); got.Resyncs != 1 {
			t.Errorf("got %+v; want no resync but the first", got)
		}
	})
}

// Whatever lies in the place of head or journal, what is published is heard, and the pods are told.
func TestSpoiltHeadAndJournalBeginAnew(t *testing.T) {
	onEach(t, func(t *testing.T, addr string) {
		b, r := open(t, addr)
		r.await(t, "resync")
		client := connect(t, addr)
		tick := uint64(0)
		for _, key := range []string{"shop:{bus}:head", "shop:{bus}:journal"} {
			for _, spoil := range []string{
				"set KEY x", "rpush KEY x", "zadd KEY 1 x", "hset KEY x y", "hset KEY n x", "hset KEY n", "hset KEY n -5", "hset KEY n 1.5", "hset KEY n 1e300",
				"hset KEY n nan", "hset KEY lineage x", "hset KEY lineage", "hset KEY last x", "hset KEY last 1-x", "hset KEY run x", "xadd KEY * p x",
				"xadd KEY NEXT x y", "xadd KEY NEXT p x y z",
			} {
				head := key == "shop:{bus}:head"
				hash, stream := strings.HasPrefix(spoil, "hset"), strings.HasPrefix(spoil, "xadd")
				if kept := head && hash || !head && stream; !kept { // else the key is as it was, but for this
					client.Del(t.Context(), key)
				}
				var args []any
				for arg := range strings.FieldsSeq(spoil) {
					switch arg {
					case "KEY":
						arg = key
					case "NEXT":
						n, _ := client.HGet(t.Context(), "shop:{bus}:head", "n").Int()
						arg = fmt.Sprint(n+1) + "-5"
					}
					args = append(args, arg)
				}
				if hash && len(args) == 3 {
					args = append(args, "")
				}
				if err := client.Do(t.Context(), args...).Err(); err != nil {
					t.Fatalf("%v: %v", args, err)
				}
				tick++
				publish(t, b, tick)
				eventually(t, fmt.Sprint("heard or made good after ", args), func() bool {
					all := r.all()
					last := all[len(all)-1]
					return last == "resync" || last == fmt.Sprintf("[k] %d", tick)
				})
				r.awaitFresh(t)
			}
		}
	})
}

// Where the server does not tell who it is, that it has no more than this pod has heard proves nothing, unless a subscription would have brought
// what the server forgot since. Here it forgets two messages while this pod is cut off. Then no subscription can be made, or the user has lost the
// right to run INFO a moment ago.
func TestForgottenBesideNoSubscription(t *testing.T) {
	cases := map[string]struct {
		before string
		after  []any
	}{
		"no channels":    {"-info", []any{"ACL", "SETUSER", "app", "resetchannels"}},
		"no longer INFO": {"+info", []any{"ACL", "SETUSER", "app", "-info"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			server := startFor(t, c.before)
			client, r, net := connect(t, server.Addr), newRecorder(), newGate()
			b := openFor(t, dialingAs(t, server.Addr, net), r)
			eventually(t, "subscribed", func() bool { return b.Stats().Subscriptions == 1 })
			publish(t, b, 1)
			r.await(t, "[k] 1")
			r.awaitFresh(t)
			old := historyOf(t, client)
			net.shut()
			defer net.open()
			client.ClientKillByFilter(t.Context(), "USER", "app")
			other := openFor(t, client, newRecorder())
			publish(t, other, 2)
			publish(t, other, 3)
			if err := other.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			old.restore(t, client)
			if err := client.Do(t.Context(), c.after...).Err(); err != nil {
				t.Fatal(err)
			}
			resyncs, opened := r.count("resync"), time.Now()
			net.open()
			eventually(t, "fresh", func() bool {
				r.mu.Lock()
				defer r.mu.Unlock()
				return r.fresh.After(opened)
			})
			if r.count("resync") == resyncs {
				t.Errorf("fresh, and has neither heard 2 and 3 nor begun anew: %v", r.all())
			}
		})
	}
}

// A user who may not run INFO: the server can't tell who it is. It saves, gives out more numbers, dies, comes back with those from before, and
// gives them out again.
func TestRestartFromAnOlderDumpIsTold(t *testing.T) {
	for user, rule := range users {
		t.Run(user, func(t *testing.T) {
			server := startFor(t, rule)
			a, rb := openFor(t, dialingAs(t, server.Addr, newGate()), newRecorder()), newRecorder()
			net := newGate()
			b := openFor(t, dialingAs(t, server.Addr, net), rb)
			rb.awaitFresh(t)
			if blind := rule == "-info"; b.Blind() != blind {
				t.Errorf("blind: %v; want %v", b.Blind(), blind)
			}
			for tick := range uint64(80) {
				publish(t, a, tick+1)
				if tick == 49 {
					if err := connect(t, server.Addr).Save(t.Context()).Err(); err != nil {
						t.Fatal(err)
					}
				}
			}
			rb.await(t, "[k] 80")
			net.shut()
			defer net.open()
			server.Kill()
			server.Start()
			first := bus.Message{Kind: bus.Invalidate, Tick: 1001, Names: []string{"k"}}
			eventually(t, "Redis is back", func() bool { return a.Publish(t.Context(), first) == nil })
			for tick := range uint64(59) {
				publish(t, a, 1002+tick)
			}
			net.open()
			opened := time.Now()
			eventually(t, "fresh", func() bool {
				rb.mu.Lock()
				defer rb.mu.Unlock()
				return rb.fresh.After(opened)
			})
			all := rb.all()
			for i, event := range all {
				if event == "[k] 80" {
					all = all[i:]
					break
				}
			}
			events := strings.Join(all, ",")
			if !strings.Contains(events, "resync") && !strings.Contains(events, "[k] 1001,") {
				t.Errorf("after the restart: %s; want a resync", events)
			}
		})
	}
}
