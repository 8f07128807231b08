package remote_test

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/remote"
)

func TestCheckpointMovesByComparison(t *testing.T) {
	onEach(t, func(t *testing.T, _ *redis.Client, s *remote.Store) {
		_, server, err := s.Checkpoint(t.Context(), "f")
		if err != nil {
			t.Fatal(err)
		}
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
			moved, err := s.Advance(t.Context(), "f", server, step.from, step.to)
			if moved != step.want || err != nil {
				t.Errorf("%q to %q: got %v, %v; want %v", step.from, step.to, moved, err, step.want)
			}
			if at, _, err := s.Checkpoint(t.Context(), "f"); at != step.after || err != nil {
				t.Errorf("after %q to %q: at %q, %v; want %q", step.from, step.to, at, err, step.after)
			}
		}
	})
}

// A server that was told to follow another, and has not synchronised, still holds the checkpoint that it had.
func TestDemotedServerHasNoCheckpoint(t *testing.T) {
	for user := range users {
		t.Run(user, func(t *testing.T) {
			server := startRedis(t)
			s := storeOf(t, server, user)
			for _, demote := range []bool{false, true} {
				if demote {
					if err := admin(t, server).ReplicaOf(t.Context(), "127.0.0.1", "1").Err(); err != nil {
						t.Fatal(err)
					}
				}
				if position, server, err := s.Checkpoint(t.Context(), "feed"); demote != (err != nil) {
					t.Errorf("demoted %v: got %q, %q, %v", demote, position, server, err)
				}
				if tick, err := s.LastTick(t.Context(), 0); demote != (err != nil) {
					t.Errorf("demoted %v: got tick %d, %v", demote, tick, err)
				}
			}
		})
	}
}
