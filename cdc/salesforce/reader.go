package salesforce

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/cdc/salesforce/internal/eventbus"
)

// errParked ends a subscription whose events there is no room for.
var errParked = errors.New("salesforce: there is no room for more events")

// reader owns the client while it runs. It subscribes, decodes, and fills the queue, and never waits for the consumer while a
// subscription is open: the service would end that 60 s after nothing is outstanding.
type reader struct {
	client   *client
	cfg      Config
	queue    *queue
	progress *progress

	at        []byte    // where the next subscription begins; nil: at the end of the topic
	lost      bool      // the next response is the first one after a loss
	since     time.Time // when the last event was committed, or received
	committed time.Time // when the last event that says so was committed
}

// run returns when ctx ends or a subscription fails.
func (r *reader) run(ctx context.Context) error {
	defer r.progress.end()
	for again := false; ; again = true {
		if again { // the last login may be hours ago
			token, err := r.client.source.freshToken(ctx)
			if err != nil {
				return err
			}
			r.client.token = token
		}
		err := r.subscribe(ctx)
		failed, _ := errors.AsType[*Error](err)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errParked):
			if err := r.queue.waitEmpty(ctx); err != nil {
				return err
			}
		case failed != nil && failed.class == lost && r.at != nil:
			r.cfg.Logger.WarnContext(ctx, "salesforce: changes may be lost", "topic", r.cfg.Topic, "because", err)
			r.at, r.lost = nil, true
			r.progress.end() // now, and not with the next subscription: a login may come before it
		default:
			return err
		}
	}
}

// subscribe reads one subscription until it ends.
func (r *reader) subscribe(parent context.Context) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	silent := fmt.Errorf("salesforce: Subscribe: the service has said nothing for %s", r.cfg.Watchdog)
	watchdog := time.AfterFunc(r.cfg.Watchdog, func() { cancel(silent) })
	defer watchdog.Stop()

	sub, err := r.client.api.Subscribe(r.client.signed(ctx))
	if err != nil {
		return r.failed(ctx, err, nil)
	}
	w := window{size: r.client.source.window()}
	request := &eventbus.FetchRequest{TopicName: r.cfg.Topic, NumRequested: int32(w.refill(time.Now()))}
	if r.at != nil {
		request.ReplayPreset, request.ReplayId = eventbus.ReplayPreset_CUSTOM, r.at
	}
	r.progress.subscribed(time.Now(), r.at == nil)
	_ = sub.Send(request) // its error is Recv's
	for {
		watchdog.Reset(r.cfg.Watchdog)
		resp, err := sub.Recv()
		watchdog.Stop()
		if err != nil {
			return r.failed(ctx, err, sub.Trailer())
		}
		if len(resp.GetEvents()) > 0 {
			r.progress.received(time.Now())
		}
		w.received(time.Now(), len(resp.GetEvents()), int(resp.GetPendingNumRequested()))
		r.refill(&w, sub, len(resp.GetEvents())) // before the work that the response makes
		if err := r.response(ctx, resp); err != nil {
			return err
		}
		if !r.queue.room(w.size) {
			r.progress.parked(r.since)
			return errParked
		}
		r.refill(&w, sub, 0)
	}
}

// refill asks for more events if it is time, and there is room for them besides what was received.
func (r *reader) refill(w *window, sub eventbus.PubSub_SubscribeClient, received int) {
	if !r.queue.room(received + w.size) {
		return
	}
	if n := w.refill(time.Now()); n > 0 {
		_ = sub.Send(&eventbus.FetchRequest{TopicName: r.cfg.Topic, NumRequested: int32(n)}) // its error is Recv's
	}
}

// failed is why a subscription ended.
func (r *reader) failed(ctx context.Context, err error, trailer metadata.MD) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return r.client.failed("Subscribe to "+r.cfg.Topic, err, trailer)
}

// response pushes the events of a response. The latest replay id of one that has events may be ahead of others
// that are still to come, and isn't looked at.
func (r *reader) response(ctx context.Context, resp *eventbus.FetchResponse) error {
	now := time.Now()
	if len(resp.GetEvents()) == 0 {
		if at := resp.GetLatestReplayId(); len(at) > 0 {
			r.push(item{replay: at})
			r.progress.response(now, time.Time{})
		}
		return nil
	}
	items := make([]item, 0, len(resp.GetEvents()))
	for _, e := range resp.GetEvents() {
		it, err := r.item(ctx, e, now)
		if err != nil {
			r.push(items...) // those before it are good
			return err
		}
		items = append(items, it)
		r.since = it.since
		if !it.committed.IsZero() {
			r.committed = it.committed
		}
	}
	r.push(items...)
	r.progress.response(now, r.committed)
	return nil
}

// push moves the place where a further subscription begins behind the items.
func (r *reader) push(items ...item) {
	if len(items) == 0 {
		return
	}
	items[0].lost, r.lost = r.lost, false
	r.at = items[len(items)-1].replay
	r.queue.push(items...)
}

// item decodes an event. An error is of the stream: what is wrong with the event alone makes it a poisonous one.
func (r *reader) item(ctx context.Context, e *eventbus.ConsumerEvent, now time.Time) (item, error) {
	if len(e.GetReplayId()) == 0 {
		return item{}, errors.New("salesforce: Subscribe: the service sent an event without a replay id")
	}
	s, err := r.client.schema(ctx, e.GetEvent().GetSchemaId())
	if err != nil {
		return item{}, err
	}
	event, committed, err := s.decode(e.GetEvent().GetPayload())
	if err != nil {
		event = cdc.Event{
			Entity: cmp.Or(s.entity, entityOfTopic(r.cfg.Topic)), Kind: cdc.Whole,
			Err: fmt.Errorf("replay id %s, schema %.100q: %w",
				base64.RawURLEncoding.EncodeToString(e.GetReplayId()), e.GetEvent().GetSchemaId(), err),
		}
	}
	it := item{event: &event, replay: e.GetReplayId(), committed: committed, since: committed, bytes: cost(event)}
	if committed.IsZero() {
		it.since = now
	}
	return it, nil
}

// cost is about how many bytes an event takes.
func cost(e cdc.Event) int {
	const event, row, column = 300, 100, 45
	n := event
	for _, name := range e.Changed {
		n += 16 + len(name)
	}
	for i, r := range e.Rows {
		n += row + column*max(8, len(r))
		if i > 0 {
			continue // the texts are the same
		}
		for name, value := range r {
			n += len(name) + len(value)
		}
	}
	return n
}
