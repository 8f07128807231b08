package tiertest

import (
	"cmp"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/tier"
)

// The defaults of [Open], where they are not those of package tier.
const (
	l1Bytes       = 256 << 20
	remoteTimeout = 2 * time.Second  // a slow machine is not a failing Redis
	closeTimeout  = 20 * time.Second // for loaders that take long to notice
)

// Open opens a cache that is closed when the test ends. What cfg leaves out is, other than in package tier: Name, that of the test, so that
// pods opened by one test belong together; Logger, one that says nothing; L1Bytes, 256 MB; RemoteTimeout, two seconds. What an L2 that outlives
// the test remembers, the next run of the test finds: empty it, or choose another Name.
//
// Config.CheckRoundTrip is on: readers get what a value's codec gives back, as they will on other pods. Where that is not what was loaded or
// set, the test fails when it ends, and names the path.
func Open(t testing.TB, cfg tier.Config) *tier.Cache {
	t.Helper()
	cfg.Name = cmp.Or(cfg.Name, nameOf(t))
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	cfg.L1Bytes = cmp.Or(cfg.L1Bytes, l1Bytes)
	cfg.CheckRoundTrip = true
	cfg.RemoteTimeout = cmp.Or(cfg.RemoteTimeout, remoteTimeout)
	cache, err := tier.Open(context.Background(), cfg)
	if err != nil {
		t.Fatalf("tiertest: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		for _, space := range cache.Health(ctx).Spaces {
			for _, path := range space.Changed {
				t.Errorf("tiertest: values of %s come back from their codec changed at %s: other pods get that. Change the type, or name the path in SpaceConfig.AllowLoss", space.Name, path)
			}
		}
		if err := cache.Close(ctx); err != nil {
			t.Errorf("tiertest: %v: a loader ignores its context", err)
		}
	})
	return cache
}

// nameOf is the test's name, as far as a cache may be called so.
func nameOf(t testing.TB) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '-', r == '.':
			return r
		}
		return '-'
	}, t.Name())
	return cmp.Or(name[max(0, len(name)-64):], "test") // its end, which tells subtests apart
}
