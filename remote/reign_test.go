package remote_test

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/remote"
)

// users are those of startRedis, by what they may do.
var users = map[string]*redis.Options{
	"may run INFO":     {},
	"may not run INFO": {Username: "app", Password: "any"},
}

// startRedis starts a Redis that has a user without the dangerous commands.
func startRedis(t *testing.T, args ...string) *servertest.Redis {
	t.Helper()
	return servertest.StartRedis(t, append([]string{
		"--user", "app", "on", "nopass", "~*", "&*", "+@all", "-@dangerous", "--repl-diskless-sync-delay", "0",
	}, args...)...)
}

func admin(t *testing.T, server *servertest.Redis) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: server.Addr})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func storeOf(t *testing.T, server *servertest.Redis, user string) *remote.Store {
	t.Helper()
	var at atomic.Pointer[string]
	at.Store(&server.Addr)
	return storeAt(t, &at, user)
}

// storeAt is the cache's part of whichever server is current.
func storeAt(t *testing.T, current *atomic.Pointer[string], user string) *remote.Store {
	t.Helper()
	options := *users[user]
	options.Addr = "127.0.0.1:1"
	options.Dialer = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, *current.Load())
	}
	client := redis.NewClient(&options)
	t.Cleanup(func() { _ = client.Close() })
	return remote.New(client, "shop")
}

func follow(t *testing.T, replica, master *servertest.Redis) {
	t.Helper()
	host, port, _ := net.SplitHostPort(master.Addr)
	if err := admin(t, replica).ReplicaOf(t.Context(), host, port).Err(); err != nil {
		t.Fatal(err)
	}
	awaitReplica(t, replica)
}

func awaitReplica(t *testing.T, replica *servertest.Redis) {
	t.Helper()
	client := admin(t, replica)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if strings.Contains(client.Info(t.Context(), "replication").Val(), "master_link_status:up") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the replica has not synchronised in 20 s")
		}
	}
}

func promote(t *testing.T, replica *servertest.Redis) {
	t.Helper()
	if err := admin(t, replica).ReplicaOf(t.Context(), "no", "one").Err(); err != nil {
		t.Fatal(err)
	}
}

// reigns are ways in which another reign begins. forgotten is called when the server, or the one that goes on, will not have what
// it does; the one that goes on is returned. From AOF nothing is forgotten.
var reigns = map[string]struct {
	args []string
	next func(t *testing.T, master *servertest.Redis, forgotten func()) *servertest.Redis
}{
	"restarted from RDB": {nil, func(t *testing.T, master *servertest.Redis, forgotten func()) *servertest.Redis {
		if err := admin(t, master).Save(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		forgotten()
		master.Kill()
		master.Start()
		return master
	}},
	"restarted from AOF": {[]string{"--appendonly", "yes"}, func(t *testing.T, master *servertest.Redis, forgotten func()) *servertest.Redis {
		forgotten()
		master.Stop()
		master.Start()
		return master
	}},
	"a replica is promoted": {nil, func(t *testing.T, master *servertest.Redis, forgotten func()) *servertest.Redis {
		replica := startRedis(t)
		follow(t, replica, master)
		promote(t, replica)
		forgotten()
		master.Kill()
		return replica
	}},
	"a replica is promoted that was there before": {nil, func(t *testing.T, master *servertest.Redis, forgotten func()) *servertest.Redis {
		replica := startRedis(t)
		follow(t, replica, master)
		if _, _, err := storeOf(t, master, "may not run INFO").Checkpoint(t.Context(), "f"); err != nil { // its script is run while there is a replica
			t.Fatal(err)
		}
		promote(t, replica)
		forgotten()
		master.Kill()
		return replica
	}},
}

// A server that was started again, or promoted, may have forgotten the invalidations that the checkpoint is to follow. It has the
// checkpoint from before, and must not move it.
func TestCheckpointStaysOnAnotherServer(t *testing.T) {
	for name, reign := range reigns {
		for user := range users {
			t.Run(name+"/"+user, func(t *testing.T) {
				master := startRedis(t, reign.args...)
				var current atomic.Pointer[string]
				current.Store(&master.Addr)
				s := storeAt(t, &current, user)
				_, identity, err := s.Checkpoint(t.Context(), "f")
				if err != nil {
					t.Fatal(err)
				}
				if _, again, err := s.Checkpoint(t.Context(), "f"); again != identity || err != nil {
					t.Errorf("read again: %q, %v; want the same server, %q", again, err, identity)
				}
				if moved, err := s.Advance(t.Context(), "f", identity, "", "1"); !moved || err != nil {
					t.Fatalf("got %v, %v; want it moved", moved, err)
				}
				next := reign.next(t, master, func() {})
				current.Store(&next.Addr)
				if moved, err := s.Advance(t.Context(), "f", identity, "1", "2"); moved || err != nil {
					t.Errorf("got %v, %v; want it refused", moved, err)
				}
				position, now, err := s.Checkpoint(t.Context(), "f")
				if position != "1" || now == identity || now == "" || err != nil {
					t.Errorf("at %q of %q, %v; want 1, of another server than %q", position, now, err, identity)
				}
				if moved, err := s.Advance(t.Context(), "f", now, "1", "2"); !moved || err != nil {
					t.Errorf("by who knows the server: got %v, %v; want it moved", moved, err)
				}
			})
		}
	}
}

// A master that is demoted, synchronises with another that knows less, and is promoted again is another server. Its run id and what scripts it
// knows are those that it had; the replication id is new.
func TestServerThatIsPromotedAgainIsAnother(t *testing.T) {
	master, replica := startRedis(t), startRedis(t)
	s := storeOf(t, master, "may run INFO")
	before := take(t, s, 0)
	_, identity, err := s.Checkpoint(t.Context(), "f")
	if err != nil {
		t.Fatal(err)
	}
	follow(t, replica, master)
	promote(t, replica)
	follow(t, master, replica)
	promote(t, master)
	if _, now, err := s.Checkpoint(t.Context(), "f"); now == identity || err != nil {
		t.Errorf("got %q, %v; want another server", now, err)
	}
	if got := take(t, s, 0); got < before+uint64(time.Hour.Microseconds()) {
		t.Errorf("got tick %d after %d; want a jump", got, before)
	}
}

// So it is where the server does not tell who it is: it still knows the scripts that were run there, and has not what was deleted since.
func TestWitnessEndsWithTheDataBesideIt(t *testing.T) {
	master, replica := startRedis(t), startRedis(t)
	s := storeOf(t, master, "may not run INFO")
	_, first, err := s.Checkpoint(t.Context(), "f")
	if err != nil {
		t.Fatal(err)
	}
	if moved, err := s.Advance(t.Context(), "f", first, "", "7"); !moved || err != nil {
		t.Fatalf("got %v, %v; want it moved", moved, err)
	}
	follow(t, replica, master)
	promote(t, replica)
	if _, again, err := s.Checkpoint(t.Context(), "f"); again != first || err != nil { // what the follower deletes now is lost
		t.Fatalf("got %q, %v; want the same server, %q", again, err, first)
	}
	follow(t, master, replica)
	promote(t, master)
	if moved, err := s.Advance(t.Context(), "f", first, "7", "8"); moved || err != nil {
		t.Errorf("got %v, %v; want it refused: the deletes before 8 are not on this server", moved, err)
	}
	position, now, err := s.Checkpoint(t.Context(), "f")
	if position != "7" || now == first || err != nil {
		t.Errorf("at %q of %q, %v; want 7, of another server than %q", position, now, err, first)
	}
	if moved, err := s.Advance(t.Context(), "f", first, "7", "8"); moved || err != nil {
		t.Errorf("by who knows the server from before: got %v, %v; want it refused", moved, err)
	}
	if moved, err := s.Advance(t.Context(), "f", now, "7", "8"); !moved || err != nil {
		t.Errorf("by who knows the server: got %v, %v; want it moved", moved, err)
	}
}

// Pods that look at one feed, as those that stand by do, leave each other's witness alone.
func TestWitnessesOfTwoPods(t *testing.T) {
	server := startRedis(t)
	follower, standby := storeOf(t, server, "may not run INFO"), storeOf(t, server, "may not run INFO")
	_, identity, err := follower.Checkpoint(t.Context(), "f")
	if err != nil {
		t.Fatal(err)
	}
	if _, other, err := standby.Checkpoint(t.Context(), "f"); other == identity || err != nil {
		t.Fatalf("got %q, %v; want a witness of its own", other, err)
	}
	if moved, err := follower.Advance(t.Context(), "f", identity, "", "1"); !moved || err != nil {
		t.Errorf("got %v, %v; want it moved", moved, err)
	}
	if _, again, err := follower.Checkpoint(t.Context(), "f"); again != identity || err != nil {
		t.Errorf("read again: %q, %v; want the same server, %q", again, err, identity)
	}
	keys := admin(t, server).Keys(t.Context(), "shop:{feed:f}:witness:*").Val()
	if len(keys) != 2 {
		t.Fatalf("got %q; want a key for each pod", keys)
	}
	for _, key := range keys {
		if life := admin(t, server).TTL(t.Context(), key).Val(); life <= 0 || life > 24*time.Hour {
			t.Errorf("%s lives %v; want up to a day", key, life)
		}
	}
}

// Where Redis is full, a follower that begins finds out who serves, and its checkpoint moves.
func TestWitnessWhileRedisIsFull(t *testing.T) {
	server := startRedis(t, "--maxmemory", "1000", "--maxmemory-policy", "noeviction")
	s := storeOf(t, server, "may not run INFO")
	_, identity, err := s.Checkpoint(t.Context(), "f")
	if err != nil {
		t.Fatal(err)
	}
	if moved, err := s.Advance(t.Context(), "f", identity, "", "1"); !moved || err != nil {
		t.Errorf("got %v, %v; want it moved", moved, err)
	}
}

// Ticks that a server forgot are not given out again.
func TestForgottenTicksAreNotGivenOutAgain(t *testing.T) {
	for name, reign := range reigns {
		for user := range users {
			t.Run(name+"/"+user, func(t *testing.T) {
				master := startRedis(t, reign.args...)
				var current atomic.Pointer[string]
				current.Store(&master.Addr)
				s := storeAt(t, &current, user)
				highest := take(t, s, 0)
				next := reign.next(t, master, func() {
					for range 500 {
						highest = max(highest, take(t, s, 0))
					}
				})
				current.Store(&next.Addr)
				if floor, err := s.LastTick(t.Context(), 0); floor < highest || err != nil {
					t.Errorf("read %d, %v; want no less than was given out, %d", floor, err, highest)
				}
				if got := take(t, s, 0); got <= highest {
					t.Errorf("got %d, after %d was given out", got, highest)
				}
			})
		}
	}
}

// A rolling deploy: pods of the version before write the run id before the slash. Neither version takes the other's identity for another
// reign more than once, or the counter would run away from the clock.
func TestReignAsTheVersionBeforeWroteIt(t *testing.T) {
	server := startRedis(t)
	client := admin(t, server)
	s := storeOf(t, server, "may run INFO")
	before := take(t, s, 0)
	for range 3 {
		run := client.HGet(t.Context(), "shop:{tick}", "run").Val()
		_, id, found := strings.Cut(run, "/")
		if !found || len(id) != 40 {
			t.Fatalf("the reign reads %q; want a slash and the replication id", run)
		}
		if err := client.HSet(t.Context(), "shop:{tick}", "run", strings.Repeat("0", 40)+"/"+id).Err(); err != nil {
			t.Fatal(err)
		}
		got := take(t, s, 0)
		if got <= before || got > before+uint64(time.Minute.Microseconds()) {
			t.Errorf("got %d after %d; want no jump", got, before)
		}
		before = got
	}
	// Whoever may not run INFO changes nothing of it.
	ahead := client.HMGet(t.Context(), "shop:{tick}", "run", "ahead").Val()
	if got := take(t, storeOf(t, server, "may not run INFO"), 0); got <= before || got > before+uint64(time.Minute.Microseconds()) {
		t.Errorf("got %d after %d; want no jump", got, before)
	}
	if now := client.HMGet(t.Context(), "shop:{tick}", "run", "ahead").Val(); now[0] != ahead[0] || now[1] != ahead[1] {
		t.Errorf("run and ahead: %v; they were %v", now, ahead)
	}
}

// lostAnswers cuts the connection in the place of the first answer to a witness: the client sends the command again.
type lostAnswers struct {
	net.Conn
	left *atomic.Int64
	eval bool
}

func (c *lostAnswers) Write(b []byte) (int, error) {
	c.eval = strings.Contains(string(b), "local token = '")
	return c.Conn.Write(b)
}

func (c *lostAnswers) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.eval && c.left.Add(-1) >= 0 {
		_ = c.Close()
		return 0, net.ErrClosed
	}
	return n, err
}

// A client that lost the answer sends the command again, perhaps to another master. The two must not be taken for one server.
func TestWitnessIsNotSentTwice(t *testing.T) {
	server := startRedis(t)
	var left atomic.Int64
	left.Store(1)
	options := *users["may not run INFO"]
	options.Addr = server.Addr
	options.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &lostAnswers{Conn: conn, left: &left}, nil
	}
	client := redis.NewClient(&options)
	t.Cleanup(func() { _ = client.Close() })
	scripts := func() string {
		for line := range strings.SplitSeq(admin(t, server).Info(t.Context(), "memory").Val(), "\r\n") {
			if n, ok := strings.CutPrefix(line, "number_of_cached_scripts:"); ok {
				return n
			}
		}
		return ""
	}
	s := remote.New(client, "shop")
	if _, _, err := s.Checkpoint(t.Context(), "f"); err != nil || left.Load() >= 0 {
		t.Fatalf("checkpoint: %v, %d answers to lose; want one lost and another got", err, left.Load())
	}
	if n := scripts(); n != "3" { // the checkpoint's, and the witness of each attempt
		t.Errorf("the server knows %s scripts; want 3: the text of each attempt is another", n)
	}
}
