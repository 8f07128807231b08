package remote_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/remote"
)

// Look tells a marker from a value, and leaves both as they are.
func TestLook(t *testing.T) {
	onEach(t, func(t *testing.T, client *redis.Client, s *remote.Store) {
		look := func() remote.Sight {
			t.Helper()
			sight, err := s.Look(t.Context(), "k")
			if err != nil {
				t.Fatal(err)
			}
			return sight
		}
		if got := look(); got.Marker != nil || got.Raw != nil || got.Left != 0 {
			t.Errorf("nothing there: got %+v", got)
		}
		mine := remote.NewPod().NewToken()
		mustAcquire(t, s, "k", mine, nil)
		for range 2 {
			got := look()
			if got.Marker == nil || got.Marker.Token != mine || got.Marker.Waiters || got.Left <= 0 || got.Raw != nil {
				t.Fatalf("a marker: got %+v, %+v", got, got.Marker)
			}
		}
		mustAcquire(t, s, "k", remote.NewToken(), nil)
		if got := look(); !got.Marker.Waiters {
			t.Error("somebody waits, and it does not show")
		}
		for raw, left := range map[string]time.Duration{"a value": time.Hour, "": 0} {
			if err := client.Set(t.Context(), "shop:k", raw, left).Err(); err != nil {
				t.Fatal(err)
			}
			if got := look(); got.Marker != nil || got.Raw == nil || string(got.Raw) != raw || got.Left > left || got.Left < left-time.Minute {
				t.Errorf("%q: got %+v", raw, got)
			}
		}
		client.Del(t.Context(), "shop:k")
		client.SAdd(t.Context(), "shop:k", "no string")
		if got := look(); got.Marker != nil || got.Raw == nil || len(got.Raw) != 0 {
			t.Errorf("no string: got %+v", got)
		}
	})
}

func TestKnown(t *testing.T) {
	onEach(t, func(t *testing.T, client *redis.Client, s *remote.Store) {
		known := func() remote.Known {
			t.Helper()
			got, err := s.Known(t.Context(), []string{"k:a:b:other", "k:a:b:c"})
			if err != nil || len(got) != 2 || got[0].Tick != 0 {
				t.Fatalf("got %+v, %v", got, err)
			}
			return got[1]
		}
		if got := known(); got != (remote.Known{}) {
			t.Errorf("no table: got %+v", got)
		}
		if err := s.MakeTable(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		tick := take(t, s, 0)
		if got := known(); got.Tick != 0 || got.Floor == 0 || got.Floor >= tick {
			t.Errorf("nothing was invalidated: got %+v", got)
		}
		if _, _, err := s.Touch(t.Context(), []string{"k:a:b:c"}, tick); err != nil {
			t.Fatal(err)
		}
		if got := known(); got.Tick != tick || got.Floor >= tick {
			t.Errorf("got %+v; want tick %d", got, tick)
		}
	})
}

// A pod's tokens name it, and are each one's own.
func TestTokensNameTheirPod(t *testing.T) {
	pod, seen := remote.NewPod(), make(map[remote.Token]bool)
	for range 1000 {
		token := pod.NewToken()
		if token.Pod() != pod || seen[token] {
			t.Fatalf("got %x of pod %s; seen before: %v", token, pod, seen[token])
		}
		seen[token] = true
	}
	if len(pod.String()) != 8 || remote.NewPod() == pod {
		t.Errorf("pod %s", pod)
	}
}
