package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
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
	pageSpace = "sim:page" // made from a list and a row
	feedName  = "rows"

	gone = -1 // in the place of the version of a row that is not there
)

// isGone says whether a version of a row is its absence.
func isGone(version int) bool { return version%5 == 4 }

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
func (s *source) load(ctx context.Context, keys []string, rows []int) ([]int, error) {
	rnd := s.dice.roll("load " + keys[0])
	s.mu.Lock()
	for _, key := range keys {
		s.loads[key]++
	}
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

// lastGone is the last version of a row that was its absence; below 0: none was.
func (s *source) lastGone(row int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := gone
	for _, c := range s.log {
		if c.row == row && isGone(c.version) {
			last = max(last, c.version)
		}
	}
	return last
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
	switch space {
	case rowSpace:
		return []int{n}
	case pageSpace:
		return append(rowsOf(listSpace, id), (n+listSize)%rowCount)
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

// loadRow loads a row, which may not be there.
func (p *pod) loadRow(ctx context.Context, id string) ([]int, error) {
	p.world.note("pod %d loads %s:%s", p.number, rowSpace, id)
	got, err := p.world.source.load(ctx, []string{rowSpace + ":" + id}, rowsOf(rowSpace, id))
	if err == nil && isGone(got[0]) {
		return nil, tier.ErrNotFound
	}
	return got, err
}

// loadRows loads several.
func (p *pod) loadRows(ctx context.Context, b *tier.Batch[[]int]) error {
	p.world.note("pod %d loads %s:%s", p.number, rowSpace, b.IDs())
	var keys []string
	var rows []int
	for _, id := range b.IDs() {
		keys = append(keys, rowSpace+":"+id)
		rows = append(rows, rowsOf(rowSpace, id)...)
	}
	got, err := p.world.source.load(ctx, keys, rows)
	if err != nil {
		return err
	}
	for i, id := range b.IDs() {
		if !isGone(got[i]) {
			b.Set(id, got[i:i+1])
		}
	}
	return nil
}

// loadList loads a list. Lists show rows that are gone.
func (p *pod) loadList(ctx context.Context, id string) ([]int, error) {
	p.world.note("pod %d loads %s:%s", p.number, listSpace, id)
	rows := rowsOf(listSpace, id)
	for _, row := range rows {
		tier.DependsOn(ctx, "row", strconv.Itoa(row))
	}
	return p.world.source.load(ctx, []string{listSpace + ":" + id}, rows)
}

// loadPage makes a page from a list and a row, through the cache.
func (l *life) loadPage(ctx context.Context, id string) ([]int, error) {
	list, err := l.spaces[listSpace].Get(ctx, id)
	if err != nil {
		return nil, err
	}
	rows := rowsOf(pageSpace, id)
	row, err := l.spaces[rowSpace].Get(ctx, strconv.Itoa(rows[len(rows)-1]))
	if errors.Is(err, tier.ErrNotFound) {
		row, err = []int{gone}, nil
	}
	return slices.Concat(list, row), err
}
