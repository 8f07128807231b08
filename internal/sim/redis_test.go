package sim

import (
	"crypto/sha1"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"

	"github.com/tandem-cache/tandem/internal/script"
)

// A cluster is the Redis of a simulation: one master at a time.
type cluster struct {
	refuses bool // its user may not run INFO

	mu     sync.Mutex // guards the fields below
	master *miniredis.Miniredis
	reigns int
	links  []*link
	closed []*miniredis.Miniredis

	running sync.WaitGroup // goroutines of connections
}

func newCluster(refuses bool) *cluster {
	c := &cluster{refuses: refuses}
	c.begin(nil)
	return c
}

// begin puts a new master in the place of the old one, with the keys of a snapshot. Connections to the old one end.
func (c *cluster) begin(keys snapshot) {
	m := miniredis.NewMiniRedis()
	conn, err := m.Dial() // starts it
	if err != nil {
		panic(err)
	}
	_ = conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reigns++
	identity := fmt.Sprintf("%040x", c.reigns)
	if c.refuses {
		identity = ""
	}
	var versioned versions
	var encoded encodings
	m.Server().SetPreHook(func(p *server.Peer, cmd string, args ...string) bool {
		versioned.tell(cmd, args)
		return encoded.answer(p, cmd, args) || answer(p, cmd, args, identity)
	})
	keys.restore(m)
	old := c.master
	c.master = m
	for _, l := range c.links {
		l.reset()
	}
	if old != nil {
		c.closed = append(c.closed, old)
	}
}

// answer gives what miniredis does not: the identity of a server, or "" for a user who may not ask, and virtual time.
func answer(p *server.Peer, cmd string, args []string, identity string) bool {
	switch {
	case cmd == "TIME":
		now := time.Now()
		p.WriteLen(2)
		p.WriteBulk(fmt.Sprint(now.Unix()))
		p.WriteBulk(fmt.Sprint(now.Nanosecond() / 1000))
	case cmd == "INFO" && identity == "":
		p.WriteError("NOPERM this user has no permissions to run the 'info' command")
	case cmd == "INFO" && len(args) == 1 && strings.EqualFold(args[0], "server"):
		p.WriteBulk("run_id:" + identity + "\r\n")
	case cmd == "INFO" && len(args) == 1 && strings.EqualFold(args[0], "replication"):
		p.WriteBulk("role:master\r\nconnected_slaves:0\r\nmaster_replid:" + identity + "\r\n")
	default:
		return false
	}
	return true
}

// Encodings tell which strings are raw in memory, which miniredis does not: those that were appended to on this master. What a new master has
// got from another is not.
type encodings struct{ appended sync.Map }

func (e *encodings) answer(p *server.Peer, cmd string, args []string) bool {
	switch {
	case len(args) == 0:
	case cmd == "APPEND":
		e.appended.Store(args[0], true)
	case cmd == "SET" || cmd == "DEL":
		e.appended.Delete(args[0])
	case cmd == "OBJECT" && len(args) == 2 && strings.EqualFold(args[0], "encoding"):
		if _, ok := e.appended.Load(args[1]); ok {
			p.WriteBulk("raw")
		} else {
			p.WriteBulk("embstr")
		}
		return true
	}
	return false
}

// Versions let miniredis run scripts for Redis 7.0 and later: those that look for the constant of its version, and those whose first line has
// flags. The digest of a script → that of the text that is run in its place. A new master knows neither.
type versions struct{ told sync.Map }

func (v *versions) tell(cmd string, args []string) {
	const constant = "redis.REDIS_VERSION_NUM"
	digest := func(text string) string { return fmt.Sprintf("%x", sha1.Sum([]byte(text))) }
	switch {
	case cmd == "EVAL" && len(args) > 0 && (strings.Contains(args[0], constant) || strings.HasPrefix(args[0], script.AllowOOM)):
		text := strings.ReplaceAll(strings.TrimPrefix(args[0], script.AllowOOM), constant, "0x00070000")
		v.told.Store(digest(args[0]), digest(text))
		args[0] = text // which is what the handler gets, too
	case cmd == "EVALSHA" && len(args) > 0:
		if other, ok := v.told.Load(args[0]); ok {
			args[0] = other.(string)
		}
	}
}

func (c *cluster) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range append(c.closed, c.master) {
		m.Close()
	}
	c.running.Wait()
}

func (c *cluster) current() *miniredis.Miniredis {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.master
}

// reign counts the masters so far.
func (c *cluster) reign() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reigns
}

// evict removes one key whose name contains part.
func (c *cluster) evict(rnd *rand.Rand, part string) {
	m := c.current()
	keys := slices.DeleteFunc(m.Keys(), func(k string) bool { return !strings.Contains(k, part) })
	if len(keys) > 0 {
		m.Del(keys[rnd.IntN(len(keys))])
	}
}

// A snapshot is what a replica has.
type snapshot []func(*miniredis.Miniredis)

func (s snapshot) restore(m *miniredis.Miniredis) {
	for _, put := range s {
		put(m)
	}
}

func (c *cluster) snapshot() (s snapshot) {
	m := c.current()
	for _, k := range m.Keys() {
		switch ttl := m.TTL(k); m.Type(k) {
		case "string":
			v, _ := m.Get(k)
			s = append(s, func(m *miniredis.Miniredis) {
				_ = m.Set(k, v)
				if ttl > 0 {
					m.SetTTL(k, ttl)
				}
			})
		case "hash":
			var pairs []string
			fields, _ := m.HKeys(k)
			for _, f := range fields {
				pairs = append(pairs, f, m.HGet(k, f))
			}
			s = append(s, func(m *miniredis.Miniredis) { m.HSet(k, pairs...) })
		case "zset":
			set, _ := m.SortedSet(k)
			s = append(s, func(m *miniredis.Miniredis) {
				for member, score := range set {
					_, _ = m.ZAdd(k, score, member)
				}
			})
		case "stream":
			entries, _ := m.Stream(k)
			s = append(s, func(m *miniredis.Miniredis) {
				for _, e := range entries {
					_, _ = m.XAdd(k, e.ID, e.Values)
				}
			})
		}
	}
	return s
}

// position is a feed's checkpoint in the master.
func (c *cluster) position(key string) string { return positionOf(c.current().HGet(key, "position")) }
