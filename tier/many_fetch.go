package tier

import (
	"context"
	"time"

	"github.com/tandem-cache/tandem/local"
)

// A miss is a flight for which L2 has nothing of use.
type miss struct {
	flight *flight
	dead   []byte // the outdated value found at the key
}

// A find is a flight for which L2 has something.
type find struct {
	flight *flight
	raw    []byte
	born   uint64        // the guard's number, and
	at     time.Duration // the time, before it was read
	names  []local.Name  // that Redis has to judge
}

// A manyFetch reads the values of flights of one space that began together. It lands those whose values are of use.
type manyFetch struct {
	cache    *Cache
	began    time.Time
	missing  []miss
	alone    []*flight // Redis failed
	unjudged []find    // this pod does not know whether they are valid
}

// fetchMany lands the flights whose values L2 has, in one round trip a shard where they are small, and one more for those that Redis has to
// judge. The others are to be loaded: with a lease, or alone where Redis fails.
func (c *Cache) fetchMany(began time.Time, flights []*flight) (missing []miss, alone []*flight) {
	if c.remote == nil {
		return nil, flights
	}
	m := &manyFetch{cache: c, began: began}
	ctx, sizes := flights[0].ctx, &flights[0].space.sizes
	for unknown := firstRead; len(flights) > 0; unknown *= firstRead {
		if c.breaker.isOpen() {
			for _, f := range flights {
				m.skip(f, errLeftOut)
			}
			break
		}
		n := min(sizes.perCall(unknown), len(flights))
		m.read(ctx, flights[:n])
		flights = flights[n:]
	}
	m.judge(ctx)
	return m.missing, m.alone
}

// read is one call.
func (m *manyFetch) read(ctx context.Context, flights []*flight) {
	c := m.cache
	born, at := c.guard.Number(), c.now()
	failed := 0
	for i, stored := range flights[0].space.remoteGetMany(ctx, keysOf(flights)) {
		f := flights[i]
		switch {
		case stored.Err != nil:
			failed++
			m.skip(f, stored.Err)
		case stored.Raw == nil:
			m.missing = append(m.missing, miss{flight: f})
		default:
			f.space.sizes.note(len(stored.Raw))
			m.take(find{flight: f, raw: stored.Raw, born: born, at: at}, c.judgeHere)
		}
	}
	if failed == len(flights) {
		flights[0].space.sizes.forget()
	}
}

// skip sends a flight to the source.
func (m *manyFetch) skip(f *flight, err error) {
	f.space.skipped(err)
	m.alone = append(m.alone, f)
}

// take lands a flight if the value is of use. What judge does not know is put aside.
func (m *manyFetch) take(v find, judge func([]local.Name) (valid, known bool)) {
	got, err := m.cache.admitted(v.flight, v.raw, v.born, v.at, func(names []local.Name) (bool, error) {
		valid, known := judge(names)
		if !known {
			v.names = names
			return false, errUnasked
		}
		return valid, nil
	})
	switch {
	case err != nil:
		m.unjudged = append(m.unjudged, v)
	case got.entry != nil:
		m.cache.land(m.began, []*flight{v.flight}, []fetched{got})
	default:
		m.missing = append(m.missing, miss{v.flight, v.raw})
	}
}

// judge asks Redis about what was put aside. Once it has not answered, it is not asked for the rest: each call would wait as long.
func (m *manyFetch) judge(ctx context.Context) {
	var down error
	for some := range batches(m.unjudged, maxJudged, func(v find) int { return len(v.names) }) {
		var valid []bool
		if down == nil {
			values := make([][]local.Name, len(some))
			for i, v := range some {
				values[i] = v.names
			}
			valid, down = m.cache.remoteJudge(ctx, values)
		}
		for i, v := range some {
			if down != nil {
				m.skip(v.flight, down)
				continue
			}
			m.take(v, func([]local.Name) (bool, bool) { return valid[i], true })
		}
	}
}
