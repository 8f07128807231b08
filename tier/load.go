package tier

import (
	"context"
	"errors"
	"fmt"
	"path"
	"runtime/debug"
	"strings"
	"time"
)

// A PanicError is what every waiter of a load gets when the loader panicked or called runtime.Goexit.
type PanicError struct {
	Value any    // what was passed to panic; nil for Goexit
	Stack []byte // of the loader
}

// Error shows the beginning of the value, and the function that panicked with its line. Errors reach clients: the stack stays in its field.
func (e *PanicError) Error() string {
	if e.Value == nil {
		return "the loader called runtime.Goexit" + e.where()
	}
	return fmt.Sprintf("the loader panicked: %s%s", beginning(fmt.Sprint(e.Value)), e.where())
}

// where is the innermost function in the stack that is not the runtime's; "" if there is none.
func (e *PanicError) where() string {
	panicked, function := false, ""
	for line := range strings.Lines(string(e.Stack)) {
		file, isFile := strings.CutPrefix(line, "\t")
		switch {
		case isFile && function != "":
			file, _, _ = strings.Cut(strings.TrimSpace(file), " +0x")
			return fmt.Sprintf(" in %s (%s)", function, path.Base(file))
		case isFile:
		case strings.HasPrefix(line, "panic("), strings.HasPrefix(line, "runtime.Goexit("):
			panicked = true
		case panicked && !strings.HasPrefix(line, "runtime."):
			function = line[:max(0, strings.LastIndexByte(line, '('))]
		}
	}
	return ""
}

// Unwrap returns the value passed to panic when it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// loader reads one identifier's value from the source.
type loader func(ctx context.Context, id string) (any, error)

// patience is the context of what a load waits for before it begins. A load inside another waits half as long, so that it has its turn
// before the other's time is over: each of two pods may hold a lease for which the other's loader waits, in a cycle that neither sees until it
// loads by itself.
func (sp *space) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	wait := sp.loadTimeout
	if sp.cache.sharesPlace(ctx) {
		wait /= 2
	}
	return sp.within(ctx, wait)
}

// loadContext is the context of a load.
func (sp *space) loadContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return sp.within(ctx, sp.loadTimeout)
}

func (sp *space) within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d, fmt.Errorf("LoadTimeout of %s: %w", sp.loadTimeout, context.DeadlineExceeded))
}

// runLoader runs load, of a space's identifiers, in a goroutine of its own and waits for it until ctx ends. A loader that ignores its context
// goes on alone, and keeps its place; the cache's Close waits for it, and what ids returns is refused until then. What load leaves behind may
// be read unless ctx has ended.
func (c *Cache) runLoader(ctx context.Context, sp *space, ids func() []string, release func(), load func() error) error {
	result := make(chan error, 1)
	run := newLoaderRun(ids)
	c.loading.Add(1)
	c.loaders.Go(func() {
		defer release()
		defer c.loading.Add(-1)
		defer sp.stuck.end(run)
		callLoader(load, result)
	})
	select {
	case err := <-result:
		if err != nil && errors.Is(context.Cause(ctx), ErrClosed) {
			return ErrClosed // the loader knows only that its context ended
		}
		return err
	case <-ctx.Done():
		sp.stuck.giveUp(run) // before the flight ends: the next one of the key finds it
		return context.Cause(ctx)
	}
}

// callLoader sends exactly one result, also when load panics or ends the goroutine.
func callLoader(load func() error, result chan<- error) {
	err := errors.New("bug: no result")
	returned := false
	defer func() {
		if !returned {
			err = &PanicError{Value: recover(), Stack: debug.Stack()}
		}
		result <- err
	}()
	err = load()
	returned = true
}

// runSingle loads the identifier of one flight.
func (c *Cache) runSingle(ctx context.Context, f *flight, tick uint64, release func()) loaded {
	began := time.Now()
	ctx, d := c.withDependencies(ctx, tick, f)
	var value any
	err := c.runLoader(ctx, f.space, func() []string { return []string{f.id} }, release, func() (err error) {
		value, err = f.load(ctx, f.id)
		return err
	})
	r := loaded{took: time.Since(began), err: err}
	switch {
	case err == nil: // else a loader that was given up may still write to value
		r.value = value
	case isNotFound(err):
		r.value, r.err = f.space.absent(f.id), nil
	}
	return d.seal(r)
}
