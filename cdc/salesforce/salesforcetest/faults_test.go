package salesforcetest_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/tandem-cache/tandem/cdc/salesforce/internal/eventbus"
	"github.com/tandem-cache/tandem/cdc/salesforce/salesforcetest"
)

// retention is what a busy machine needs between an event and the subscription after it.
const retention = 2 * time.Second

func TestRetentionByTime(t *testing.T) {
	t.Parallel() // it waits
	s := start(t, salesforcetest.Options{Retention: retention})
	c := connect(t, s)
	id := publish(t, s, 1)[0]
	c.follow(after(id, 1))
	eventually(t, "end of the retention", func() bool { return s.Kept(orders) == 0 })
	c.subscribe(after(id, 1)).wantEnd("subscription.fetch.replayid.corrupted")
}

// A quiet topic's ids of keepalives grow old, too.
func TestRetentionOfKeepalives(t *testing.T) {
	t.Parallel() // it waits
	s := start(t, salesforcetest.Options{Retention: retention, Keepalive: 20 * time.Millisecond})
	c := connect(t, s)
	st := c.follow(latest(orders, 1))
	id := st.next().GetLatestReplayId()
	began := time.Now()
	for time.Since(began) < 5*retention/4 {
		st.next()
	}
	fresh := st.next().GetLatestReplayId()
	c.subscribe(after(id, 1)).wantEnd("subscription.fetch.replayid.corrupted")
	c.follow(after(fresh, 1))
}

func TestForget(t *testing.T) {
	s := start(t, salesforcetest.Options{Keepalive: 10 * time.Millisecond})
	c := connect(t, s)
	ids := publish(t, s, 5)
	if err := s.Forget(orders, 2); err != nil {
		t.Fatal(err)
	}
	if got := c.subscribe(earliest(orders, 10)).take(2); !bytes.Equal(got[0].GetReplayId(), ids[3]) {
		t.Errorf("the earliest is %x; want %x", got[0].GetReplayId(), ids[3])
	}
	c.subscribe(after(ids[2], 10)).wantEnd("subscription.fetch.replayid.corrupted")
	st := c.subscribe(after(ids[3], 10))
	st.take(1)
	kept := st.next().GetLatestReplayId()
	if err := s.Forget(orders, 0); err != nil {
		t.Fatal(err)
	}
	c.subscribe(after(kept, 10)).wantEnd("subscription.fetch.replayid.corrupted")
	publish(t, s, 1)
	for len(st.next().GetEvents()) == 0 { // the stream that has it all goes on
	}
	if s.Kept(changes) != 6 {
		t.Errorf("%d events on another topic; want 6", s.Kept(changes))
	}
}

func TestFullTopicDropsItsOldest(t *testing.T) {
	s := start(t, salesforcetest.Options{MaxEvents: 3})
	c := connect(t, s)
	slow := c.follow(earliest(orders, 1))
	ids := publish(t, s, 1)
	slow.take(1)
	ids = append(ids, publish(t, s, 5)...)
	if s.Kept(orders) != 3 {
		t.Errorf("%d events are kept; want 3", s.Kept(orders))
	}
	c.subscribe(after(ids[2], 10)).wantEnd("subscription.fetch.replayid.corrupted")
	c.subscribe(after(ids[3], 10)).take(2)
	slow.request(more(10)) // what it would get next is gone
	slow.wantEnd("subscription.fetch.replayid.corrupted")
}

func TestResetReplayIDs(t *testing.T) {
	s := start(t, salesforcetest.Options{Keepalive: 5 * time.Millisecond})
	c := connect(t, s)
	ids := publish(t, s, 2)
	st := c.follow(latest(orders, 10))
	ahead := st.next().GetLatestReplayId() // of no event
	if err := s.ResetReplayIDs(orders); err != nil {
		t.Fatal(err)
	}
	st.wantEnd("service.unavailable")
	c.subscribe(after(ids[1], 10)).wantEnd("subscription.fetch.replayid.corrupted")
	c.subscribe(after(ahead, 10)).wantEnd("subscription.fetch.replayid.corrupted")
	id := publish(t, s, 1)[0]
	if got := c.subscribe(earliest(orders, 10)).take(1); !bytes.Equal(got[0].GetReplayId(), id) {
		t.Errorf("the earliest is %x; want %x", got[0].GetReplayId(), id)
	}
}

func TestSilence(t *testing.T) {
	s := start(t, salesforcetest.Options{Keepalive: 10 * time.Millisecond})
	c := connect(t, s)
	silence := func(silent bool) {
		t.Helper()
		if err := s.Silence(orders, silent); err != nil {
			t.Fatal(err)
		}
	}
	silence(true)
	st := c.follow(latest(orders, 10))
	publish(t, s, 1)
	other := c.follow(earliest(changes, 10))
	other.take(1)
	for range 10 { // far longer than a keepalive
		other.next()
	}
	if got := s.Subscriptions(orders); len(got) != 1 || got[0].Responses != 0 {
		t.Errorf("a silent stream: %+v; want one that is open and got nothing", got)
	}
	silence(false)
	st.take(1)
}

func TestFail(t *testing.T) {
	s := start(t, salesforcetest.Options{})
	c := connect(t, s)
	getTopic := func() (metadata.MD, error) {
		var trailer metadata.MD
		_, err := c.rpc.GetTopic(c.ctx, &eventbus.TopicRequest{TopicName: orders}, grpc.Trailer(&trailer))
		return trailer, err
	}
	for _, code := range []string{"service.unavailable", "sfdc.platform.eventbus.grpc.topic.api.unavailable", "an.unknown.one"} {
		s.Fail("GetTopic", code, 2)
		for range 2 {
			trailer, err := getTopic()
			wantCode(t, err, trailer, map[bool]string{true: "topic.api.unavailable", false: code}[len(code) > 40])
		}
		if _, err := getTopic(); err != nil {
			t.Errorf("the third call fails: %v", err)
		}
	}
	s.Fail("GetTopic", "service.unavailable", 5)
	s.Fail("GetTopic", "", 0)
	if _, err := getTopic(); err != nil {
		t.Errorf("a fault that was taken back: %v", err)
	}
	s.Fail(orders, "", 2)
	trailer, err := getTopic()
	wantCode(t, err, trailer, "")
	c.subscribe(latest(changes, 1))
	c.subscribe(latest(orders, 1)).wantEnd("")
	c.follow(latest(orders, 1))
	s.Fail("Subscribe", "service.protection.triggered", 1)
	c.subscribe(latest(orders, 1)).wantEnd("service.protection.triggered")
}

func TestFailStreams(t *testing.T) {
	s := start(t, salesforcetest.Options{})
	c := connect(t, s)
	a, b, other := c.follow(latest(orders, 1)), c.follow(latest(orders, 1)), c.follow(latest(changes, 1))
	if n := s.FailStreams(orders, "subscription.fetch.overflow"); n != 2 {
		t.Errorf("%d streams ended; want 2", n)
	}
	a.wantEnd("subscription.fetch.overflow")
	b.wantEnd("subscription.fetch.overflow")
	publish(t, s, 1)
	other.take(1)
	if n := s.FailStreams(changes, ""); n != 1 {
		t.Errorf("%d streams ended; want 1", n)
	}
	other.wantEnd("")
	eventually(t, "end of a stream", func() bool { return len(s.Subscriptions(orders)) == 0 })
	if got := s.History(orders)[0].Code; got != "subscription.fetch.overflow" {
		t.Errorf("the history says %q", got)
	}
}

func TestCut(t *testing.T) {
	s := start(t, salesforcetest.Options{})
	c := connect(t, s)
	st := c.follow(latest(orders, 1))
	s.Cut()
	st.wantEnd("")
	eventually(t, "end of the stream", func() bool { return len(s.Subscriptions(orders)) == 0 })
	c.follow(latest(orders, 1)) // over another connection
}

// A connection that is cut is reset: it doesn't end as if all had been said.
func TestCutResets(t *testing.T) {
	s := start(t, salesforcetest.Options{})
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Endpoint())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	eventually(t, "end of the connection", func() bool {
		s.Cut() // it may not have been accepted yet
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		_, err = conn.Read(make([]byte, 1))
		return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
	})
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection ended with %v; want a reset", err)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	s := start(t, salesforcetest.Options{})
	c := connect(t, s)
	long := c.follow(latest(changes, 1))
	for range 1010 {
		st := c.subscribe(latest(orders, 1))
		_ = st.CloseSend()
		st.wantEnd("EOF")
	}
	if got := len(s.History(orders)) + len(s.History(changes)); got != 1000 || len(s.Subscriptions(changes)) != 1 {
		t.Errorf("%d subscriptions are remembered, %d of them open on %s; want 1000, 1", got, len(s.Subscriptions(changes)), changes)
	}
	_ = long.CloseSend()
}

func TestStopAndRestart(t *testing.T) {
	s := start(t, salesforcetest.Options{})
	c := connect(t, s)
	id := publish(t, s, 1)[0]
	st := c.follow(latest(orders, 1))
	s.Stop()
	st.wantEnd("")
	_, err := c.rpc.Subscribe(c.ctx)
	wantCode(t, err, nil, "")
	publish(t, s, 1) // the org goes on
	endpoint, url := s.Endpoint(), s.LoginURL()
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := s.Restart(); err != nil { // it is up
		t.Fatal(err)
	}
	if s.Endpoint() != endpoint || s.LoginURL() != url {
		t.Errorf("the server is at %s and %s now; want %s and %s", s.Endpoint(), s.LoginURL(), endpoint, url)
	}
	c = connect(t, s)
	c.subscribe(after(id, 10)).take(1)
	s.Close()
	s.Close()
	if err := s.Restart(); err == nil {
		t.Error("a closed server was restarted")
	}
}

func TestAllocation(t *testing.T) {
	s := start(t, salesforcetest.Options{Allocation: 5})
	c := connect(t, s)
	ids := publish(t, s, 8)
	st := c.subscribe(earliest(orders, 10))
	st.take(5)
	st.wantEnd("subscription.limit.exceeded")
	c.subscribe(after(ids[4], 10)).wantEnd("subscription.limit.exceeded")
	s.SetAllocation(salesforcetest.Unlimited)
	c.subscribe(after(ids[4], 10)).take(3)
}

func TestStreamsAreBounded(t *testing.T) {
	s := start(t, salesforcetest.Options{MaxStreams: 1})
	c, d := connect(t, s), connect(t, s)
	st := c.follow(latest(orders, 1))
	d.subscribe(latest(orders, 1)).wantEnd("service.protection.stream.limit.triggered")
	_ = st.CloseSend()
	st.wantEnd("EOF")
	d.follow(latest(orders, 1))
}

func TestAwait(t *testing.T) {
	s := start(t, salesforcetest.Options{})
	c := connect(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Await(ctx, orders, 1); err == nil {
		t.Error("awaited a stream that isn't there")
	}
	c.subscribe(latest(orders, 1))
	if err := s.Await(t.Context(), orders, 1); err != nil {
		t.Error(err)
	}
}
