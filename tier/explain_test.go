package tier_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/remote"
	"github.com/tandem-cache/tandem/tier"
)

func explain(t *testing.T, p pod) tier.Explanation {
	t.Helper()
	e, err := p.Explain(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// wantCopy compares what matters of a copy.
func wantCopy(t *testing.T, what string, got tier.Copy, held, valid bool, why string) {
	t.Helper()
	if got.Held != held || got.Valid != valid || got.Why != why {
		t.Errorf("%s: held %v, valid %v, why %q; want %v, %v, %q", what, got.Held, got.Valid, got.Why, held, valid, why)
	}
}

func wantText(t *testing.T, e tier.Explanation, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(e.String(), part) {
			t.Errorf("lacks %q:\n%s", part, e)
		}
	}
}

func TestExplainL1(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{}
		c := openCache(t, tier.Config{})
		p := pod{cache: c, Space: newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.Hybrid("feed", time.Minute), Load: src.load})}
		f, err := c.Feed("feed")
		if err != nil {
			t.Fatal(err)
		}
		report(t, f, true, 0, 1)

		e := explain(t, p)
		wantCopy(t, "nothing was read", e.L1, false, false, "")
		if e.L2 != nil || e.LastRead != nil || e.LastInvalidation != nil || e.Loading || e.Key != "test:row:k" || e.Pod != c.Health(t.Context()).Pod {
			t.Errorf("got %+v", e)
		}
		wantText(t, e, "L1: nothing", "L2: none configured", "none known", "none remembered")

		src.onRead(func(string, int) { time.Sleep(2 * time.Second) })
		p.want(t, "k", 0)
		time.Sleep(3 * time.Second)
		e = explain(t, p)
		wantCopy(t, "just read", e.L1, true, true, "")
		if e.L1.AgeSeconds != 5 || e.L1.TTLSeconds != 55 || e.L1.Bytes == 0 || len(e.L1.Names) != 5 {
			t.Errorf("got %+v", e.L1)
		}
		want := tier.LastRead{At: e.At.Add(-3 * time.Second), TookSeconds: 2, Tier: tier.TierSource, ShownByL1: true}
		if diff := cmp.Diff(want, *e.LastRead); diff != "" {
			t.Errorf("the last read (-want +got):\n%s", diff)
		}
		wantText(t, e, "5s old, 55s left", "a load in 2s")

		invalidated := time.Now()
		if err := f.Invalidate(t.Context(), tier.Tag("row", "other"), tier.Tag("row", "k")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		e = explain(t, p)
		wantCopy(t, "its row changed", e.L1, true, false, "invalidated")
		if n := e.L1.Names[0]; n.Name != "t:row:k" || n.Invalidated <= n.Tick {
			t.Errorf("got %+v first; want the row, invalidated", n)
		}
		last := tier.LastInvalidation{Name: "t:row:k", Tick: 1, Origin: "feed", At: invalidated.UTC()}
		if diff := cmp.Diff(&last, e.LastInvalidation); diff != "" {
			t.Errorf("the last invalidation (-want +got):\n%s", diff)
		}
		wantText(t, e, "L1: a value, not used: invalidated", "t:row:k stands at tick 0 and was invalidated at 1", "by feed, tick 1, heard here", "(1s ago)")

		p.want(t, "k", 0)
		time.Sleep(58 * time.Second)
		e = explain(t, p)
		wantCopy(t, "a minute later", e.L1, true, false, "expired")
		src.onRead(nil)
		p.want(t, "k", 0)
	})
}

func TestExplainASilentFeed(t *testing.T) {
	onFallback(t, func(t *testing.T, p pod, f *tier.Feed, _ *source) {
		report(t, f, true, 0, 1)
		p.want(t, "k", 0)
		time.Sleep(tier.DefaultFallbackTTL)
		synctest.Wait()
		e := explain(t, p)
		wantCopy(t, "L1", e.L1, true, false, "silent")
		if !e.Fallback {
			t.Error("no fallback")
		}
		if e.L2 != nil {
			wantCopy(t, "L2", e.L2.Copy, true, false, "silent")
		}
		wantText(t, e, "feed: silent")
	})
}

// What is in L2, and why it is of no use.
func TestExplainL2(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	client, src := connect(t, addr), &source{}
	a, b := newPod(t, addr, src), newPod(t, addr, src)
	pods := map[string]pod{a.cache.Health(t.Context()).Pod: a, b.cache.Health(t.Context()).Pod: b}
	if len(pods) != 2 {
		t.Fatal("two pods with one name")
	}
	e := explain(t, b)
	if e.L2 == nil || e.L2.Held || e.L2.Lease != nil || e.L2.Error != "" {
		t.Errorf("got %+v; want nothing in L2", e.L2)
	}
	a.want(t, "k", 0)
	raw := storedIn(t, client)
	heard(t, a, b)
	e = explain(t, b)
	wantCopy(t, "loaded by a", e.L2.Copy, true, true, "")
	if pods[e.L2.LoadedBy] != a || e.L2.Bytes != len(raw) || e.L2.Codec != "msgpack" || len(e.L2.Names) != 5 || e.L2.AgeSeconds < 0 || e.L2.AgeSeconds > 20 {
		t.Errorf("got %+v", e.L2)
	}
	wantText(t, e, "L2: a value, valid", "loaded by pod "+e.L2.LoadedBy)

	b.want(t, "k", 0)
	if e = explain(t, b); e.LastRead == nil || e.LastRead.Tier != tier.TierL2 || !e.LastRead.ShownByL1 {
		t.Errorf("got %+v; want a hit of L2", e.LastRead)
	}
	for why, change := range map[string]func(e *remote.Envelope){
		"schema":  func(e *remote.Envelope) { e.Schema = 7 },
		"expired": func(e *remote.Envelope) { e.Hard = time.Now().Add(-time.Second) },
	} {
		if err := client.Set(t.Context(), "shop:test:row:k", raw, 0).Err(); err != nil {
			t.Fatal(err)
		}
		rewrite(t, client, change)
		wantCopy(t, why, explain(t, b).L2.Copy, true, false, why)
	}
	if err := client.Set(t.Context(), "shop:test:row:k", "rubbish", 0).Err(); err != nil {
		t.Fatal(err)
	}
	e = explain(t, b)
	wantCopy(t, "rubbish", e.L2.Copy, true, false, "unreadable")
	wantText(t, e, "unreadable", "7 bytes")
	client.Del(t.Context(), "shop:test:row:k")
	client.HSet(t.Context(), "shop:test:row:k", "no", "string")
	wantCopy(t, "no string", explain(t, b).L2.Copy, true, false, "unreadable")

	if err := client.Del(t.Context(), "shop:test:row:k").Err(); err != nil {
		t.Fatal(err)
	}
	if err := client.Set(t.Context(), "shop:test:row:k", raw, 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := a.cache.Invalidate(t.Context(), tier.Entity("row")); err != nil { // leaves the value, which the index would not
		t.Fatal(err)
	}
	eventually(t, "the bus has brought it", func() bool { return !explain(t, a).LastInvalidation.At.IsZero() })
	e = explain(t, a)
	wantCopy(t, "its row changed", e.L2.Copy, true, false, "invalidated")
	if n := e.L2.Names[0]; n.Name != "e:row" || n.Invalidated <= n.Tick || e.LastInvalidation.Origin != "api" || e.LastInvalidation.At.IsZero() {
		t.Errorf("got %+v, %+v; want the row, invalidated by api", n, e.LastInvalidation)
	}
	a.want(t, "k", 0)
	if e = explain(t, a); e.LastRead == nil || e.LastRead.Tier != tier.TierSource || e.LastRead.DeadInL2 != "invalidated" || !e.LastRead.Leased {
		t.Errorf("got %+v; want a load, as L2's value was outdated", e.LastRead)
	}
	wantText(t, e, "with a lease; what L2 had was of no use (invalidated)")
}

// A marker names who holds the lease.
func TestExplainTheLease(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	src := &source{}
	release := make(chan struct{})
	src.onRead(func(string, int) { <-release })
	a, b := newPod(t, addr, src), newPod(t, addr, src)
	done := make(chan struct{})
	go func() { defer close(done); _, _ = a.Get(context.Background(), "k") }()
	eventually(t, "the load runs", func() bool { return src.count("k") == 1 })
	here, there := explain(t, a), explain(t, b)
	if !here.Loading || there.Loading {
		t.Errorf("loading: %v on the pod that loads, %v on the other", here.Loading, there.Loading)
	}
	l := there.L2.Lease
	if l == nil || l.Pod != here.Pod || l.Here || l.LeftSeconds <= 0 || l.LeftSeconds > 3 || l.Waited || !here.L2.Lease.Here {
		t.Fatalf("got %+v; want a lease of pod %s", l, here.Pod)
	}
	wantText(t, there, "pod "+here.Pod+" loads it, its lease has")
	wantText(t, here, "this pod loads it")
	waiting := make(chan struct{})
	go func() { defer close(waiting); _, _ = b.Get(context.Background(), "k") }()
	eventually(t, "the other pod waits", func() bool { return explain(t, a).L2.Lease.Waited })
	close(release)
	<-done
	<-waiting
}

// A pod that was not there when it happened finds out from Redis whose invalidation it was.
func TestExplainFindsTheOriginInTheJournal(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	src := &source{}
	a := newPod(t, addr, src)
	f, err := a.cache.Feed("feed")
	if err != nil {
		t.Fatal(err)
	}
	a.want(t, "k", 0)
	if err := f.Invalidate(t.Context(), tier.Key("test:row", "k")); err != nil {
		t.Fatal(err)
	}
	for range 100 { // more than one call reads
		if err := a.Invalidate(t.Context(), "other"); err != nil {
			t.Fatal(err)
		}
	}
	late := explain(t, newPod(t, addr, src))
	if i := late.LastInvalidation; i == nil || i.Origin != "feed" || i.Name != "k:test:row:k" || !i.At.IsZero() {
		t.Errorf("got %+v; want it by the feed, at a time that this pod does not know", i)
	}
	wantText(t, late, "k:test:row:k, by feed")
	if err := connect(t, addr).Del(t.Context(), "shop:{bus}:journal").Err(); err != nil {
		t.Fatal(err)
	}
	late = explain(t, newPod(t, addr, src))
	if i := late.LastInvalidation; i == nil || i.Origin != "" || i.Tick == 0 {
		t.Errorf("got %+v; want it by somebody", i)
	}
	wantText(t, late, "not known any more")
}

// L1 answers what Redis knows to be outdated, until the pod hears of it: Explain shows both.
func TestExplainShowsAnUnheardInvalidation(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	client, src := connect(t, addr), &source{}
	p := newPod(t, addr, src)
	p.want(t, "k", 0)
	s := remote.New(client, "shop")
	tick, err := s.TakeTick(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Touch(t.Context(), []string{"t:row:k"}, tick); err != nil { // and no broadcast
		t.Fatal(err)
	}
	e := explain(t, p)
	wantCopy(t, "L1", e.L1, true, true, "")
	if n := e.L1.Names[0]; n.Name != "t:row:k" || n.Invalidated != tick {
		t.Errorf("got %+v first; want the row, at %d", n, tick)
	}
	wantText(t, e, "has not heard")
}

// Why a load was not stored, or failed.
func TestExplainTheLastRead(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	src := &source{}
	p := newPod(t, addr, src)
	src.onRead(func(string, int) {
		src.onRead(nil)
		if err := p.cache.InvalidateTag(t.Context(), "row", "k"); err != nil {
			t.Error(err)
		}
	})
	p.want(t, "k", 0)
	eventually(t, "the fill is refused", func() bool { return explain(t, p).LastRead.Refused == "moved" })
	if r := explain(t, p).LastRead; r.Tier != tier.TierSource || r.ShownByL1 {
		t.Errorf("got %+v; want a load that L1 was not given", r)
	}
	wantText(t, explain(t, p), "not kept in L1", "refused to be stored", "(moved)")
	p.want(t, "k", 0)
	if r := explain(t, p).LastRead; r.Refused != "" || !r.ShownByL1 {
		t.Errorf("got %+v; want nothing refused any more", r)
	}

	for kind, load := range map[string]func(context.Context, string) (int, error){
		"error":   func(context.Context, string) (int, error) { return 0, errors.New("password=secret") },
		"panic":   func(context.Context, string) (int, error) { panic("secret") },
		"timeout": func(ctx context.Context, _ string) (int, error) { <-ctx.Done(); return 0, ctx.Err() },
	} {
		s := newSpace(t, p.cache, tier.SpaceConfig[int]{Name: "test:" + kind, Strategy: tier.CDC("feed"), Load: load, LoadTimeout: time.Second})
		if _, err := s.Get(t.Context(), "k"); err == nil {
			t.Error("no error")
		}
		e, err := s.Explain(t.Context(), "k")
		if err != nil || e.LastRead == nil || e.LastRead.Error != kind || e.LastRead.Tier != "" {
			t.Errorf("got %+v, %v; want it failed by %s", e.LastRead, err, kind)
		}
		wantText(t, e, "failed after")
		if strings.Contains(e.String(), "secret") {
			t.Errorf("the loader's error is in\n%s", e)
		}
	}
	f := newSpace(t, p.cache, tier.SpaceConfig[func()]{
		AllowLoss: []string{tier.AllowAnyLoss},
		Name:      "test:func", Strategy: tier.CDC("feed"), Load: func(context.Context, string) (func(), error) { return func() {}, nil },
	})
	if _, err := f.Get(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	if e, err := f.Explain(t.Context(), "k"); err != nil || e.LastRead.Refused != "encode" || e.LastRead.Tier != tier.TierSource {
		t.Errorf("got %+v, %v; want it refused: it does not encode", e.LastRead, err)
	}
}

// sums are the metrics of a cache, as text, without what moves by itself.
func sums(t *testing.T, c *tier.Cache) (text []string) {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if name := family.GetName(); !strings.Contains(name, "fresh_seconds") && !strings.Contains(name, "bus") {
			text = append(text, family.String())
		}
	}
	return text
}

// Explain leaves everything as it is, and shows no value.
func TestExplainLeavesNoTrace(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	client := connect(t, addr)
	c := openCache(t, tier.Config{Redis: connect(t, addr), RemoteTimeout: 2 * time.Second})
	loads := 0
	s := newSpace(t, c, tier.SpaceConfig[string]{
		Name: "test:row", Strategy: tier.CDC("feed"),
		Load: func(ctx context.Context, id string) (string, error) {
			loads++
			tier.DependsOn(ctx, "row", id)
			return "hush", nil
		},
	})
	state := func() (string, int64, []string) {
		return client.Get(t.Context(), "shop:test:row:k").Val(), client.DBSize(t.Context()).Val(), sums(t, c)
	}
	look := func(what string) {
		t.Helper()
		raw, keys, before := state()
		for range 3 {
			e, err := s.Explain(t.Context(), "k")
			if err != nil {
				t.Fatal(err)
			}
			b, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(b)+e.String(), "hush") {
				t.Errorf("%s: the value is in %s", what, b)
			}
		}
		rawAfter, keysAfter, after := state()
		if raw != rawAfter || keys != keysAfter {
			t.Errorf("%s: L2 has changed", what)
		}
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("%s: the metrics have changed:\n%s", what, diff)
		}
	}
	look("nothing was read")
	if loads != 0 {
		t.Errorf("%d loads", loads)
	}
	if _, err := s.Get(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	storedIn(t, client)
	eventually(t, "its caller has gone, and the index names it", func() bool {
		return metric(t, c, "tandem_flights") == 0 && metric(t, c, "tandem_remote_seconds", "index") == 1
	})
	look("valid")
	if err := c.Invalidate(t.Context(), tier.Entity("row")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the bus has brought it", func() bool { return metric(t, c, "tandem_invalidations_total", "api") == 1 })
	look("invalidated")
}

// A Redis that does not answer is in the explanation, and no error.
func TestExplainWithoutRedis(t *testing.T) {
	server := servertest.StartRedis(t)
	src := &source{}
	var cut atomic.Bool
	p := newPodWith(t, server.Addr, src, &watch{before: func(cmds []redis.Cmder) error {
		if cut.Load() && slices.ContainsFunc(cmds, func(cmd redis.Cmder) bool { return cmd.Name() == "zmscore" }) {
			return errCut
		}
		return nil
	}})
	p.want(t, "k", 0)
	storedIn(t, connect(t, server.Addr))
	cut.Store(true) // Redis's table does not answer; this pod knows enough by itself
	e := explain(t, p)
	wantCopy(t, "L2", e.L2.Copy, true, true, "")
	if e.L2.Error == "" {
		t.Error("no error shown")
	}
	server.Stop()
	e = explain(t, p)
	if e.L2 == nil || e.L2.Error == "" || e.L2.Held || !e.L1.Held {
		t.Errorf("got %+v, %+v; want an error of L2 and what L1 holds", e.L2, e.L1)
	}
	wantText(t, e, "L2: unknown: remote: look at")
	if _, err := p.Explain(t.Context(), ""); err == nil {
		t.Error("no identifier: no error")
	}
}

func TestExplainHandler(t *testing.T) {
	p := newPod(t, "", &source{})
	p.want(t, "k", 0)
	ask := func(path, accept string) (int, string) {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Accept", accept)
		p.cache.ExplainHandler().ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	code, body := ask("/?key=test:row:k", "*/*")
	var e tier.Explanation
	if err := json.Unmarshal([]byte(body), &e); code != http.StatusOK || err != nil || !e.L1.Valid || e.Key != "test:row:k" {
		t.Errorf("got %d, %v: %s", code, err, body)
	}
	if code, body := ask("/?key=test:row:k", "text/plain"); code != http.StatusOK || !strings.HasPrefix(body, "test:row:k, cdc(feed): asked of pod") {
		t.Errorf("got %d: %s", code, body)
	}
	for path, want := range map[string]int{"/": http.StatusBadRequest, "/?key=test:row:": http.StatusBadRequest, "/?key=test:none:k": http.StatusNotFound} {
		if code, body := ask(path, ""); code != want || !strings.Contains(body, "error") {
			t.Errorf("%s: got %d, %s; want %d", path, code, body, want)
		}
	}
}

// A pod that cannot know by itself takes Redis's word, as a read does.
func TestExplainJudgesAsAReadDoes(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	client, src := connect(t, addr), &source{}
	a := newPod(t, addr, src)
	a.want(t, "k", 0)
	raw := storedIn(t, client)
	late := newPod(t, addr, src) // its floor is above the value
	e := explain(t, late)
	wantCopy(t, "nobody invalidated it", e.L2.Copy, true, true, "")
	if err := a.Invalidate(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	if err := client.Set(t.Context(), "shop:test:row:k", raw, 0).Err(); err != nil { // as a slow fill would have
		t.Fatal(err)
	}
	later := newPod(t, addr, src) // heard nothing of it
	e = explain(t, later)
	wantCopy(t, "invalidated before this pod began", e.L2.Copy, true, false, "invalidated")
	later.want(t, "k", 0)
	if n := src.count("k"); n != 2 {
		t.Errorf("%d loads; want 2: a read finds what Explain does", n)
	}
	for b := range 32 {
		client.Del(t.Context(), fmt.Sprintf("shop:{names:%02x}", b))
	}
	if err := client.Set(t.Context(), "shop:test:row:k", raw, 0).Err(); err != nil {
		t.Fatal(err)
	}
	e = explain(t, newPodWithoutTable(t, addr, src))
	wantCopy(t, "the table is lost", e.L2.Copy, true, false, "invalidated")
	if e.L2.Floor == 0 {
		t.Error("no floor shown")
	}
	wantText(t, e, "knows nothing below tick")
}

// newPodWithoutTable opens a pod that does not mend Redis's table.
func newPodWithoutTable(t *testing.T, addr string, src *source) pod {
	return newPodWith(t, addr, src, &watch{before: func(cmds []redis.Cmder) error {
		if have(cmds, "zscore", "{names:") {
			return errCut
		}
		return nil
	}})
}

// What was read a moment ago, and is outdated before ristretto shows it, is explained as well.
func TestExplainAtOnce(t *testing.T) {
	p := newPod(t, "", &source{})
	for i := range 1000 {
		id := fmt.Sprint(i)
		p.want(t, id, 0)
		if err := p.cache.InvalidateTag(t.Context(), "row", id); err != nil {
			t.Fatal(err)
		}
		e, err := p.Explain(t.Context(), id)
		if err != nil || e.L1.Why != "invalidated" || e.LastInvalidation == nil || e.LastInvalidation.Name != "t:row:"+id || e.LastRead == nil {
			t.Fatalf("got %v:\n%s", err, e)
		}
	}
}
