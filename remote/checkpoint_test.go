package remote_test

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/servertest"
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

// A server that was started again, or promoted, may have forgotten the invalidations that the checkpoint is to follow. It has the
// checkpoint from before, and must not move it.
func TestCheckpointStaysOnAnotherServer(t *testing.T) {
	for name, replace := range map[string]func(*servertest.Redis, *redis.Client){
		"restarted": func(server *servertest.Redis, client *redis.Client) {
			if err := client.Save(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			server.Stop()
			server.Start()
		},
		"promoted": func(_ *servertest.Redis, client *redis.Client) {
			for _, master := range [][2]string{{"127.0.0.1", "1"}, {"no", "one"}} {
				if err := client.Do(t.Context(), "replicaof", master[0], master[1]).Err(); err != nil {
					t.Fatal(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := servertest.StartRedis(t)
			client := redis.NewClient(&redis.Options{Addr: server.Addr})
			t.Cleanup(func() { _ = client.Close() })
			s := remote.New(client, "shop")
			_, identity, err := s.Checkpoint(t.Context(), "f")
			if err != nil {
				t.Fatal(err)
			}
			if moved, err := s.Advance(t.Context(), "f", identity, "", "1"); !moved || err != nil {
				t.Fatalf("got %v, %v; want it moved", moved, err)
			}
			replace(server, client)
			if moved, err := s.Advance(t.Context(), "f", identity, "1", "2"); moved || err != nil {
				t.Errorf("got %v, %v; want it refused", moved, err)
			}
			position, now, err := s.Checkpoint(t.Context(), "f")
			if position != "1" || now == identity || now == "" || err != nil {
				t.Errorf("at %q of %q, %v; want 1, of another server than %q", position, now, err, identity)
			}
			if moved, err := s.Advance(t.Context(), "f", now, "1", "2"); !moved || err != nil {
				t.Errorf("by who knows the server: got %v, %v; want it moved", moved, err)
			}
		})
	}
}

// A server that was told to follow another, and has not synchronised, still holds the checkpoint that it had.
func TestDemotedServerHasNoCheckpoint(t *testing.T) {
	server := servertest.StartRedis(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr})
	t.Cleanup(func() { _ = client.Close() })
	s := remote.New(client, "shop")
	if _, _, err := s.Checkpoint(t.Context(), "feed"); err != nil {
		t.Fatal(err)
	}
	if err := client.ReplicaOf(t.Context(), "127.0.0.1", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if position, server, err := s.Checkpoint(t.Context(), "feed"); err == nil {
		t.Errorf("got %q, %q; want an error", position, server)
	}
}
