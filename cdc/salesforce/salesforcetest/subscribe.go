package salesforcetest

import (
	"context"
	"io"
	"time"

	"google.golang.org/grpc"

	"github.com/tandem-cache/tandem/cdc/salesforce/internal/eventbus"
)

// maxOutstanding is how many events a stream may have asked for and not got.
const maxOutstanding = 100

// forever is longer than any stream waits for its clock.
const forever = 24 * time.Hour

// subscription is one stream. The server's lock guards it, apart from wake.
type subscription struct {
	topic  *topic
	wake   chan struct{} // of one element: something about the stream changed
	cursor uint64        // place of the last event that was sent
	sent   time.Time     // of the last response, or when the stream began
	dry    time.Time     // since when nothing is outstanding
	end    error         // why the stream ends; nil: it goes on; io.EOF: without an error
	seen   Subscription
}

func (sub *subscription) wakeUp() {
	select {
	case sub.wake <- struct{}{}:
	default: // it will look at everything anyway
	}
}

// finish ends the stream. The first reason counts.
func (sub *subscription) finish(err error) {
	if sub.end == nil {
		sub.end = err
	}
	sub.wakeUp()
}

type subscribeStream = grpc.BidiStreamingServer[eventbus.FetchRequest, eventbus.FetchResponse]

// Subscribe implements eventbus.PubSubServer.
func (p *pubsub) Subscribe(stream subscribeStream) error {
	err := p.subscribe(stream)
	if err == io.EOF { //nolint:errorlint // it is never wrapped
		return nil
	}
	return answer(stream.Context(), err)
}

func (p *pubsub) subscribe(stream subscribeStream) error {
	if err := p.s.admit(stream.Context()); err != nil {
		return err
	}
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	sub, err := p.s.open(first)
	if err != nil {
		return err
	}
	defer p.s.leave(sub)
	p.readers.Go(func() { p.s.read(stream, sub) }) // it ends when this call has: its context does then
	return p.s.send(stream, sub)
}

func (s *Server) admit(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.admitLocked(ctx, "Subscribe")
}

// open begins a subscription.
func (s *Server) open(req *eventbus.FetchRequest) (*subscription, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.topicLocked(req.GetTopicName())
	switch {
	case err != nil:
		return nil, err
	case t.denied:
		return nil, refusal(cannotSubscribe)
	case s.streams >= s.opts.MaxStreams:
		return nil, refusal(streamLimit)
	}
	now := time.Now()
	cursor, err := s.startLocked(t, req, now)
	if err != nil {
		return nil, err
	}
	sub := &subscription{topic: t, wake: make(chan struct{}, 1), cursor: cursor, sent: now, dry: now}
	sub.seen = Subscription{Topic: t.name, Preset: req.GetReplayPreset().String(), ReplayID: req.GetReplayId(), Open: true}
	if err := sub.request(req, now); err != nil {
		return nil, err
	}
	t.subs[sub] = struct{}{}
	s.streams++
	s.rememberLocked(sub)
	return sub, nil
}

// startLocked returns the place behind which a subscription begins.
func (s *Server) startLocked(t *topic, req *eventbus.FetchRequest, now time.Time) (uint64, error) {
	t.expire(now.Add(-s.opts.Retention))
	switch req.GetReplayPreset() {
	case eventbus.ReplayPreset_LATEST:
		return s.bus.place, nil
	case eventbus.ReplayPreset_EARLIEST:
		return t.dropped, nil
	case eventbus.ReplayPreset_CUSTOM:
		if len(req.GetReplayId()) == 0 {
			return 0, refusal(replayMissing)
		}
		era, place, ok := placeOf(req.GetReplayId())
		if !ok || era != t.era || place > s.bus.place || place < max(t.floor, s.bus.expire(now)) {
			return 0, refusal(replayCorrupted)
		}
		return place, nil
	default:
		return 0, refusal(requestInvalid)
	}
}

// request adds to what is outstanding.
func (sub *subscription) request(req *eventbus.FetchRequest, now time.Time) error {
	n := int(req.GetNumRequested())
	if n <= 0 {
		return refusal(requestedInvalid)
	}
	if name := req.GetTopicName(); name != "" && name != sub.topic.name {
		return refusal(topicMismatch)
	}
	sub.seen.endDry(sub.dry, now)
	sub.seen.Requests++
	sub.seen.Requested += n
	sub.seen.Outstanding = min(maxOutstanding, sub.seen.Outstanding+n)
	return nil
}

// read takes the requests after the first.
func (s *Server) read(stream subscribeStream, sub *subscription) {
	for {
		req, err := stream.Recv()
		s.mu.Lock()
		if err == nil {
			err = sub.request(req, time.Now())
		}
		if err != nil {
			sub.finish(err)
		} else {
			sub.wakeUp()
		}
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// leave ends the subscription's part in its topic.
func (s *Server) leave(sub *subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub.seen.endDry(sub.dry, time.Now())
	sub.seen.Open = false
	if code, ok := sub.end.(refusal); ok { //nolint:errorlint // it is never wrapped
		sub.seen.Code = string(code)
	}
	delete(sub.topic.subs, sub)
	s.streams--
}

// send writes responses until the stream ends.
func (s *Server) send(stream subscribeStream, sub *subscription) error {
	clock := time.NewTimer(forever)
	defer clock.Stop()
	for {
		resp, wait, err := s.turn(sub)
		if err != nil {
			return err
		}
		if resp != nil {
			if err := stream.Send(resp); err != nil {
				return err
			}
			continue
		}
		clock.Reset(wait)
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case <-sub.wake:
		case <-clock.C:
		}
	}
}

// turn returns the next response, or how long to wait for one, or why there is none any more.
func (s *Server) turn(sub *subscription) (*eventbus.FetchResponse, time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	resp, wait, err := s.turnLocked(sub, now)
	if err != nil {
		sub.finish(err)
		return nil, 0, sub.end
	}
	if resp != nil {
		sub.sent = now
		sub.seen.Responses++
		resp.RpcId, resp.PendingNumRequested = newRPC(), int32(sub.seen.Outstanding)
	}
	return resp, wait, nil
}

func (s *Server) turnLocked(sub *subscription, now time.Time) (*eventbus.FetchResponse, time.Duration, error) {
	t := sub.topic
	t.expire(now.Add(-s.opts.Retention))
	switch {
	case sub.end != nil:
		return nil, 0, sub.end
	case sub.cursor < t.dropped:
		return nil, 0, refusal(replayCorrupted) // rather than a hole
	case t.silent:
		return nil, forever, nil
	case sub.seen.Outstanding == 0:
		if now.Sub(sub.dry) >= s.opts.Starve {
			s.starved++
			return nil, 0, io.EOF
		}
		return nil, s.opts.Starve - now.Sub(sub.dry), nil
	}
	if events := t.after(sub.cursor); len(events) > 0 {
		return s.eventsLocked(sub, events, now)
	}
	if now.Sub(sub.sent) < s.opts.Keepalive {
		return nil, s.opts.Keepalive - now.Sub(sub.sent), nil
	}
	sub.seen.Keepalives++
	sub.cursor = s.bus.next(now)
	return &eventbus.FetchResponse{LatestReplayId: replayID(t.era, sub.cursor)}, 0, nil
}

// eventsLocked takes the next events, as many as were asked for and fit a response.
func (s *Server) eventsLocked(sub *subscription, events []stored, now time.Time) (*eventbus.FetchResponse, time.Duration, error) {
	if s.allocation == 0 {
		return nil, 0, refusal(allocationExhausted)
	}
	n, size, limit := 0, 0, min(len(events), sub.seen.Outstanding, s.allocation)
	for n < limit && (n == 0 || size+events[n].size() <= s.opts.MaxResponse) {
		size += events[n].size()
		n++
	}
	resp := &eventbus.FetchResponse{Events: make([]*eventbus.ConsumerEvent, n)}
	for i, e := range events[:n] {
		resp.Events[i] = e.event
	}
	if s.allocation != Unlimited {
		s.allocation -= n
	}
	sub.cursor = events[n-1].place
	sub.seen.Delivered += n
	if sub.seen.Outstanding -= n; sub.seen.Outstanding == 0 {
		sub.dry = now
	}
	latest := sub.cursor
	if s.opts.LatestAhead || n == len(events) {
		latest = s.bus.place
	}
	resp.LatestReplayId = replayID(sub.topic.era, latest)
	return resp, 0, nil
}
