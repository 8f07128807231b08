package remote_test

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/remote"
)

func TestCheckpointMovesByComparison(t *testing.T) {
	onEach(t, func(t *testing.T, _ *redis.Client, s *remote.Store) {
		for _, step := range []struct {
			from, to string
			want     bool
			after    string
		}{
			{"9", "10", false, ""},
			{"", "1", true, "1"},
			{"", "2", false, "1"}, // another follower has moved it
			{"1", "2", true, "2"},
			{"1", "2", true, "2"}, // a client's retry of what had happened
		} {
			moved, err := s.Advance(t.Context(), "f", step.from, step.to)
			if moved != step.want || err != nil {
				t.Errorf("%q to %q: got %v, %v; want %v", step.from, step.to, moved, err, step.want)
			}
			if at, err := s.Checkpoint(t.Context(), "f"); at != step.after || err != nil {
				t.Errorf("after %q to %q: at %q, %v; want %q", step.from, step.to, at, err, step.after)
			}
		}
	})
}
