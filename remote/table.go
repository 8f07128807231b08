package remote

import (
	"context"
	"crypto/rand"
	"fmt"
	"math"

	"github.com/cespare/xxhash/v2"
	"github.com/redis/go-redis/v9"
)

// The size of the table: all pods of a cache must agree on the count of buckets. Full, it takes about 30 MB of Redis. A batch of
// 500 names meets nearly all buckets, and each costs some commands and, in a cluster, a call: so there are few.
const (
	bucketCount    = 32
	bucketCapacity = 8192
)

// A Name is something that an entry stands on, and the tick up to which the entry reflects its invalidations.
type Name struct {
	Text string
	Tick uint64
}

func bucketOf(name string) int { return int(xxhash.Sum64String(name) % bucketCount) }

// What the scripts touch and claim answer.
const (
	noteMissing = iota
	noteBehind
	noteNews
)

// Touch notes in the table that names were invalidated at tick. whole is false when a bucket had no floor: nothing could be
// stored there, what asks it is dead, and [Store.MakeTable] is due.
//
// news is false when the table knew, or has forgotten, a tick of one of the names that is not below this one, which then changed nothing:
// a value that stands on it may be above it. So it is when a name comes twice, or the client sent the call again.
//
// A bucket is a sorted set {name → highest tick}, with the member "floor" for the tick up to which names may be missing. A
// full bucket loses its oldest names and its floor rises to them.
func (s *Store) Touch(ctx context.Context, names []string, tick uint64) (news, whole bool, err error) {
	touched := s.group(names)
	var cmds []*redis.Cmd
	err = s.bounded(ctx, touchScript, func(p redis.Pipeliner, touch *redis.Script) {
		cmds = cmds[:0]
		for _, t := range touched {
			args := append([]any{tick, bucketCapacity}, t.args...)
			cmds = append(cmds, touch.EvalSha(ctx, p, t.buckets, args...))
		}
	})
	if err != nil {
		return false, false, fmt.Errorf("remote: touch %d names: %w", len(names), err)
	}
	lowest := noteNews
	for _, cmd := range cmds {
		answer, err := cmd.Int()
		if err != nil {
			return false, false, fmt.Errorf("remote: touch %d names: %w", len(names), err)
		}
		lowest = min(lowest, answer)
	}
	return lowest == noteNews, lowest != noteMissing, nil
}

// Claim notes in the table, as [Store.Touch] does, that name was invalidated at tick, and says whether that is the only invalidation
// of it since the counter stood at since. clean is false too where the table is not whole, or has forgotten, or the client sent
// the call again.
func (s *Store) Claim(ctx context.Context, name string, since, tick uint64) (clean, whole bool, err error) {
	bucket := s.bucketKey(bucketOf(name))
	answer, err := claimScript.Run(ctx, s.client, []string{bucket}, tick, bucketCapacity, since, name).Int()
	if err != nil {
		return false, true, fmt.Errorf("remote: claim %.128q: %w", name, err)
	}
	return answer == noteNews, answer != noteMissing, nil
}

// touched is one call of the script: buckets and, for each, the count of its names and the names.
type touched struct {
	buckets []string
	args    []any
}

// group orders names by their buckets, for as few calls as the server takes: one, or in a cluster one for each bucket, since
// their slots differ.
func (s *Store) group(names []string) []touched {
	var members [bucketCount][]any
	for _, name := range names {
		b := bucketOf(name)
		members[b] = append(members[b], name)
	}
	calls := make([]touched, 1)
	for b, names := range members {
		if len(names) == 0 {
			continue
		}
		call := &calls[len(calls)-1]
		if s.cluster && len(call.buckets) > 0 {
			calls = append(calls, touched{})
			call = &calls[len(calls)-1]
		}
		call.buckets = append(call.buckets, s.bucketKey(b))
		call.args = append(append(call.args, len(names)), names...)
	}
	return calls
}

// Judge asks the table about several values; each of them is the names that it stands on, and valid has an answer for each. whole is false
// when a bucket had no floor; then the values that asked it are dead. After an error all are, too.
//
// A bucket is asked once, for all names that lie in it, and a name that many values stand on is asked once.
func (s *Store) Judge(ctx context.Context, values [][]Name) (valid []bool, whole bool, err error) {
	valid = make([]bool, len(values))
	a := newInquiry(values)
	err = s.exec(ctx, func(p redis.Pipeliner) {
		for b, members := range a.members {
			if len(members) > 0 {
				a.cmds[b] = p.ZMScore(ctx, s.bucketKey(b), append(members, "floor")...)
			}
		}
	})
	if isSpoilt(err) {
		err = a.otherError()
	}
	if err != nil {
		return valid, true, fmt.Errorf("remote: judge %d values: %w", len(values), err)
	}
	whole = true
	for i, names := range values {
		valid[i] = true
		for _, n := range names {
			tick, floor := a.answer(n.Text)
			whole = whole && floor != 0
			valid[i] = valid[i] && floor != 0 && n.Tick >= floor && n.Tick >= tick
		}
	}
	return valid, whole, nil
}

// An inquiry is what Judge asks of each bucket.
type inquiry struct {
	members [bucketCount][]string
	places  map[string]int // of a name among its bucket's members
	cmds    [bucketCount]*redis.FloatSliceCmd
}

func newInquiry(values [][]Name) *inquiry {
	a := &inquiry{places: make(map[string]int)}
	for _, names := range values {
		for _, n := range names {
			if _, asked := a.places[n.Text]; asked {
				continue
			}
			b := bucketOf(n.Text)
			a.places[n.Text] = len(a.members[b])
			a.members[b] = append(a.members[b], n.Text)
		}
	}
	return a
}

// otherError is the first error that does not say that something else lies in the place of a bucket.
func (a *inquiry) otherError() error {
	for _, cmd := range a.cmds {
		if cmd != nil && cmd.Err() != nil && !isSpoilt(cmd.Err()) {
			return cmd.Err()
		}
	}
	return nil
}

// answer is the tick and the floor of a name. go-redis gives 0 for an absent member; a floor and a tick are above 0. A bucket with a floor
// that is no tick has none; a name at a score that is none is dead.
func (a *inquiry) answer(name string) (tick, floor uint64) {
	scores := a.cmds[bucketOf(name)].Val()
	if len(scores) == 0 { // something else lies there
		return 0, 0
	}
	if floor := scores[len(scores)-1]; isTick(floor) {
		tick := scores[a.places[name]]
		if tick != 0 && !isTick(tick) {
			return math.MaxUint64, uint64(floor)
		}
		return uint64(tick), uint64(floor)
	}
	return 0, 0
}

// isTick reports whether a score may be a tick.
func isTick(score float64) bool { return score > 0 && score <= float64(LatestTick()) }

// MakeTable makes the buckets that are missing.
//
// A bucket gets its floor in three steps: a nonce is written, the counter is read, the floor is set to that if the nonce still
// stands. Read first and written at once, the floor could miss an invalidation:
//
//	1 maker: reads the counter, 6
//	2 invalidation: takes tick 7, finds no bucket, stores nothing
//	3 maker: floor = 6
//	4 an entry read at 6 asks: no tick above 6 is known, valid
func (s *Store) MakeTable(ctx context.Context, seen uint64) error {
	missing, err := s.missingBuckets(ctx)
	if err != nil || len(missing) == 0 {
		return err
	}
	nonce := rand.Text()
	err = s.bounded(ctx, bucketBeginScript, func(p redis.Pipeliner, begin *redis.Script) {
		for _, b := range missing {
			begin.EvalSha(ctx, p, []string{s.bucketKey(b)}, nonce, LatestTick())
		}
	})
	if err != nil {
		return fmt.Errorf("remote: begin %d buckets: %w", len(missing), err)
	}
	floor, err := s.LastTick(ctx, seen)
	if err != nil {
		return err
	}
	err = s.bounded(ctx, bucketEndScript, func(p redis.Pipeliner, end *redis.Script) {
		for _, b := range missing {
			end.EvalSha(ctx, p, []string{s.bucketKey(b)}, nonce, floor)
		}
	})
	if err != nil {
		return fmt.Errorf("remote: end %d buckets: %w", len(missing), err)
	}
	return nil
}

// missingBuckets are those without a floor that means something, and those with a score that no tick has.
func (s *Store) missingBuckets(ctx context.Context) ([]int, error) {
	floors, highest, err := s.lookAtTable(ctx)
	var missing []int
	for b := range floors {
		if !isTick(floors[b]) || !isTick(highest[b]) {
			missing = append(missing, b)
		}
	}
	return missing, err
}

// highest is the highest tick that the table knows; 0: it is empty.
func (s *Store) highest(ctx context.Context) (tick uint64, err error) {
	_, highest, err := s.lookAtTable(ctx)
	for _, score := range highest {
		if isTick(score) {
			tick = max(tick, uint64(score))
		}
	}
	return tick, err
}

// lookAtTable returns each bucket's floor and highest score; 0: there is none, or something else lies in its place.
func (s *Store) lookAtTable(ctx context.Context) (floors, highest [bucketCount]float64, err error) {
	var floorCmds [bucketCount]*redis.FloatCmd
	var highestCmds [bucketCount]*redis.ZSliceCmd
	err = s.exec(ctx, func(p redis.Pipeliner) {
		for b := range bucketCount {
			floorCmds[b] = p.ZScore(ctx, s.bucketKey(b), "floor")
			highestCmds[b] = p.ZRevRangeWithScores(ctx, s.bucketKey(b), 0, 0)
		}
	})
	if err != nil && !isSpoilt(err) {
		return floors, highest, fmt.Errorf("remote: look at the table: %w", err)
	}
	for b := range bucketCount {
		if err := highestCmds[b].Err(); err != nil && !isSpoilt(err) {
			return floors, highest, fmt.Errorf("remote: look at the table: %w", err)
		}
		floors[b] = floorCmds[b].Val()
		if top := highestCmds[b].Val(); len(top) > 0 {
			highest[b] = top[0].Score
		}
	}
	return floors, highest, nil
}

// isSpoilt reports whether something else than expected lies at a key of ours.
func isSpoilt(err error) bool { return redis.HasErrorPrefix(err, "WRONGTYPE") }
