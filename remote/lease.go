package remote

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// A Token names one load. Two loads never share one, also not two of the same pod.
type Token [16]byte

// NewToken returns a random token.
func NewToken() (t Token) {
	_, _ = rand.Read(t[:]) // never fails
	return t
}

// headLen is what names a value or a marker without reading it whole: kind, version, token.
const headLen = 18

func head(raw []byte) []byte { return raw[:min(len(raw), headLen)] }

// A Lease is the answer to a miss: exactly one of Granted, Busy and a Value.
type Lease struct {
	Granted bool
	Busy    bool          // another load holds it
	Left    time.Duration // Busy: until it expires, unless its holder renews it
	Value   []byte        // somebody filled it meanwhile
	Tick    uint64        // the last tick given out, read before the source will be; 0 where unknown
}

// Get returns the bytes stored for key, or nil. A marker is nil: somebody loads. Bytes that are no string are an empty slice.
func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {
	raw, err := s.client.Get(ctx, s.entryKey(key)).Bytes()
	switch {
	case errors.Is(err, redis.Nil):
		return nil, nil
	case err != nil && strings.HasPrefix(err.Error(), "WRONGTYPE"):
		return []byte{}, nil
	case err != nil:
		return nil, fmt.Errorf("remote: get %q: %w", key, err)
	case len(raw) > 0 && raw[0] == kindMarker:
		return nil, nil
	}
	return raw, nil
}

// Acquire asks for the right to load key, for life; token names the load. dead is the value the caller found outdated or
// unreadable, nil when there was none: it is replaced, any other value is returned.
//
// A granted lease is a marker in the place of the value: "M1", the token, and "0", or "1" once somebody waits. It expires by
// itself when its holder dies. The tick is read in the same round trip, with a plain command: after a failover it may be too
// low, which costs at most a load.
func (s *Store) Acquire(ctx context.Context, key string, token Token, life time.Duration, dead []byte) (Lease, error) {
	var answer *redis.Cmd
	var tick *redis.StringCmd
	err := s.pipelined(ctx, []*redis.Script{acquireScript}, func(p redis.Pipeliner) {
		tick = p.HGet(ctx, s.tickKey(), "last")
		answer = acquireScript.EvalSha(ctx, p, []string{s.entryKey(key)}, token[:], life.Milliseconds(), head(dead))
	})
	if err != nil {
		return Lease{}, fmt.Errorf("remote: lease %q: %w", key, err)
	}
	lease, err := parseLease(answer)
	if err != nil {
		return Lease{}, fmt.Errorf("remote: lease %q: %w", key, err)
	}
	if text := tick.Val(); text != "" {
		lease.Tick, err = parseTick(text)
	}
	return lease, err
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

// Fill stores value over the marker of its own load, for life or, when that is 0, until it is deleted. stored is false when
// the marker is gone; waiters is true when another pod waits for the value.
func (s *Store) Fill(ctx context.Context, key string, token Token, value []byte, life time.Duration) (stored, waiters bool, err error) {
	ms := life.Milliseconds()
	if life > 0 {
		ms = max(ms, 1)
	}
	reply, err := fillScript.Run(ctx, s.client, []string{s.entryKey(key)}, token[:], value, ms).Int64Slice()
	if err != nil {
		return false, false, fmt.Errorf("remote: fill %q: %w", key, err)
	}
	return reply[0] == 1, len(reply) == 2 && reply[1] == 1, nil
}

// Renew extends a granted lease to life from now. held is false when it is the caller's no more.
func (s *Store) Renew(ctx context.Context, key string, token Token, life time.Duration) (held bool, err error) {
	n, err := renewScript.Run(ctx, s.client, []string{s.entryKey(key)}, token[:], life.Milliseconds()).Int()
	if err != nil {
		return false, fmt.Errorf("remote: renew %q: %w", key, err)
	}
	return n == 1, nil
}

// Release gives a lease back without a value. waiters is true when another pod waits.
func (s *Store) Release(ctx context.Context, key string, token Token) (waiters bool, err error) {
	n, err := releaseScript.Run(ctx, s.client, []string{s.entryKey(key)}, token[:]).Int()
	if err != nil {
		return false, fmt.Errorf("remote: release %q: %w", key, err)
	}
	return n == 1, nil
}

// Delete removes values and markers of keys.
func (s *Store) Delete(ctx context.Context, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	err := s.exec(ctx, func(p redis.Pipeliner) {
		for call := range slices.Chunk(s.entryKeys(keys), s.keysPerCall()) {
			p.Unlink(ctx, call...)
		}
	})
	if err != nil {
		return fmt.Errorf("remote: delete %d keys: %w", len(keys), err)
	}
	return nil
}

// keysPerCall is one in a cluster: keys of one batch lie in many slots.
func (s *Store) keysPerCall() int {
	if s.cluster {
		return 1
	}
	return 512
}

func (s *Store) entryKeys(keys []string) []string {
	entries := make([]string, len(keys))
	for i, key := range keys {
		entries[i] = s.entryKey(key)
	}
	return entries
}
