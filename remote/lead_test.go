package remote_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/remote"
)

// One holds the lease of a feed, until it gives it back or lets it expire.
func TestLead(t *testing.T) {
	onEach(t, func(t *testing.T, client *redis.Client, s *remote.Store) {
		lead := func(holder string, ttl time.Duration, want bool) {
			t.Helper()
			if got, err := s.Lead(t.Context(), "f", holder, ttl); got != want || err != nil {
				t.Errorf("%s: got %v, %v; want %v", holder, got, err, want)
			}
		}
		resign := func(holder string) {
			t.Helper()
			if err := s.Resign(t.Context(), "f", holder); err != nil {
				t.Error(err)
			}
		}
		lead("a", time.Hour, true)
		lead("b", time.Hour, false)
		lead("a", time.Minute, true)
		if left := client.PTTL(t.Context(), "shop:{feed:f}:lease").Val(); left <= 0 || left > time.Minute {
			t.Errorf("it expires in %s; want a minute at most", left)
		}
		resign("b") // has it not
		lead("b", time.Hour, false)
		resign("a")
		lead("b", time.Nanosecond, true) // a millisecond, in Redis
		if n := client.HLen(t.Context(), "shop:{feed:f}").Val(); n != 0 {
			t.Errorf("the checkpoint has %d fields", n)
		}
	})
}
