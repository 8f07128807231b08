package salesforcetest_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/cdc/salesforce/internal/eventbus"
	"github.com/tandem-cache/tandem/cdc/salesforce/salesforcetest"
)

func idsOf(events []*eventbus.ConsumerEvent) (ids [][]byte) {
	for _, e := range events {
		ids = append(ids, e.GetReplayId())
	}
	return ids
}

func TestPresets(t *testing.T) {
	s := start(t, salesforcetest.Options{})
	c := connect(t, s)
	old := publish(t, s, 3)
	tests := []struct {
		name string
		req  *eventbus.FetchRequest
		want int // events of the old ones
	}{
		{"latest", latest(orders, 100), 0},
		{"earliest", earliest(orders, 100), 3},
		{"custom starts after the id", after(old[0], 100), 2},
		{"custom from the last one", after(old[2], 100), 0},
	}
	streams := make([]*stream, len(tests))
	for i, tt := range tests {
		streams[i] = c.follow(tt.req)
	}
	fresh := publish(t, s, 1)
	for i, tt := range tests {
		got := idsOf(streams[i].take(tt.want + 1))
		if want := append(slices.Clone(old[3-tt.want:]), fresh[0]); !slices.EqualFunc(got, want, bytes.Equal) {
			t.Errorf("%s: ids %x; want %x", tt.name, got, want)
		}
	}
}

func TestFirstRequests(t *testing.T) {
	s := start(t, salesforcetest.Options{})
	c := connect(t, s)
	id := publish(t, s, 1)[0]
	other, err := s.Change(salesforcetest.Change{Entity: "Thing__c", Type: "DELETE", IDs: []string{"a00000000000001AAA"}})
	if err != nil {
		t.Fatal(err)
	}
	flipped := slices.Clone(id)
	flipped[5]++
	for name, tt := range map[string]struct {
		req  *eventbus.FetchRequest
		code string
	}{
		"no topic":              {latest("", 1), "topic.validation.empty"},
		"unknown topic":         {latest("/data/CaseChangeEvent", 1), "topic.not.found"},
		"nothing requested":     {latest(orders, 0), "subscription.fetch.requested.events.invalid"},
		"negative":              {latest(orders, -1), "subscription.fetch.requested.events.invalid"},
		"custom without id":     {after(nil, 1), "subscription.fetch.replayid.validation.failed"},
		"custom with nonsense":  {after([]byte("nonsense"), 1), "subscription.fetch.replayid.corrupted"},
		"custom with wrong id":  {after(flipped, 1), "subscription.fetch.replayid.corrupted"},
		"custom of other topic": {after(other, 1), "subscription.fetch.replayid.corrupted"},
		"a preset that isn't":   {&eventbus.FetchRequest{TopicName: orders, NumRequested: 1, ReplayPreset: 9}, "subscription.fetch.request.invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			c.subscribe(tt.req).wantEnd(tt.code)
		})
	}
}

func TestLaterRequests(t *testing.T) {
	s := start(t, salesforcetest.Options{})
	c := connect(t, s)
	st := c.follow(latest(orders, 1))
	// The replay fields of a later request are ignored.
	st.request(&eventbus.FetchRequest{TopicName: orders, NumRequested: 1, ReplayPreset: eventbus.ReplayPreset_CUSTOM, ReplayId: []byte("x")})
	eventually(t, "second request", func() bool { return s.Subscriptions(orders)[0].Requests == 2 })
	publish(t, s, 2)
	st.take(2)
	st.request(latest(changes, 1))
	st.wantEnd("subscription.fetch.topic.mismatch")

	st = c.follow(latest(orders, 1))
	st.request(more(0))
	st.wantEnd("subscription.fetch.requested.events.invalid")
}

func TestOutstanding(t *testing.T) {
	s := start(t, salesforcetest.Options{})
	c := connect(t, s)
	publish(t, s, 250)
	st := c.follow(earliest(orders, 30))
	resp := st.next()
	if got := len(resp.GetEvents()); got != 30 || resp.GetPendingNumRequested() != 0 {
		t.Errorf("first response: %d events, %d pending; want 30, 0", got, resp.GetPendingNumRequested())
	}
	st.request(more(500)) // counts as 100
	if resp = st.next(); len(resp.GetEvents()) != 100 || resp.GetPendingNumRequested() != 0 {
		t.Errorf("response to 500: %d events, %d pending; want 100, 0", len(resp.GetEvents()), resp.GetPendingNumRequested())
	}
	st.request(more(70))
	st.take(70)
	st.request(more(60)) // the last 50 are there
	if resp = st.next(); len(resp.GetEvents()) != 50 || resp.GetPendingNumRequested() != 10 {
		t.Errorf("last response: %d events, %d pending; want 50, 10", len(resp.GetEvents()), resp.GetPendingNumRequested())
	}
	st.request(more(5))
	eventually(t, "15 outstanding", func() bool { return s.Subscriptions(orders)[0].Outstanding == 15 })
	st.request(more(90)) // 105 count as 100
	eventually(t, "100 outstanding", func() bool { return s.Subscriptions(orders)[0].Outstanding == 100 })
	got := s.Subscriptions(orders)[0]
	if got.Requested != 755 || got.Requests != 6 || got.Delivered != 250 || got.Responses != 4 || !got.Open || got.Preset != "EARLIEST" {
		t.Errorf("subscription %+v", got)
	}
}

func TestSeveralResponses(t *testing.T) {
	s := start(t, salesforcetest.Options{MaxResponse: 1})
	c := connect(t, s)
	ids := publish(t, s, 3)
	st := c.subscribe(earliest(orders, 10))
	for i, id := range ids {
		resp := st.next()
		if len(resp.GetEvents()) != 1 || !bytes.Equal(resp.GetEvents()[0].GetReplayId(), id) || resp.GetPendingNumRequested() != int32(9-i) {
			t.Fatalf("response %d: %v; want one event, and %d pending", i, resp, 9-i)
		}
		if ahead := !bytes.Equal(resp.GetLatestReplayId(), id); ahead && i < 2 {
			t.Errorf("response %d has a latest replay id ahead of events that are still to be sent", i)
		}
	}
}

func TestLatestAhead(t *testing.T) {
	s := start(t, salesforcetest.Options{MaxResponse: 1, LatestAhead: true})
	c := connect(t, s)
	ids := publish(t, s, 3)
	if resp := c.subscribe(earliest(orders, 10)).next(); !bytes.Equal(resp.GetLatestReplayId(), ids[2]) {
		t.Errorf("latest replay id %x; want that of the last event, %x", resp.GetLatestReplayId(), ids[2])
	}
}

func TestKeepalive(t *testing.T) {
	s := start(t, salesforcetest.Options{Keepalive: 20 * time.Millisecond})
	c := connect(t, s)
	id := publish(t, s, 1)[0]
	st := c.subscribe(earliest(orders, 10))
	st.take(1)
	began := time.Now()
	for range 3 {
		st.next()
	}
	if took := time.Since(began); took < 50*time.Millisecond {
		t.Errorf("three keepalives came within %s; want one each 20 ms", took)
	}
	resp := st.next()
	if len(resp.GetEvents()) != 0 || resp.GetPendingNumRequested() != 9 {
		t.Fatalf("keepalive %v; want no events, 9 pending", resp)
	}
	if bytes.Equal(resp.GetLatestReplayId(), id) {
		t.Error("the keepalive's replay id is that of the last event; want one ahead of it")
	}
	// What comes after the keepalive, comes after its id, and nothing else does.
	want := publish(t, s, 1)
	if got := idsOf(c.subscribe(after(resp.GetLatestReplayId(), 10)).take(1)); !bytes.Equal(got[0], want[0]) {
		t.Errorf("after the keepalive's id: %x; want %x", got[0], want[0])
	}
	if s.Subscriptions(orders)[0].Keepalives == 0 {
		t.Error("the keepalive wasn't counted")
	}
}

func TestStarvedStreamIsClosed(t *testing.T) {
	s := start(t, salesforcetest.Options{Starve: 50 * time.Millisecond, Keepalive: 10 * time.Millisecond})
	c := connect(t, s)
	publish(t, s, 1)
	st := c.subscribe(earliest(orders, 1))
	st.take(1)
	if resp, err := st.Recv(); err == nil {
		t.Errorf("a stream that asked for nothing got %v; want no keepalive", resp)
	}
	if got := s.History(orders)[0]; s.Starved() != 1 || got.Open || got.Dry < 50*time.Millisecond {
		t.Errorf("starved %d, subscription %+v; want 1, ended after 50 ms", s.Starved(), got)
	}
	// One that has something outstanding is not.
	st = c.follow(latest(orders, 1))
	for range 10 {
		st.next()
	}
	if s.Starved() != 1 {
		t.Errorf("starved %d; want 1", s.Starved())
	}
}

func TestTopicsOfAChange(t *testing.T) {
	s := start(t, salesforcetest.Options{})
	c := connect(t, s)
	if err := s.AddChannel("Sales__chn", "Order"); err != nil {
		t.Fatal(err)
	}
	publish(t, s, 1)
	if _, err := s.Change(salesforcetest.Change{Entity: "Thing__c", Type: "DELETE", IDs: []string{"a00000000000001AAA"}}); err != nil {
		t.Fatal(err)
	}
	for topic, want := range map[string][]string{
		orders: {"Order"}, "/data/Thing__ChangeEvent": {"Thing__c"}, changes: {"Order", "Thing__c"}, "/data/Sales__chn": {"Order"},
	} {
		st := c.subscribe(earliest(topic, 10))
		var got []string
		for _, e := range st.take(len(want)) {
			_, header := c.decode(e)
			got = append(got, header["entityName"].(string))
			if e.GetEvent().GetId() != "" {
				t.Errorf("%s: a change event has the id %q; want none", topic, e.GetEvent().GetId())
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s has changes of %v; want %v", topic, got, want)
		}
		_ = st.CloseSend()
		st.wantEnd("EOF") // and not a third event
	}
}

func TestReplayIDsHaveHoles(t *testing.T) {
	s := start(t, salesforcetest.Options{})
	ids := publish(t, s, 50)
	sorted := slices.IsSortedFunc(ids, bytes.Compare)
	seen := map[string]bool{}
	for _, id := range ids {
		seen[string(id)] = true
		if len(id) != 10 {
			t.Errorf("replay id of %d bytes; want 10", len(id))
		}
	}
	if sorted || len(seen) != 50 {
		t.Errorf("%d different ids, sorted: %v; want 50 that tell nothing of their order", len(seen), sorted)
	}
}
