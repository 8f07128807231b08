package bus_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/bus"
	"github.com/tandem-cache/tandem/internal/servertest"
)

// appendUnheard puts a message into the journal that pub/sub loses.
func appendUnheard(t *testing.T, client *redis.Client, payload []byte) {
	t.Helper()
	err := client.Eval(t.Context(), `
		local n = redis.call('HINCRBY', KEYS[1], 'n', 1)
		redis.call('XADD', KEYS[2], n .. '-0', 'p', ARGV[1])`,
		[]string{"shop:{bus}:head", "shop:{bus}:journal"}, payload).Err()
	if err != nil && !errors.Is(err, redis.Nil) {
		t.Fatal(err)
	}
}

func loseMessage(t *testing.T, client *redis.Client, tick uint64) {
	t.Helper()
	payload, err := bus.Encode(bus.Message{Kind: bus.Invalidate, Tick: tick, Names: []string{"k"}})
	if err != nil {
		t.Fatal(err)
	}
	appendUnheard(t, client, payload)
}

// What pub/sub lost comes from the journal, in its place.
func TestGapIsReplayed(t *testing.T) {
	onEach(t, func(t *testing.T, addr string) {
		b, r := open(t, addr)
		r.await(t, "resync")
		publish(t, b, 1)
		r.await(t, "[k] 1")
		client := connect(t, addr)
		loseMessage(t, client, 2)
		loseMessage(t, client, 3)
		publish(t, b, 4)
		r.await(t, "resync", "[k] 1", "[k] 2", "[k] 3", "[k] 4")
	})
}

// A gap shows at once, not with the next probe.
func TestGapIsReplayedAtOnce(t *testing.T) {
	server := servertest.StartRedis(t)
	r := newRecorder()
	cfg := config(connect(t, server.Addr), r)
	cfg.MaxStaleness = time.Hour
	b := bus.Open(cfg)
	defer func() { _ = b.Close(context.Background()) }()
	eventually(t, "fresh by the first look and by that of the subscription", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.proofs == 2
	})
	loseMessage(t, connect(t, server.Addr), 1)
	publish(t, b, 2)
	r.await(t, "resync", "[k] 1", "[k] 2")
	if got := b.Stats(); got.Gaps != 1 || got.Replayed != 2 || got.Resyncs != 1 {
		t.Errorf("got %+v; want one gap, two messages replayed and the first resync alone", got)
	}
}

// A lost last message is followed by nothing that would show the gap.
func TestLostLastMessageIsReplayed(t *testing.T) {
	onEach(t, func(t *testing.T, addr string) {
		t.Parallel() // it waits
		r := newRecorder()
		openLenient(t, connect(t, addr), r)
		r.await(t, "resync")
		lost := time.Now()
		loseMessage(t, connect(t, addr), 1)
		r.await(t, "resync", "[k] 1")
		if took := time.Since(lost); took > lenient {
			t.Errorf("found after %s; want at most %s", took, lenient)
		}
	})
}

func TestGapBeyondTheJournalIsTold(t *testing.T) {
	onEach(t, func(t *testing.T, addr string) {
		b, r := open(t, addr)
		r.await(t, "resync")
		publish(t, b, 1)
		r.await(t, "[k] 1")
		client := connect(t, addr)
		if err := client.HIncrBy(t.Context(), "shop:{bus}:head", "n", 1).Err(); err != nil { // number 2 is nowhere
			t.Fatal(err)
		}
		publish(t, b, 3)
		r.await(t, "[k] 1", "resync") // which makes good for 3 too
		publish(t, b, 4)
		r.await(t, "resync", "[k] 4")
	})
}

// A hole in the middle of what is replayed is found as well.
func TestHoleInTheJournalIsTold(t *testing.T) {
	onEach(t, func(t *testing.T, addr string) {
		_, r := open(t, addr)
		r.await(t, "resync")
		client := connect(t, addr)
		err := client.Eval(t.Context(), `
			redis.call('HSET', KEYS[1], 'n', '3')
			redis.call('XADD', KEYS[2], '1-0', 'p', ARGV[1])
			redis.call('XADD', KEYS[2], '3-0', 'p', ARGV[1])`, []string{"shop:{bus}:head", "shop:{bus}:journal"}, mustEncode(t, 1)).Err()
		if err != nil && !errors.Is(err, redis.Nil) {
			t.Fatal(err)
		}
		r.await(t, "resync", "[k] 1", "resync")
	})
}

func mustEncode(t *testing.T, tick uint64) []byte {
	t.Helper()
	payload, err := bus.Encode(bus.Message{Kind: bus.Invalidate, Tick: tick, Names: []string{"k"}})
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// A head that stands behind what was heard has forgotten: what it will number again is not what was heard.
func TestForgetfulHeadIsTold(t *testing.T) {
	onEach(t, func(t *testing.T, addr string) {
		b, r := open(t, addr)
		r.await(t, "resync")
		publish(t, b, 1)
		publish(t, b, 2)
		r.await(t, "[k] 2")
		if err := connect(t, addr).HSet(t.Context(), "shop:{bus}:head", "n", 1).Err(); err != nil {
			t.Fatal(err)
		}
		r.await(t, "[k] 2", "resync")
	})
}

// A subscription on another server than the journal, as after a failover that left the old master running, is given up.
func TestSubscriptionOnAnotherServerIsRenewed(t *testing.T) {
	onEach(t, func(t *testing.T, addr string) {
		b, r := open(t, addr)
		eventually(t, "subscribed", func() bool { return b.Stats().Subscriptions == 1 })
		if err := connect(t, addr).Publish(t.Context(), "shop:{bus}", "J1"+"0123456789abcdef"+"7 x").Err(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "subscribed anew", func() bool { return b.Stats().Subscriptions == 2 })
		publish(t, b, 1)
		r.await(t, "resync", "[k] 1")
	})
}

// deaf is a network on which a subscription stays open and brings nothing.
type deaf struct {
	net.Conn
	off        *atomic.Int64 // those made before this instant, in Unix ns
	made       int64
	subscribed atomic.Bool
}

func (c *deaf) Write(b []byte) (int, error) {
	if strings.Contains(strings.ToLower(string(b)), "subscribe") {
		c.subscribed.Store(true)
	}
	return c.Conn.Write(b)
}

func (c *deaf) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || c.off.Load() < c.made || !c.subscribed.Load() {
			return n, err
		}
	}
}

func direct(c net.Conn) net.Conn { return c }

func dialing(t *testing.T, addr string, wrap func(net.Conn) net.Conn) *redis.Client {
	t.Helper()
	opts := options(addr)
	opts.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return wrap(conn), nil
	}
	client := redis.NewClient(opts)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// A subscription that freezes while commands go through loses nothing, and is found out.
func TestFrozenSubscriptionIsFoundOut(t *testing.T) {
	t.Parallel() // it waits
	server := servertest.StartRedis(t)
	var off atomic.Int64
	r := newRecorder()
	b := openLenient(t, dialing(t, server.Addr, func(c net.Conn) net.Conn {
		return &deaf{Conn: c, off: &off, made: time.Now().UnixNano()}
	}), r)
	r.await(t, "resync")
	eventually(t, "subscribed", func() bool { return b.Stats().Subscriptions == 1 })
	off.Store(time.Now().UnixNano())
	publish(t, b, 1)
	sent := time.Now()
	r.await(t, "resync", "[k] 1")
	if took := time.Since(sent); took > lenient {
		t.Errorf("heard after %s; want at most %s", took, lenient)
	}
	eventually(t, "subscribed anew", func() bool { return b.Stats().Subscriptions == 2 })
}

// slowAnswers is a network on which answers take their time.
type slowAnswers struct {
	net.Conn
	delay *atomic.Int64
}

func (c slowAnswers) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	time.Sleep(time.Duration(c.delay.Load()))
	return n, err
}

// proving notes the proofs that claim too much.
type proving struct {
	*recorder
	published atomic.Pointer[time.Time] // when want messages had been published
	want      int
	wrong     atomic.Int64
}

func (p *proving) Fresh(asOf time.Time) {
	if sent := p.published.Load(); sent != nil && asOf.After(*sent) && len(p.all()) < 1+p.want {
		p.wrong.Add(1)
	}
	p.recorder.Fresh(asOf)
}

func (p *proving) check(t *testing.T) {
	t.Helper()
	eventually(t, "all handed over", func() bool { return len(p.all()) == 1+p.want })
	p.awaitFresh(t)
	if n := p.wrong.Load(); n > 0 {
		t.Errorf("%d times fresh as of a moment after messages that were not handed over", n)
	}
}

// A replay takes several rounds; only the last one proves anything.
func TestFreshFollowsTheWholeReplay(t *testing.T) {
	onEach(t, func(t *testing.T, addr string) {
		p := &proving{recorder: newRecorder(), want: 1000}
		openFor(t, connect(t, addr), p)
		p.await(t, "resync")
		err := dialing(t, addr, direct).Eval(t.Context(), `
			for n = 1, 1000 do redis.call('XADD', KEYS[2], n .. '-0', 'p', ARGV[1]) end
			redis.call('HSET', KEYS[1], 'n', '1000')`,
			[]string{"shop:{bus}:head", "shop:{bus}:journal"}, mustEncode(t, 1)).Err()
		if err != nil && !errors.Is(err, redis.Nil) {
			t.Fatal(err)
		}
		now := time.Now()
		p.published.Store(&now)
		p.check(t)
	})
}

// A proof is as old as the question, not as the answer: what was published in between is not covered.
func TestFreshIsAsOldAsTheQuestion(t *testing.T) {
	t.Parallel() // it waits
	server := servertest.StartRedis(t)
	var delay atomic.Int64
	p := &proving{recorder: newRecorder(), want: 1}
	openLenient(t, dialing(t, server.Addr, func(c net.Conn) net.Conn { return slowAnswers{c, &delay} }), p)
	p.await(t, "resync")
	delay.Store(int64(150 * time.Millisecond)) // far below the timeout of a probe
	client := connect(t, server.Addr)
	probed := func() string { return client.Info(t.Context(), "commandstats").Val() }
	calls := func() string {
		for line := range strings.SplitSeq(probed(), "\n") {
			if strings.HasPrefix(line, "cmdstat_evalsha:") {
				return line
			}
		}
		return ""
	}
	before := calls()
	eventually(t, "probed", func() bool { return calls() != before }) // answered by Redis, on its way to the bus
	loseMessage(t, client, 1)
	now := time.Now()
	p.published.Store(&now)
	p.check(t)
}

// slow blocks in Handle until it is let go.
type slow struct {
	*recorder
	hold chan struct{}
}

func (s *slow) Handle(m bus.Message) error {
	<-s.hold
	return s.recorder.Handle(m)
}

// A pod that lags slows no other. Redis cuts it off when its buffer is full; the journal has what it lost.
func TestLaggingPodSlowsNobody(t *testing.T) {
	server := servertest.StartRedis(t, "--client-output-buffer-limit", "pubsub 100000 0 0")
	s := &slow{newRecorder(), make(chan struct{})}
	lagging := openFor(t, connect(t, server.Addr), s)
	letGo := sync.OnceFunc(func() { close(s.hold) })
	t.Cleanup(letGo)
	s.await(t, "resync")
	b, r := open(t, server.Addr)
	r.await(t, "resync")
	names := []string{strings.Repeat("x", 50_000)} // far more than sockets and queue hold
	const messages = 1000
	for tick := range uint64(messages) {
		if err := b.Publish(t.Context(), bus.Message{Kind: bus.Invalidate, Tick: tick + 1, Names: names}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all heard by the other", func() bool { return r.len() == 1+messages })
	letGo()
	eventually(t, "all heard by the one that lagged", func() bool { return s.len() == 1+messages })
	if !slices.Equal(s.all(), r.all()) {
		t.Error("the two heard the messages in different orders")
	}
	eventually(t, "cut off", func() bool { return lagging.Stats().Subscriptions > 1 })
	if got := lagging.Stats(); got.Resyncs != 1 {
		t.Errorf("got %+v; want no resync but the first", got)
	}
}

func (r *recorder) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.events)
}

func (r *recorder) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// On a machine that was suspended, the monotonic clock tells less than has passed.
func TestSuspendedMachineIsTold(t *testing.T) {
	var asleep atomic.Int64
	r := newRecorder()
	start := time.Now()
	b := bus.OpenWithClocks(config(connect(t, servertest.StartRedis(t).Addr), r), func() (wall, mono time.Duration) {
		mono = time.Since(start)
		return mono + time.Duration(asleep.Load()), mono
	})
	defer func() { _ = b.Close(context.Background()) }()
	r.await(t, "resync")
	asleep.Store(int64(time.Minute))
	r.await(t, "resync", "stalled")
	r.awaitFresh(t)
	if n := r.count("stalled"); n != 1 {
		t.Errorf("stalled %d times; want once", n)
	}
}

// A replay of large messages comes in answers that fit the deadline of a probe.
func TestLargeReplayComesInParts(t *testing.T) {
	onEach(t, func(t *testing.T, addr string) {
		r := newRecorder()
		cfg := config(connect(t, addr), r)
		cfg.MaxStaleness = time.Hour // the messages are of a size that a busy machine reads slowly
		b := openWith(t, cfg)
		r.await(t, "resync")
		client := connect(t, addr)
		payload, err := bus.Encode(bus.Message{Kind: bus.Invalidate, Names: []string{strings.Repeat("x", 1<<20)}})
		if err != nil {
			t.Fatal(err)
		}
		largest := func() (n int) {
			reply, err := bus.Replay(t.Context(), client, "shop", 0)
			if err != nil {
				t.Fatal(err)
			}
			return reply
		}
		for range 40 {
			appendUnheard(t, client, payload)
		}
		if n := largest(); n < 1 || n > 8 {
			t.Errorf("an answer has %d messages of 1 MB; want 1 to 8", n)
		}
		publish(t, b, 1) // shows the gap
		eventually(t, "all replayed", func() bool { return r.len() == 42 })
	})
}

// The journal takes bounded room, also of messages that are large.
func TestJournalIsBounded(t *testing.T) {
	server := servertest.StartRedis(t)
	client := connect(t, server.Addr)
	b := bus.Unopened(client, "shop") // nobody reads what would take long to read
	names := []string{strings.Repeat("x", 1<<20)}
	for range 160 {
		if err := b.Publish(t.Context(), bus.Message{Kind: bus.Invalidate, Names: names}); err != nil {
			t.Fatal(err)
		}
	}
	n := client.XLen(t.Context(), "shop:{bus}:journal").Val()
	if n < 128 || n > 140 {
		t.Errorf("the journal holds %d messages of 1 MB; want no more than a replay needs", n)
	}
}

// users are the rules of users that may run INFO, and of those that may not.
var users = map[string]string{"may run INFO": "+info", "may not": "-info"}

// startFor starts a server with the user app.
func startFor(t *testing.T, rule string) *servertest.Redis {
	t.Helper()
	return servertest.StartRedis(t, "--user", "app", "on", "nopass", "~*", "&*", "+@all", "-@dangerous", rule)
}

// A server that was told to follow another, and has not synchronised, still holds the journal that it had. It hears nothing of what the
// other publishes.
func TestDemotedServerProvesNothing(t *testing.T) {
	for user, rule := range users {
		t.Run(user, func(t *testing.T) {
			server := startFor(t, rule)
			r := newRecorder()
			b := openFor(t, dialingAs(t, server.Addr, newGate()), r)
			r.awaitFresh(t)
			if err := connect(t, server.Addr).ReplicaOf(t.Context(), "127.0.0.1", "1").Err(); err != nil {
				t.Fatal(err)
			}
			demoted := time.Now()
			eventually(t, "refused", func() bool { return b.Stats().FailedProbes > 2 })
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.fresh.After(demoted) {
				t.Errorf("fresh as of %s after the server was demoted", r.fresh.Sub(demoted))
			}
		})
	}
}

// Where the server does not tell who it is, it may have forgotten, between two subscriptions, what this pod never heard.
func TestBlindSubscriptionBeginsAnew(t *testing.T) {
	for user, rule := range users {
		t.Run(user, func(t *testing.T) {
			server := startFor(t, rule)
			r := newRecorder()
			b := openFor(t, dialingAs(t, server.Addr, newGate()), r)
			eventually(t, "subscribed", func() bool { return b.Stats().Subscriptions == 1 })
			r.awaitFresh(t)
			before := r.count("resync")
			if err := connect(t, server.Addr).ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "subscribed anew", func() bool { return b.Stats().Subscriptions == 2 })
			r.awaitFresh(t)
			if anew := r.count("resync") > before; anew != (rule == "-info") {
				t.Errorf("it began anew: %v", anew)
			}
		})
	}
}
