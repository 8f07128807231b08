package tiertest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/tier"
)

// A Source is a table of a database in memory. Its methods Load and LoadMany are what a tier.SpaceConfig takes. The zero value is empty and
// ready.
type Source[V any] struct {
	// Entity, if set, is what a load depends on: the object of this entity that has the identifier, so that tier.Tag(Entity, id) outdates
	// the entry. Set it before the first load.
	Entity string

	mu      sync.Mutex // guards the fields below
	rows    map[string]V
	fails   map[string]error
	blocks  map[string]*block
	loads   map[string]int
	batches int
	changed chan struct{} // closed when a load begins; nil: nobody waits for that
}

// Put writes the row of id. Nobody is told: a load that began earlier has the row of before, and what is cached stays.
func (s *Source[V]) Put(id string, v V) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rows == nil {
		s.rows = make(map[string]V)
	}
	s.rows[id] = v
}

// Delete removes the row of id: loads of it return tier.ErrNotFound.
func (s *Source[V]) Delete(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.rows, id)
}

// Fail makes loads of id return err, until it is called with nil.
func (s *Source[V]) Fail(id string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails == nil {
		s.fails = make(map[string]error)
	}
	s.fails[id] = err
}

// Block makes loads of id wait, those that begin from now on, until release is called, or their contexts end. They return what they
// found when they began. A LoadMany waits for all of its identifiers. Where an id is blocked twice, both have to be released. Calling
// release twice is fine.
func (s *Source[V]) Block(id string) (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.blocks == nil {
		s.blocks = make(map[string]*block)
	}
	b := s.blocks[id]
	if b == nil {
		b = &block{end: make(chan struct{})}
		s.blocks[id] = b
	}
	b.holds++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if b.holds--; b.holds == 0 {
			close(b.end)
			delete(s.blocks, id)
		}
	})
}

// A block is what loads of one identifier wait for.
type block struct {
	holds int           // that are not released
	end   chan struct{} // closed when none is left
}

// Loads is how many loads of id have begun, those that LoadMany shares among many included.
func (s *Source[V]) Loads(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loads[id]
}

// Batches is how many calls of LoadMany have begun.
func (s *Source[V]) Batches() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.batches
}

// awaitTimeout bounds AwaitLoads.
const awaitTimeout = 10 * time.Second

// AwaitLoads returns when n loads of id have begun: one that is blocked has read by then. After ten seconds it fails the test.
func (s *Source[V]) AwaitLoads(t testing.TB, id string, n int) {
	t.Helper()
	timeout := time.NewTimer(awaitTimeout)
	defer timeout.Stop()
	for {
		begun, changed := s.watch(id)
		if begun >= n {
			return
		}
		select {
		case <-changed:
		case <-timeout.C:
			t.Fatalf("tiertest: %d loads of %q have begun within %s; want %d", begun, id, awaitTimeout, n)
		}
	}
}

func (s *Source[V]) watch(id string) (begun int, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.loads[id], s.changed
}

// Load reads the row of id; without one its error is tier.ErrNotFound.
func (s *Source[V]) Load(ctx context.Context, id string) (V, error) {
	found := s.begin(ctx, id)
	if err := found.wait(ctx, id); err != nil {
		return found.row, err
	}
	return found.row, found.err
}

// LoadMany reads the rows of a batch.
func (s *Source[V]) LoadMany(ctx context.Context, b *tier.Batch[V]) error {
	s.mu.Lock()
	s.batches++
	s.mu.Unlock()
	found := make(map[string]reading[V], len(b.IDs()))
	for _, id := range b.IDs() {
		found[id] = s.begin(b.For(ctx, id), id)
	}
	for id, r := range found {
		if err := r.wait(ctx, id); err != nil {
			return err
		}
	}
	for id, r := range found {
		if r.err != nil {
			b.Fail(id, r.err)
		} else {
			b.Set(id, r.row)
		}
	}
	return nil
}

// A reading is what a load has found when it began.
type reading[V any] struct {
	row   V
	err   error
	block <-chan struct{} // nil: none
}

func (s *Source[V]) begin(ctx context.Context, id string) (r reading[V]) {
	if s.Entity != "" {
		tier.DependsOn(ctx, s.Entity, id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loads == nil {
		s.loads = make(map[string]int)
	}
	s.loads[id]++
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	row, there := s.rows[id]
	switch err := s.fails[id]; {
	case err != nil:
		r.err = err
	case !there:
		r.err = tier.ErrNotFound
	default:
		r.row = row
	}
	if b := s.blocks[id]; b != nil {
		r.block = b.end
	}
	return r
}

func (r reading[V]) wait(ctx context.Context, id string) error {
	if r.block == nil {
		return nil
	}
	select {
	case <-r.block:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("tiertest: load %q while it is blocked: %w", id, context.Cause(ctx))
	}
}
