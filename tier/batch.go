package tier

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// A Batch is what SpaceConfig.LoadMany has to load, and takes what it has loaded. Its methods may be called from any goroutine; after
// LoadMany has returned, they do nothing.
type Batch[V any] struct{ core *batch }

// IDs are the identifiers to load, each once. Do not change the slice.
func (b *Batch[V]) IDs() []string { return b.core.ids }

// Set gives the value of id. An identifier that is neither set nor failed is not found.
func (b *Batch[V]) Set(id string, v V) { b.core.give(id, v, nil) }

// Fail gives the error of id alone. [ErrNotFound] is remembered.
func (b *Batch[V]) Fail(id string, err error) {
	if err == nil {
		err = fmt.Errorf("tier: Batch.Fail(%s) without an error", shown(id))
	}
	b.core.give(id, nil, err)
}

// For returns a context in which [DependsOn], and reads through the cache, count for id alone. With the context that LoadMany was given,
// they count for all identifiers of the batch.
func (b *Batch[V]) For(ctx context.Context, id string) context.Context {
	return b.core.contextFor(ctx, id)
}

// A batch is a Batch without its type.
type batch struct {
	ids  []string
	deps map[string]*dependencies // what each identifier alone depends on; nil for a batch of one, which needs no difference

	mu      sync.Mutex // guards the fields below
	given   map[string]given
	unasked string // an identifier that was given and is not in ids
	sealed  bool   // LoadMany has returned, or nobody waits for it any more
}

type given struct {
	value any
	err   error
}

func newBatch(ids []string) *batch {
	return &batch{ids: ids, given: make(map[string]given, len(ids))}
}

func (b *batch) give(id string, value any, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.sealed:
	case !b.asksLocked(id):
		b.unasked = id
	default:
		b.given[id] = given{value, err}
	}
}

func (b *batch) asksLocked(id string) bool {
	if b.deps != nil {
		return b.deps[id] != nil
	}
	return slices.Contains(b.ids, id)
}

func (b *batch) contextFor(ctx context.Context, id string) context.Context {
	if d := b.deps[id]; d != nil {
		return context.WithValue(ctx, dependenciesKey{}, d)
	}
	return ctx
}

// open seals the batch and returns the identifiers that were not given: the loader still has to come to them.
func (b *batch) open() (ids []string) {
	b.seal()
	for _, id := range b.ids {
		if _, ok := b.given[id]; !ok {
			ids = append(ids, id)
		}
	}
	return ids
}

func (b *batch) seal() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sealed = true
}

// outcome is what the sealed batch has for id; err is what LoadMany returned.
func (b *batch) outcome(id string, err error) (any, error) {
	switch g, ok := b.given[id]; {
	case ok:
		return g.value, g.err
	case err != nil:
		return nil, err
	case b.unasked != "": // perhaps this one, spelt otherwise: not found would be a guess
		return nil, fmt.Errorf("tier: LoadMany gave %s, which it was not asked for, and nothing for %s", shown(b.unasked), shown(id))
	}
	return nil, ErrNotFound
}

// manyLoader reads many identifiers from the source.
type manyLoader func(ctx context.Context, b *batch) error

// eraseMany forgets a loader's type.
func eraseMany[V any](load func(context.Context, *Batch[V]) error) manyLoader {
	if load == nil {
		return nil
	}
	return func(ctx context.Context, b *batch) error { return load(ctx, &Batch[V]{b}) }
}

// one loads a single identifier.
func (load manyLoader) one(ctx context.Context, id string) (any, error) {
	b := newBatch([]string{id})
	err := load(ctx, b)
	b.seal()
	if d, _ := ctx.Value(dependenciesKey{}).(*dependencies); d != nil && interrupted(err) {
		d.destabilize()
	}
	return b.outcome(id, err)
}

// interrupted says whether LoadMany may not have come to the DependsOn of what it has given.
func interrupted(err error) bool { return err != nil && !isNotFound(err) }

// runBatch loads the identifiers of flights in one call; they share a tick and a place.
func (c *Cache) runBatch(ctx context.Context, flights []*flight, tick uint64, release func()) []loaded {
	sp := flights[0].space
	began := time.Now()
	b := newBatch(make([]string, len(flights)))
	b.deps = make(map[string]*dependencies, len(flights))
	for i, f := range flights {
		b.ids[i] = f.id
		_, b.deps[f.id] = c.withDependencies(ctx, tick, f)
	}
	ctx, shared := c.withDependencies(ctx, tick, flights[0])
	shared.batch = true
	err := c.runLoader(ctx, sp, b.open, release, func() error { return sp.loadMany(ctx, b) })
	b.seal()
	cut := ctx.Err() != nil || interrupted(err)
	results := make([]loaded, len(flights))
	took := time.Since(began)
	forAll := shared.seal(loaded{})
	for i, f := range flights {
		value, err := b.outcome(f.id, err)
		if isNotFound(err) {
			value, err = sp.absent(f.id), nil
		}
		d := b.deps[f.id]
		d.take(forAll)
		if cut {
			d.destabilize()
		}
		results[i] = d.seal(loaded{value: value, took: took, err: err})
	}
	return results
}
