package remote_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/remote"
)

// scanAll gathers what a scanner finds, and counts its pages.
func scanAll(t *testing.T, sc *remote.Scanner) (keys []string, pages int) {
	t.Helper()
	for more := true; more; pages++ {
		var page []string
		var err error
		if page, more, err = sc.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, page...)
	}
	slices.Sort(keys)
	return slices.Compact(keys), pages
}

func TestScanner(t *testing.T) {
	onEach(t, func(t *testing.T, client *redis.Client, store *remote.Store) {
		const count = 500
		var want []string
		pipe := client.Pipeline()
		for i := range count {
			key := fmt.Sprintf("orders:account:%03d", i)
			want = append(want, key)
			pipe.Set(t.Context(), "shop:"+key, "x", 0)
			pipe.Set(t.Context(), "shop:orders:address:"+key, "x", 0)
			pipe.Set(t.Context(), "shop2:"+key, "x", 0)
		}
		if _, err := pipe.Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		sc := store.Scanner("orders:account:*")
		got, pages := scanAll(t, sc)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if looked, total := sc.Progress(); looked != 3*count || total != 3*count {
			t.Errorf("looked at %d of %d; want %d of as many", looked, total, 3*count)
		}
		if least := 3 * count / remote.ScanCount / 3; pages < least && strings.HasSuffix(t.Name(), "/redis") { // miniredis has one
			t.Errorf("%d pages for %d keys: a call looks at too many", pages, 3*count)
		}
	})
}

// contextFor returns the test's context, or one that has ended.
func contextFor(t *testing.T, ended bool) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(t.Context())
	if ended {
		cancel()
	}
	return ctx, cancel
}

// What fails is not skipped.
func TestScannerGoesOnWhereACallFailed(t *testing.T) {
	server := servertest.StartRedis(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr, MaxRetries: -1})
	t.Cleanup(func() { _ = client.Close() })
	const count = 300
	for i := range count {
		client.Set(t.Context(), fmt.Sprint("shop:a:b:", i), "x", 0)
	}
	sc := remote.New(client, "shop").Scanner("*")
	var keys []string
	for more, call := true, 0; more; call++ {
		ctx, cancel := contextFor(t, call%2 == 0)
		page, again, err := sc.Next(ctx)
		cancel()
		if call > 2*count {
			t.Fatal("it begins again and again")
		}
		if call%2 == 0 {
			if err == nil {
				t.Fatal("no error on a context that has ended")
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		keys, more = append(keys, page...), again
	}
	slices.Sort(keys)
	if keys = slices.Compact(keys); len(keys) != count {
		t.Errorf("found %d keys; want %d", len(keys), count)
	}
}

// A cursor of another server would leave out keys, and nobody would know.
func TestScannerNoticesAnotherServer(t *testing.T) {
	server := servertest.StartRedis(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr})
	t.Cleanup(func() { _ = client.Close() })
	fill := func() {
		for i := range 200 {
			client.Set(t.Context(), fmt.Sprint("shop:a:b:", i), "x", 0)
		}
	}
	fill()
	sc := remote.New(client, "shop").Scanner("*")
	if _, more, err := sc.Next(t.Context()); !more || err != nil {
		t.Fatalf("got %v, %v; want more", more, err)
	}
	server.Restart()
	fill()
	for {
		_, more, err := sc.Next(t.Context())
		if err != nil {
			if !strings.Contains(err.Error(), "restarted or replaced") {
				t.Error(err)
			}
			return
		}
		if !more {
			t.Fatal("the scan ended as if nothing had happened")
		}
	}
}

func TestValuesAndDescribe(t *testing.T) {
	onEach(t, func(t *testing.T, client *redis.Client, store *remote.Store) {
		written := time.Now().Add(-time.Hour).Truncate(time.Microsecond).UTC()
		value, err := (&remote.Envelope{Written: written, Payload: make([]byte, 5000)}).AppendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		newer := append([]byte("V\x09"), value[2:]...)
		client.Set(t.Context(), "shop:a:b:lasting", value, 0)
		client.Set(t.Context(), "shop:a:b:expiring", value, time.Minute)
		client.Set(t.Context(), "shop:a:b:newer", newer, 0)
		client.Set(t.Context(), "shop:a:b:alien", "alien", 0)
		client.HSet(t.Context(), "shop:a:b:hash", "f", "v")
		mustAcquire(t, store, "a:b:marker", remote.NewToken(), nil)
		keys := []string{"a:b:alien", "a:b:lasting", "a:b:hash", "a:b:gone", "a:b:expiring", "a:b:marker", "a:b:newer"}
		want := []string{"a:b:lasting", "a:b:expiring", "a:b:newer"}
		got, err := store.Values(t.Context(), keys)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Error(diff, err)
		}
		described, err := store.Describe(t.Context(), keys)
		if err != nil || len(described) != 3 {
			t.Fatalf("got %v, %v; want 3", described, err)
		}
		for i, d := range described {
			if d.Key != want[i] || d.Size < 5000 || d.Size > 20_000 {
				t.Errorf("got %+v; want %s, of 5 KB and somewhat more", d, want[i])
			}
			switch {
			case i < 2 && !d.Written.Equal(written), i == 2 && !d.Written.IsZero():
				t.Errorf("%s: written %s", d.Key, d.Written)
			case i == 1 && (d.TTL <= 0 || d.TTL > time.Minute), i != 1 && d.TTL != 0:
				t.Errorf("%s: TTL %s", d.Key, d.TTL)
			}
		}
	})
}

func TestLookingAtADeadServerIsAnError(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1, DialerRetries: 1})
	t.Cleanup(func() { _ = client.Close() })
	s := remote.New(client, "shop")
	if _, err := s.Values(t.Context(), []string{"a:b:c"}); err == nil {
		t.Error("Values: no error")
	}
	if _, err := s.Describe(t.Context(), []string{"a:b:c"}); err == nil {
		t.Error("Describe: no error")
	}
	if _, _, err := s.Scanner("*").Next(t.Context()); err == nil {
		t.Error("Next: no error")
	}
}
