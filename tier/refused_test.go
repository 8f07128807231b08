package tier_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/servertest"
)

// refuseWrites makes a server take reads alone: it has too few replicas.
func refuseWrites(t *testing.T, client *redis.Client, refuse bool) {
	t.Helper()
	replicas := "0"
	if refuse {
		replicas = "1"
	}
	if err := client.ConfigSet(t.Context(), "min-replicas-to-write", replicas).Err(); err != nil {
		t.Fatal(err)
	}
}

// An invalidation that fails before it has a tick outdates what the pod itself has, whatever kind of name it is, and the next value stays in L1.
func TestFailedInvalidationIsDroppedHere(t *testing.T) {
	inEachWay(t, func(t *testing.T, invalidate func(p pod, ctx context.Context, id string) error) {
		addr := servertest.StartRedis(t).Addr
		src := &source{}
		p := newPod(t, addr, src)
		p.want(t, "k", 0)
		p.want(t, "k", 0)
		refuseWrites(t, connect(t, addr), true)
		v := src.write("k")
		wantError(t, invalidate(p, t.Context(), "k"), "NOREPLICAS")
		before := src.count("k")
		for range 5 {
			p.want(t, "k", v) // also L2 has the old value
		}
		if n := src.count("k") - before; n != 1 {
			t.Errorf("%d loads after the failed invalidation; want 1, and then hits of L1", n)
		}
		v = src.write("k")
		wantError(t, invalidate(p, t.Context(), "k"), "NOREPLICAS")
		p.want(t, "k", v)
		refuseWrites(t, connect(t, addr), false)
		v = src.write("k")
		if err := invalidate(p, t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		p.want(t, "k", v)
		newPod(t, addr, src).want(t, "k", v)
	})
}

// The same where nothing was sent, and where the name is beyond the batch that failed.
func TestUnsentInvalidationIsDroppedHere(t *testing.T) {
	src := &source{}
	p := newPod(t, servertest.StartRedis(t).Addr, src)
	p.want(t, "k", 0)
	p.want(t, "last", 0)
	v, last := src.write("k"), src.write("last")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ids := []string{"k"}
	for i := range 1200 {
		ids = append(ids, fmt.Sprint("other", i))
	}
	wantError(t, p.Invalidate(ctx, append(ids, "last")...), "canceled")
	p.want(t, "k", v)
	p.want(t, "last", last)
}

// A Set whose invalidation fails leaves no older value here.
func TestFailedSetIsDroppedHere(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	src := &source{}
	p := newPod(t, addr, src)
	p.want(t, "k", 0)
	p.want(t, "k", 0)
	refuseWrites(t, connect(t, addr), true)
	v, err := p.SetWith(t.Context(), "k", func(context.Context) (int, error) { return src.write("k"), nil })
	wantError(t, err, "NOREPLICAS")
	p.want(t, "k", v)
}

// Joiners of a load that began before an invalidation that failed load anew.
func TestJoinerAfterFailedInvalidationLoadsAgain(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	src := &source{}
	p := newPod(t, addr, src)
	reading, release := make(chan struct{}), make(chan struct{})
	src.onRead(func(_ string, version int) {
		if version == 0 {
			close(reading)
			<-release
		}
	})
	first := make(chan error, 1)
	go func() {
		_, err := p.Get(t.Context(), "k")
		first <- err
	}()
	<-reading
	refuseWrites(t, connect(t, addr), true)
	v := src.write("k")
	wantError(t, p.Invalidate(t.Context(), "k"), "NOREPLICAS")
	joined := make(chan int, 1)
	go func() {
		got, _ := p.Get(t.Context(), "k")
		joined <- got
	}()
	eventually(t, "the second read has joined", func() bool { return metric(t, p.cache, "tandem_coalesced_total", "pod") == 1 })
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if got := <-joined; got != v {
		t.Errorf("the joiner got version %d; want %d", got, v)
	}
	p.want(t, "k", v)
}
