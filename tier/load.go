package tier

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// A PanicError is what every waiter of a load gets when the loader panicked or called runtime.Goexit.
type PanicError struct {
	Value any    // what was passed to panic; nil for Goexit
	Stack []byte // of the loader
}

// Error shows the value and the stack.
func (e *PanicError) Error() string {
	if e.Value == nil {
		return fmt.Sprintf("the loader called runtime.Goexit\n\n%s", e.Stack)
	}
	return fmt.Sprintf("the loader panicked: %v\n\n%s", e.Value, e.Stack)
}

// Unwrap returns the value passed to panic when it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// loader reads one identifier's value from the source.
type loader func(ctx context.Context, id string) (any, error)

// loaded is what a loader gave.
type loaded struct {
	value any
	tags  []string // what it depends on
	took  time.Duration
	err   error
}

// takePlace waits for one of MaxLoads' places. A load begun inside another load has that one's place: waiting for a further one
// could wait for itself. So could a load that one inside another has joined; that one goes ahead.
func (c *Cache) takePlace(ctx context.Context, f *flight) (release func(), err error) {
	if loading(ctx) {
		return func() {}, nil
	}
	release = func() { c.loads.Release(1) }
	if c.loads.TryAcquire(1) {
		return release, nil
	}
	queue, leave := context.WithCancel(ctx)
	var hurry sync.WaitGroup
	hurry.Go(func() {
		select {
		case <-f.hurry:
			leave()
		case <-queue.Done():
		}
	})
	err = c.loads.Acquire(queue, 1)
	leave()
	hurry.Wait()
	switch {
	case err == nil:
		return release, nil
	case ctx.Err() == nil:
		return func() {}, nil
	}
	return nil, fmt.Errorf("waiting behind MaxLoads: %w", context.Cause(ctx))
}

// runLoader runs load in a goroutine of its own and waits for it until ctx ends. A loader that ignores its context goes on
// alone, and keeps its place; the cache's Close waits for it.
func (c *Cache) runLoader(ctx context.Context, f *flight, release func()) loaded {
	result := make(chan loaded, 1)
	c.loaders.Go(func() {
		defer release()
		callLoader(ctx, f.load, f.id, result)
	})
	select {
	case r := <-result:
		if r.err != nil && errors.Is(context.Cause(ctx), ErrClosed) {
			r.err = ErrClosed // the loader knows only that its context ended
		}
		return r
	case <-ctx.Done():
		return loaded{err: context.Cause(ctx)}
	}
}

// callLoader sends exactly one result, also when load panics or ends the goroutine.
func callLoader(ctx context.Context, load loader, id string, result chan<- loaded) {
	began := time.Now()
	ctx, deps := withDependencies(ctx)
	r := loaded{err: errors.New("bug: no result")}
	returned := false
	defer func() {
		if !returned {
			r = loaded{err: &PanicError{Value: recover(), Stack: debug.Stack()}}
		}
		result <- r
	}()
	value, err := load(ctx, id)
	tags, depErr := deps.seal()
	r = loaded{value: value, tags: tags, took: time.Since(began), err: err}
	if err == nil {
		r.err = depErr
	}
	returned = true
}
