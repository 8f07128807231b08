package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/tandem-cache/tandem/tier"
)

const (
	rowCount  = 6
	listSize  = 3 // rows of a list; list i holds the rows from i on
	listCount = 3

	rowSpace  = "sim:row"  // its entries depend on their key
	listSpace = "sim:list" // on the tags of their rows
	feedName  = "rows"
)

// A commit is one change of a row.
type commit struct {
	row     int
	version int
	at      time.Time
	visible time.Time // when new reads see it; the event may be in the log before
	since   time.Time // visible, or when a failover made Redis forget that it was invalidated
	acked   time.Time // zero: not, or forgotten in a failover
	direct  bool      // acked by Invalidate rather than by the feed
}

func (c *commit) String() string { return fmt.Sprintf("row %d version %d", c.row, c.version) }

// replicaLag is how far a replica is behind at most, and settle what its follower waits for.
const (
	replicaLag = 400 * time.Millisecond
	settle     = 500 * time.Millisecond
)

// A source is a database of versions whose log of changes runs ahead of their visibility.
type source struct {
	eager   bool // a fault: the stream does not wait for visibility
	replica bool // loads read from a replica that lags
	dice    *dice

	mu    sync.Mutex // guards the fields below
	log   []*commit  // position n: the first n are applied
	acked int        // acknowledged upstream
	loads map[string]int
}

func newSource(d *dice) *source { return &source{dice: d, loads: make(map[string]int)} }

// commit changes a row.
func (s *source) commit(row int) *commit {
	rnd := s.dice.roll("commit")
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	c := &commit{row: row, at: now, visible: now, version: 1}
	if rnd.IntN(4) == 0 {
		c.visible = now.Add(below(300*time.Millisecond, rnd))
	}
	for _, before := range s.log {
		if before.row == row {
			c.version++
			if before.visible.After(c.visible) {
				c.visible = before.visible
			}
		}
	}
	c.since = c.visible
	s.log = append(s.log, c)
	return c
}

// load reads rows at one instant, some time after it was called and before it returns.
func (s *source) load(ctx context.Context, key string, rows []int) ([]int, error) {
	rnd := s.dice.roll("load " + key)
	s.mu.Lock()
	s.loads[key]++
	s.mu.Unlock()
	if err := sleep(ctx, pause(rnd)); err != nil {
		return nil, err
	}
	seen := time.Now()
	if s.replica {
		seen = seen.Add(-below(replicaLag, rnd))
	}
	s.mu.Lock()
	versions := make([]int, len(rows))
	for i, row := range rows {
		versions[i] = s.visibleLocked(row, seen)
	}
	s.mu.Unlock()
	after := pause(rnd)
	if rnd.IntN(30) == 0 { // longer than what was read may be trusted
		after = between(maxStaleness, 3*maxStaleness, rnd)
	}
	return versions, sleep(ctx, after)
}

// visibleLocked is the version of a row that was visible at an instant.
func (s *source) visibleLocked(row int, at time.Time) (version int) {
	for _, c := range s.log {
		if c.row == row && !c.visible.After(at) {
			version = max(version, c.version)
		}
	}
	return version
}

func pause(rnd *rand.Rand) time.Duration {
	if rnd.IntN(8) == 0 {
		return below(400*time.Millisecond, rnd)
	}
	return below(8*time.Millisecond, rnd)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// unacknowledged is the first change that is not.
func (s *source) unacknowledged() *commit {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.log {
		if c.acked.IsZero() {
			return c
		}
	}
	return nil
}

// countLoads returns how often each entry was loaded since the last call.
func (s *source) countLoads() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	loads := s.loads
	s.loads = make(map[string]int)
	return loads
}

// rowsOf are the rows that an entry is made from.
func rowsOf(space, id string) []int {
	n, _ := strconv.Atoi(id)
	if space == rowSpace {
		return []int{n}
	}
	rows := make([]int, listSize)
	for i := range rows {
		rows[i] = (n + i) % rowCount
	}
	return rows
}

// namesOf are the names that a change of a row outdates.
func namesOf(row int) []string {
	id := strconv.Itoa(row)
	return []string{tier.Key(rowSpace, id), tier.Tag("row", id)}
}

// loader is what a pod's space loads with.
func (p *pod) loader(space string) func(context.Context, string) ([]int, error) {
	return func(ctx context.Context, id string) ([]int, error) {
		rows := rowsOf(space, id)
		p.world.note("pod %d loads %s:%s", p.number, space, id)
		if space == listSpace {
			for _, row := range rows {
				tier.DependsOn(ctx, "row", strconv.Itoa(row))
			}
		}
		return p.world.source.load(ctx, space+":"+id, rows)
	}
}
