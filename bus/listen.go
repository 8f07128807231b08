package bus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/episode"
)

const (
	queue      = 256                     // messages received and not yet handled; full, Redis holds the rest
	idle       = 100 * time.Millisecond  // silence after which the listener looks whether it is to go on
	minBackoff = 50 * time.Millisecond   // before the first new subscription
	maxBackoff = 1500 * time.Millisecond // before any further
)

// A listener keeps a subscription and passes on what it brings. Its goroutine alone touches the subscription.
//
// PubSub's own reconnect is not relied on, nor its channel: both hide that messages were lost.
type listener struct {
	bus   *Bus
	lost  episode.Episode // while there is no subscription
	heard chan any        // what the subscription brings, its confirmation first
	renew chan struct{}   // holds one wish for another subscription
}

// unsubscribed comes behind the last message of a subscription.
type unsubscribed struct{}

func newListener(b *Bus) *listener {
	return &listener{bus: b, heard: make(chan any, queue), renew: make(chan struct{}, 1)}
}

// run makes one subscription after another until ctx ends.
func (l *listener) run(ctx context.Context) {
	backoff := minBackoff
	for {
		began := time.Now()
		err := l.listen(ctx)
		if ctx.Err() != nil {
			return
		}
		l.bus.subscription.note(err)
		select {
		case l.heard <- unsubscribed{}:
		case <-ctx.Done():
			return
		}
		if time.Since(began) > maxBackoff {
			backoff = minBackoff
		}
		if so, due := l.lost.Fails(); due {
			l.bus.cfg.Logger.Warn("bus: subscription lost, messages come by the journal", so.Attrs("cache", l.bus.cfg.Name, "error", err)...)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(backoff/2 + jitter(backoff)):
		}
		backoff = min(backoff*2, maxBackoff)
	}
}

// listen makes one subscription and passes on what it brings, until it fails, is silent for MaxStaleness, or another is wished.
func (l *listener) listen(ctx context.Context) error {
	sub := l.bus.cfg.Client.Subscribe(ctx, l.bus.key(""))
	defer func() { _ = sub.Close() }()
	s := sign{alive: time.Now(), asked: time.Now()}
	for ctx.Err() == nil {
		select {
		case <-l.renew:
			return errors.New("bus: the subscription is on another server than the journal")
		default:
		}
		msg, err := sub.ReceiveTimeout(ctx, idle)
		switch {
		case isTimeout(err):
			if err := l.ask(ctx, sub, &s); err != nil {
				return err
			}
			continue
		case err != nil:
			return fmt.Errorf("bus: receive: %w", err)
		}
		s.alive, s.asked = time.Now(), time.Now()
		if so, was := l.lost.Ends(); was {
			l.bus.cfg.Logger.Info("bus: subscribed again", so.Attrs("cache", l.bus.cfg.Name)...)
		}
		select {
		case l.heard <- msg:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// A sign of life of a subscription: when it last brought something, and when it was last asked to.
type sign struct{ alive, asked time.Time }

// ask sends a ping to a subscription that is silent. Its answer says nothing of messages lost: that is the journal's.
func (l *listener) ask(ctx context.Context, sub *redis.PubSub, s *sign) error {
	switch now := time.Now(); {
	case now.Sub(s.alive) > l.bus.cfg.MaxStaleness:
		return errors.New("bus: the subscription is silent")
	case now.Sub(s.asked) < l.bus.turn():
		return nil
	}
	s.asked = time.Now()
	ctx, cancel := context.WithTimeout(ctx, l.bus.turn())
	defer cancel()
	if err := sub.Ping(ctx); err != nil {
		return fmt.Errorf("bus: ping: %w", err)
	}
	return nil
}

// another ends the present subscription.
func (l *listener) another() {
	select {
	case l.renew <- struct{}{}:
	default:
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// jitter is a random duration below limit, by the clock alone: in virtual time it comes out the same again.
func jitter(limit time.Duration) time.Duration {
	return time.Duration(rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0)).Int64N(int64(limit)))
}
