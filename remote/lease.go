package remote

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// A Token names one load. Two loads never share one, also not two of the same pod. Its first bytes name the pod.
type Token [16]byte

// NewToken returns a random token, of no pod in particular.
func NewToken() (t Token) {
	_, _ = rand.Read(t[:]) // never fails
	return t
}

// Pod is whose load it is.
func (t Token) Pod() Pod { return Pod(t[:len(Pod{})]) }

// A Pod names a cache in one process, so that an operator sees who holds a lease. Nothing rests on it: of 10,000 pods, about one time in a
// hundred, two share a name.
type Pod [4]byte

// NewPod returns a random name.
func NewPod() (p Pod) {
	_, _ = rand.Read(p[:])
	return p
}

// NewToken returns a token for a load of the pod: its name and 12 random bytes.
func (p Pod) NewToken() Token {
	t := NewToken()
	copy(t[:], p[:])
	return t
}

// String is the name in 8 hex digits.
func (p Pod) String() string { return hex.EncodeToString(p[:]) }

// headLen is what names a value or a marker without reading it whole: kind, version, token.
const headLen = 18

func head(raw []byte) []byte { return raw[:min(len(raw), headLen)] }

// A Lease is the answer to a miss: exactly one of Granted, Busy, a Value and Err.
type Lease struct {
	Granted bool
	Busy    bool          // another load holds it
	Left    time.Duration // Busy: until it expires, unless its holder renews it
	Value   []byte        // somebody filled it meanwhile
	Tick    uint64        // the last tick given out, read before the source will be; 0 where unknown
	Err     error
}

// A Hold is one load's on a key.
type Hold struct {
	Key   string
	Token Token
}

// An Ask is for the right to load a key.
type Ask struct {
	Hold
	Life time.Duration // of this lease; zero: as for all
	Dead []byte        // the value that was found outdated or unreadable; nil: none. It is replaced, any other value is returned
}

// MaxLease is the longest life of a lease; a holder that needs it for longer renews it. All versions that share a Redis must agree on it: a
// marker that says nothing of its life, as those of older versions, is taken for one of this.
const MaxLease = 3 * time.Second

// Acquire asks for the right to load each of several keys, for life, or what an Ask says, and at most MaxLease.
//
// A granted lease is a marker in the place of the value: "M1", the token, "0", or "1" once somebody waits, and its life in milliseconds. It
// expires by itself when its holder dies. One with more than twice its life left was made before the server's clock was set back, and
// is free: it might keep others waiting for as long as the clock went back. The tick is read in the same round trip, with a plain command: after a failover it may be too
// low, which costs at most a load.
func (s *Store) Acquire(ctx context.Context, life time.Duration, asks []Ask) []Lease {
	var tick *redis.StringCmd
	cmds := make([]*redis.Cmd, len(asks))
	_ = s.pipelined(ctx, []*redis.Script{acquireScript}, func(p redis.Pipeliner) { // its error is one of the commands'
		tick = p.HGet(ctx, s.tickKey(), "last")
		for i, ask := range asks {
			key := []string{s.EntryKey(ask.Key)}
			cmds[i] = acquireScript.EvalSha(ctx, p, key, ask.Token[:], leaseMS(cmp.Or(ask.Life, life)), head(ask.Dead), MaxLease.Milliseconds())
		}
	})
	leases := make([]Lease, len(asks))
	last, tickErr := lastOf(tick)
	for i, cmd := range cmds {
		lease, err := parseLease(cmd)
		if err == nil {
			err = tickErr
		}
		if err != nil {
			lease = Lease{Err: fmt.Errorf("remote: lease %.128q: %w", asks[i].Key, err)}
		}
		lease.Tick = last
		leases[i] = lease
	}
	return leases
}

func leaseMS(life time.Duration) int64 {
	return min(max(life, time.Millisecond), MaxLease).Milliseconds()
}

// lastOf reads the counter from a pipeline's answer; 0: there is none that means something. Whoever takes the next tick makes it anew.
func lastOf(tick *redis.StringCmd) (uint64, error) {
	text, err := tick.Result()
	if errors.Is(err, redis.Nil) {
		return 0, nil
	}
	if isSpoilt(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	last, err := parseTick(text)
	if err != nil || last > LatestTick() {
		return 0, nil //nolint:nilerr // see above
	}
	return last, nil
}

func parseLease(cmd *redis.Cmd) (Lease, error) {
	reply, err := cmd.Slice()
	if err != nil {
		return Lease{}, err
	}
	switch {
	case len(reply) == 1 && reply[0] == "granted":
		return Lease{Granted: true}, nil
	case len(reply) == 2 && reply[0] == "busy":
		ms, _ := reply[1].(int64)
		return Lease{Busy: true, Left: time.Duration(ms) * time.Millisecond}, nil
	case len(reply) == 2 && reply[0] == "value":
		value, _ := reply[1].(string)
		return Lease{Value: []byte(value)}, nil
	}
	return Lease{}, fmt.Errorf("unexpected answer %v", reply[:min(len(reply), 1)])
}

// A Fill is a value to be stored over the marker of its own load.
type Fill struct {
	Hold
	Value []byte        // nil: none; the lease is given back
	Life  time.Duration // 0: until it is deleted
}

// A Filled is what became of a Fill.
type Filled struct {
	Stored  bool // false: there was no value, or the marker is gone
	Waiters bool // another pod waits for the key
	Err     error
}

// Fill stores values, each over the marker of its own load, and gives back the leases of those that have none.
func (s *Store) Fill(ctx context.Context, fills []Fill) []Filled {
	cmds := make([]*redis.Cmd, len(fills))
	_ = s.pipelined(ctx, []*redis.Script{fillScript, releaseScript}, func(p redis.Pipeliner) { // its error is one of the commands'
		for i, f := range fills {
			key := []string{s.EntryKey(f.Key)}
			if f.Value == nil {
				cmds[i] = releaseScript.EvalSha(ctx, p, key, f.Token[:])
				continue
			}
			ms := f.Life.Milliseconds()
			if f.Life > 0 {
				ms = max(ms, 1)
			}
			cmds[i] = fillScript.EvalSha(ctx, p, key, f.Token[:], f.Value, ms)
		}
	})
	filled := make([]Filled, len(fills))
	for i, cmd := range cmds {
		filled[i] = filledOf(cmd, fills[i])
	}
	return filled
}

func filledOf(cmd *redis.Cmd, f Fill) Filled {
	if f.Value == nil {
		n, err := cmd.Int()
		if err != nil {
			err = fmt.Errorf("remote: release %.128q: %w", f.Key, err)
		}
		return Filled{Waiters: n == 1, Err: err}
	}
	reply, err := cmd.Int64Slice()
	if err != nil {
		return Filled{Err: fmt.Errorf("remote: fill %.128q: %w", f.Key, err)}
	}
	return Filled{Stored: reply[0] == 1, Waiters: len(reply) == 2 && reply[1] == 1}
}

// Renew extends granted leases to life from now, at most MaxLease. A key's answer is false when its lease is the caller's no more; after an error of
// one, it is taken as held.
func (s *Store) Renew(ctx context.Context, life time.Duration, held []Hold) ([]bool, error) {
	cmds := make([]*redis.Cmd, len(held))
	err := s.pipelined(ctx, []*redis.Script{renewScript}, func(p redis.Pipeliner) {
		for i, h := range held {
			cmds[i] = renewScript.EvalSha(ctx, p, []string{s.EntryKey(h.Key)}, h.Token[:], leaseMS(life))
		}
	})
	still := make([]bool, len(held))
	for i, cmd := range cmds {
		n, err := cmd.Int()
		still[i] = err != nil || n == 1
	}
	if err != nil {
		err = fmt.Errorf("remote: renew %d leases: %w", len(held), err)
	}
	return still, err
}
