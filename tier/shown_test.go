package tier_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/tier"
)

// What somebody sends as an identifier comes back in an error with its beginning and its length, not whole, and not by the thousand.
func TestErrorsAreShort(t *testing.T) {
	c := openCache(t, tier.Config{})
	load := func(context.Context, string) (int, error) { return 0, errors.New("the source is away") }
	s := newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.TTL(time.Minute), Load: load})
	ctx, long := t.Context(), strings.Repeat("long", 16<<10)
	many := make([]string, 100_000)
	for i := range many {
		many[i] = "nothing" + long[:1000]
	}
	get := func(id string) error { _, err := s.Get(ctx, id); return err }
	inLoad := func(record func(ctx context.Context)) error {
		_, err := s.GetWith(ctx, "in a load", func(ctx context.Context, _ string) (int, error) { record(ctx); return 0, nil })
		return err
	}
	for name, err := range map[string]error{
		"Get":              get(long),
		"Get, 1 KB":        get(long[:1000]),
		"GetMany":          s.GetMany(ctx, []string{long})[0].Err,
		"Set":              s.Set(ctx, long, 1),
		"Invalidate":       s.Invalidate(ctx, long),
		"Invalidate, many": c.Invalidate(ctx, many...),
		"InvalidateTag":    c.InvalidateTag(ctx, long, "1"),
		"SpaceName":        c.Invalidate(ctx, tier.SpaceName(long)),
		"DependsOn":        inLoad(func(ctx context.Context) { tier.DependsOn(ctx, long, long) }),
		"DependsOn, many": inLoad(func(ctx context.Context) {
			for range 1000 {
				tier.DependsOn(ctx, "?", "1")
			}
		}),
		"panic":              inLoad(func(context.Context) { panic(long) }),
		"Feed":               second(c.Feed(long)),
		"NewSpace":           second(tier.NewSpace(c, tier.SpaceConfig[int]{Name: long, Strategy: tier.TTL(time.Minute)})),
		"NewSpace, a bucket": second(tier.NewSpace(c, tier.SpaceConfig[int]{Name: "a:b", Bucket: long, Strategy: tier.TTL(time.Minute)})),
		"Open":               second(tier.Open(ctx, tier.Config{Name: long})),
		"Count":              second(c.Count(ctx, tier.KeyQuery{Pattern: long + "["})),
		"Explain":            second(s.Explain(ctx, long)),
	} {
		switch {
		case err == nil:
			if name != "Count" { // L1 alone counts what it has
				t.Errorf("%s: no error", name)
			}
		case len(err.Error()) > 2048:
			t.Errorf("%s: an error of %d bytes: %.300s…", name, len(err.Error()), err)
		}
	}
	wantError(t, get(long), `"test:row:longlong`, "… (65545 bytes)", "the identifier has 65536 bytes: at most 1024")
	wantError(t, c.Invalidate(ctx, many...), "there may be more")
}

func second[T any](_ T, err error) error { return err }

// The stack of a panic is for its field: the error's text may reach a client.
func TestPanicErrorNamesThePlace(t *testing.T) {
	s := newSpace(t, openCache(t, tier.Config{}), tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.TTL(time.Minute)})
	for name, c := range map[string]struct {
		load func()
		want string
	}{
		"a value":         {func() { panic("no such column") }, `the loader panicked: no such column in github.com/tandem-cache/tandem/tier_test.TestPanicErrorNamesThePlace.`},
		"an index":        {func() { _ = make([]int, 1)[len(t.Name())] }, `index out of range`},
		"a nil pointer":   {func() { _ = *(*int)(nil) }, `nil pointer dereference in github.com/tandem-cache/tandem/tier_test.TestPanicErrorNamesThePlace.`},
		"runtime.Goexit":  {runtime.Goexit, `the loader called runtime.Goexit in github.com/tandem-cache/tandem/tier_test.TestPanicErrorNamesThePlace.`},
		"panic in defers": {func() { defer func() { panic("second") }(); panic("first") }, `the loader panicked: second in `},
	} {
		_, err := s.GetWith(t.Context(), name, func(context.Context, string) (int, error) { c.load(); return 0, nil })
		wantError(t, err, c.want, "(shown_test.go:")
		var panicked *tier.PanicError
		if !errors.As(err, &panicked) || !bytes.Contains(panicked.Stack, []byte("goroutine ")) {
			t.Errorf("%s: no stack in %v", name, err)
		}
		if text := fmt.Sprint(err); strings.Contains(text, "\n") || strings.Contains(text, "goroutine") {
			t.Errorf("%s: the text has the stack: %s", name, text)
		}
	}
}

func TestClosedMakesNothing(t *testing.T) {
	c := openCache(t, tier.Config{})
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := tier.NewSpace(c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.CDC("feed")}); !errors.Is(err, tier.ErrClosed) {
		t.Errorf("NewSpace: got %v; want ErrClosed", err)
	}
	if _, err := c.Feed("feed"); !errors.Is(err, tier.ErrClosed) {
		t.Errorf("Feed: got %v; want ErrClosed", err)
	}
}

// logged opens a cache whose log can be read, as text.
func logged(t *testing.T, cfg tier.Config) (*tier.Cache, *lines) {
	t.Helper()
	log := new(lines)
	cfg.Name, cfg.Logger = "shop", slog.New(slog.NewTextHandler(log, nil))
	c, err := tier.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c, log
}

// A dependency that is recorded too late is logged once a space, and names it.
func TestLateDependsOnIsLogged(t *testing.T) {
	c, log := logged(t, tier.Config{})
	kept := make(map[string]context.Context)
	load := func(ctx context.Context, id string) (int, error) {
		kept[id] = ctx //nolint:fatcontext // the mistake that the test is about
		return 1, nil
	}
	for _, name := range []string{"test:row", "test:list"} {
		s := newSpace(t, c, tier.SpaceConfig[int]{Name: name, Strategy: tier.TTL(time.Minute), Load: load})
		if _, err := s.Get(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			tier.DependsOn(kept[name], "product", "1")
		}
		if n := log.count("after its load had returned", "space="+name+" entity=product"); n != 1 {
			t.Errorf("%d lines about %s; want 1:\n%s", n, name, log)
		}
	}
}

// A client whose hooks the cache can't use is told of when the cache is opened.
func TestLostHooksAreLogged(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	for _, bounded := range []bool{false, true} {
		client := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: bounded})
		t.Cleanup(func() { _ = client.Close() })
		_, log := logged(t, tier.Config{Redis: client})
		want := 1
		if bounded {
			want = 0
		}
		if n := log.count("ContextTimeoutEnabled", "hooks", "level=WARN"); n != want {
			t.Errorf("ContextTimeoutEnabled %t: %d warnings; want %d:\n%s", bounded, n, want, log)
		}
	}
}
