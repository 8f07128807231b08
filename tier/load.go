package tier

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
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

// runLoader runs load in a goroutine of its own and waits for it until ctx ends. A loader that ignores its context goes on
// alone; the cache's Close waits for it.
func (c *Cache) runLoader(ctx context.Context, load loader, id string) loaded {
	nested := loading(ctx)
	if !nested { // a nested load has its outer load's place: waiting for another could wait for itself
		if err := c.loads.Acquire(ctx, 1); err != nil {
			return loaded{err: fmt.Errorf("waiting behind MaxLoads: %w", err)}
		}
	}
	result := make(chan loaded, 1)
	c.loaders.Go(func() {
		if !nested {
			defer c.loads.Release(1)
		}
		callLoader(ctx, load, id, result)
	})
	select {
	case r := <-result:
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
