package remote

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// A Sight is what lies at an entry's key: nothing, a marker or a value.
type Sight struct {
	Marker *Marker
	Raw    []byte        // of a value; nil: there is none. Bytes that are no string are an empty slice
	Left   time.Duration // until Redis deletes it by itself; 0: never
}

// A Marker is a lease as others see it.
type Marker struct {
	Token   Token
	Waiters bool // another load asked for the lease meanwhile
}

// Look returns what lies at an entry's key. Unlike [Store.Acquire] it leaves no trace.
func (s *Store) Look(ctx context.Context, key string) (Sight, error) {
	var value *redis.StringCmd
	var left *redis.DurationCmd
	err := s.exec(ctx, func(p redis.Pipeliner) {
		value, left = p.Get(ctx, s.EntryKey(key)), p.PTTL(ctx, s.EntryKey(key))
	})
	if err != nil && !strings.HasPrefix(err.Error(), "WRONGTYPE") {
		return Sight{}, fmt.Errorf("remote: look at %.128q: %w", key, err)
	}
	sight := Sight{Left: max(0, left.Val())}
	raw, err := value.Bytes()
	switch {
	case errors.Is(err, redis.Nil):
	case err != nil:
		sight.Raw = []byte{}
	case len(raw) > headLen && raw[0] == kindMarker:
		sight.Marker = &Marker{Token: Token(raw[2:headLen]), Waiters: raw[headLen] == '1'}
	default:
		sight.Raw = raw
	}
	return sight, nil
}

// A Known is what the table of recent names knows of a name.
type Known struct {
	Tick  uint64 // of its last invalidation; 0: none is known
	Floor uint64 // of the name's bucket: what was invalidated up to here may be missing. 0: the bucket is
}

// Known returns what the table knows of each of names, for who wants to know more than [Store.Judge] tells.
func (s *Store) Known(ctx context.Context, names []string) ([]Known, error) {
	cmds := make([]*redis.FloatSliceCmd, len(names))
	err := s.exec(ctx, func(p redis.Pipeliner) {
		for i, name := range names {
			cmds[i] = p.ZMScore(ctx, s.bucketKey(bucketOf(name)), name, "floor")
		}
	})
	if err != nil {
		return nil, fmt.Errorf("remote: look for %d names: %w", len(names), err)
	}
	known := make([]Known, len(names))
	for i, cmd := range cmds {
		known[i] = Known{Tick: uint64(cmd.Val()[0]), Floor: uint64(cmd.Val()[1])}
	}
	return known, nil
}
