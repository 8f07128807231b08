package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/episode"
)

// A receiver knows how far its pod has come in the journal. It outlives subscriptions and belongs to the bus's goroutine.
//
// Pub/sub is the fast way, the journal the sure one: what is missing between two messages, and what never came before a silence,
// is read from the journal. Only where that does not reach back the owner starts anew.
type receiver struct {
	bus *Bus
	at  place // the last message handed over; no lineage: everything may have been missed
	// subscribed says that a subscription was confirmed, and that its end has not been told yet.
	subscribed bool

	behind   episode.Episode // while the journal can't be read
	replayed uint64          // messages when that began
}

// catchUp reads from the journal what the pod lacks and says how fresh it is then.
//
// The time is noted before the head is read: whatever was acknowledged by then has a number up to the head. Noted after, a
// message published in between would be older than the proof that it was heard.
func (r *receiver) catchUp(ctx context.Context) (err error) {
	before := r.bus.stats.replayed.Load()
	defer func() {
		r.bus.head.note(err)
		r.bus.unheard.replayed(r.bus, r.bus.stats.replayed.Load()-before)
	}()
	for {
		knew := r.bus.blind.Load()
		asOf := time.Now()
		head, missing, err := r.bus.after(ctx, r.at)
		if err != nil {
			r.bus.stats.failedProbes.Add(1)
			return err
		}
		if r.bus.blind.Load() && (!knew || !r.subscribed) {
			r.at = place{} // see begin
		}
		if !r.follows(head, missing) {
			if err := r.resync(ctx, head); err != nil {
				return err
			}
		}
		for _, f := range missing {
			if f.n == r.at.n+1 { // else the journal has a hole, and the next round finds it
				r.bus.stats.replayed.Add(1)
				if err := r.hand(ctx, f); err != nil {
					return err
				}
			}
		}
		if r.at.lineage == head.lineage && r.at.n >= head.n {
			r.at.mark = head.mark // the same, unless one of the two is not known
			r.bus.cfg.Handler.Fresh(asOf)
			return nil
		}
	}
}

// follows says whether the journal leads from where the receiver is to its head. A head behind the receiver is that of a server
// which forgot, and leads nowhere; so does one whose messages are others.
func (r *receiver) follows(head place, missing []frame) bool {
	if head.lineage != r.at.lineage {
		return false
	}
	if head.n == r.at.n {
		return head.isAt(r.at)
	}
	return len(missing) > 0 && missing[0].n == r.at.n+1
}

// resync starts anew at a place of the journal that was read before: what is published up to there the owner makes good.
func (r *receiver) resync(ctx context.Context, to place) error {
	r.bus.stats.resyncs.Add(1)
	if r.at.lineage != "" {
		r.bus.cfg.Logger.Warn("bus: messages were missed", "cache", r.bus.cfg.Name, "from", r.at.n, "to", to.n, "same_lineage", to.lineage == r.at.lineage)
	}
	r.at = place{} // until it has worked
	if err := r.bus.cfg.Handler.Resync(ctx); err != nil {
		return fmt.Errorf("bus: resync: %w", err)
	}
	r.at = to
	return nil
}

// received handles what the subscription brought. It is false when the subscription is of no use.
func (r *receiver) received(ctx context.Context, msg any) bool {
	switch msg := msg.(type) {
	case *redis.Message:
		return r.take(ctx, []byte(msg.Payload))
	case *redis.Subscription: // what was published before is in the journal
		r.bus.subscription.note(nil)
		r.bus.stats.subscriptions.Add(1)
		r.subscribed = true
		r.begin(ctx)
	case unsubscribed:
		was := r.subscribed
		r.subscribed = false
		if was && r.bus.blind.Load() {
			r.begin(ctx)
		}
	}
	return true // a pong
}

// begin is called when a subscription has begun or ended.
//
// Where the server does not tell who it is, it may be another one, or have forgotten what this pod never heard, and its marks prove nothing:
//
//	1 this pod: has heard 50; its subscription ends
//	2 another: publishes 51 to 80; Redis forgets them
//	3 this pod: finds the mark of 50 at the head, and would be fresh
//
// So it starts anew, and as long as there is no subscription, with each look at the head.
func (r *receiver) begin(ctx context.Context) {
	if r.bus.blind.Load() {
		r.at = place{}
	}
	r.try(r.catchUp(ctx))
}

func (r *receiver) take(ctx context.Context, raw []byte) bool {
	f, err := parseFrame(raw)
	switch {
	case err != nil: // if it was numbered, the journal has it, or the next number shows the gap
		if so, due := r.bus.strange.Fails(); due {
			r.bus.cfg.Logger.Warn("bus: message ignored", so.Attrs("cache", r.bus.cfg.Name, "error", err)...)
		}
		return true
	case f.n == 0:
		r.notice(f)
		return true
	}
	if f.lineage == r.at.lineage && f.n >= r.at.n {
		r.bus.unheard.heard(r.bus)
	}
	switch {
	case f.lineage == r.at.lineage && f.n <= r.at.n: // the journal was faster, or Redis repeats itself
		return true
	case f.lineage == r.at.lineage && f.n == r.at.n+1:
		r.bus.stats.heard.Add(1)
		r.try(r.hand(ctx, f))
		return true
	}
	r.bus.stats.gaps.Add(1)
	r.try(r.catchUp(ctx))
	return r.at.lineage == "" || f.lineage == r.at.lineage // else it is on another server than the journal
}

// hand gives a numbered message to the owner.
func (r *receiver) hand(ctx context.Context, f frame) error {
	r.at.mark = cmp.Or(f.mark, r.at.next(f.payload))
	r.at.n = f.n
	m, err := decode(f.payload)
	if err == nil {
		err = r.bus.cfg.Handler.Handle(m)
	}
	if err == nil {
		return nil
	}
	if so, due := r.bus.strange.Fails(); due {
		r.bus.cfg.Logger.Warn("bus: message not understood", so.Attrs("cache", r.bus.cfg.Name, "error", err)...)
	}
	return r.resync(ctx, r.at)
}

// notice gives an unnumbered message to the owner. Nothing rests on it.
func (r *receiver) notice(f frame) {
	m, err := decode(f.payload)
	if err == nil {
		err = r.bus.cfg.Handler.Handle(m)
	}
	if err != nil {
		r.bus.cfg.Logger.Debug("bus: notice not understood", "cache", r.bus.cfg.Name, "error", err)
	}
}

// try notes what went wrong; the next probe begins where this one ended.
func (r *receiver) try(err error) {
	log, cache := r.bus.cfg.Logger, r.bus.cfg.Name
	replayed := r.bus.stats.replayed.Load()
	if errors.Is(err, context.Canceled) {
		return // Close
	}
	if err != nil {
		so, due := r.behind.Fails()
		if so.Failures == 1 {
			r.replayed = replayed
		}
		if due {
			log.Warn("bus: cannot catch up, L1 is not trusted for long", so.Attrs("cache", cache, "error", err)...)
		}
		return
	}
	if so, was := r.behind.Ends(); was {
		log.Info("bus: back", so.Attrs("cache", cache, "replayed", replayed-r.replayed)...)
	}
}
