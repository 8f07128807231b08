package bus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	probes     = 3                       // in each MaxStaleness; so many in a row without a word on the subscription end it
	queue      = 256                     // messages received and not yet handled; full, Redis holds the rest
	minBackoff = 50 * time.Millisecond   // before the first new subscription
	maxBackoff = 1500 * time.Millisecond // before any further
)

// run owns the bus's goroutines: one subscription after another until ctx ends.
func (b *Bus) run(ctx context.Context) {
	defer close(b.done)
	r := &receiver{bus: b}
	backoff := minBackoff
	for ctx.Err() == nil {
		began := time.Now()
		err := b.listen(ctx, r)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > maxBackoff {
			backoff = minBackoff
		}
		b.cfg.Logger.Warn("bus: subscription lost", "cache", b.cfg.Name, "error", err, "retry", backoff)
		select {
		case <-ctx.Done():
		case <-time.After(backoff/2 + rand.N(backoff)):
		}
		backoff = min(backoff*2, maxBackoff)
	}
}

// listen makes one subscription and hands over what it brings until it fails.
//
// PubSub's own reconnect is not used, nor its channel: both hide that messages were lost. The journal is read after the
// subscription was confirmed: what is published later is heard.
func (b *Bus) listen(ctx context.Context, r *receiver) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	sub, err := b.subscribe(ctx)
	defer func() { _ = sub.Close() }() // ends the receive below
	defer cancel()
	if err != nil {
		return err
	}
	b.stats.subscriptions.Add(1)
	heard, failed := make(chan any, queue), make(chan error, 1)
	wg.Go(func() { failed <- receive(ctx, sub, heard) })
	if err := r.catchUp(ctx); err != nil {
		return err
	}
	return b.attend(ctx, r, sub, heard, failed)
}

// attend handles what comes and probes in between.
func (b *Bus) attend(ctx context.Context, r *receiver, sub *redis.PubSub, heard <-chan any, failed <-chan error) error {
	turn := time.NewTicker(b.cfg.MaxStaleness / probes)
	defer turn.Stop()
	last, silent := b.clock(), 0
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case msg := <-heard:
			silent = 0
			if err := r.received(ctx, msg); err != nil {
				return err
			}
		case err := <-failed:
			return fmt.Errorf("bus: receive: %w", err)
		case <-turn.C:
			now := b.clock()
			if now.stalled(last, b.cfg.MaxStaleness/probes) {
				b.cfg.Handler.Stalled()
			}
			last = now
			r.try(r.catchUp(ctx))
			if silent++; silent > probes {
				return errors.New("bus: the subscription is silent")
			}
			if err := b.ping(ctx, sub); err != nil {
				return err
			}
		}
	}
}

// subscribe waits until Redis has confirmed the subscription: what is published from now on is heard or shows as a gap. The caller
// closes it also after an error.
func (b *Bus) subscribe(ctx context.Context) (*redis.PubSub, error) {
	timeout := max(b.cfg.MaxStaleness, maxBackoff)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	sub := b.cfg.Client.Subscribe(ctx, b.key(""))
	msg, err := sub.ReceiveTimeout(ctx, timeout)
	if err != nil {
		return sub, fmt.Errorf("bus: subscribe: %w", err)
	}
	if _, ok := msg.(*redis.Subscription); !ok {
		return sub, fmt.Errorf("bus: subscribe: answered by %T", msg)
	}
	return sub, nil
}

// receive reads the subscription until it fails. A message waits here while the queue is full.
func receive(ctx context.Context, sub *redis.PubSub, heard chan<- any) error {
	for {
		msg, err := sub.Receive(ctx)
		if err != nil {
			return err
		}
		select {
		case heard <- msg:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ping asks the subscription for a sign of life. Its answer says nothing of messages lost: that is the journal's.
func (b *Bus) ping(ctx context.Context, sub *redis.PubSub) error {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.MaxStaleness/probes)
	defer cancel()
	if err := sub.Ping(ctx); err != nil {
		return fmt.Errorf("bus: ping: %w", err)
	}
	return nil
}

func (r *receiver) received(ctx context.Context, received any) error {
	switch msg := received.(type) {
	case *redis.Message:
		return r.take(ctx, []byte(msg.Payload))
	case *redis.Subscription: // the client subscribed anew behind our back
		return errors.New("bus: the client reconnected")
	}
	return nil // a pong
}
