package bus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	idle       = time.Second             // silence after which the connection is asked for a pong
	maxSilence = 3                       // unanswered asks after which it is given up
	minBackoff = 50 * time.Millisecond   // before the first new subscription
	maxBackoff = 1500 * time.Millisecond // before any further
)

// run owns the bus's goroutine: one subscription after another until ctx ends.
func (b *Bus) run(ctx context.Context) {
	defer close(b.done)
	backoff := minBackoff
	for ctx.Err() == nil {
		began := time.Now()
		err := b.listen(ctx)
		b.cfg.Handler.Down()
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
// PubSub's own reconnect is not used, nor its channel: both hide that messages were lost.
func (b *Bus) listen(ctx context.Context) error {
	sub := b.cfg.Client.Subscribe(ctx, b.key(""))
	defer func() { _ = sub.Close() }()
	unblock := context.AfterFunc(ctx, func() { _ = sub.Close() }) // a receive may not follow its context
	defer unblock()
	if err := confirmed(ctx, sub); err != nil {
		return err
	}
	r := receiver{bus: b}
	if err := r.start(ctx); err != nil {
		return err
	}
	silence := 0
	for {
		msg, err := sub.ReceiveTimeout(ctx, idle)
		switch {
		case isTimeout(err) && ctx.Err() == nil:
			if silence++; silence > maxSilence {
				return errors.New("bus: the connection is silent")
			}
			if err := sub.Ping(ctx); err != nil {
				return fmt.Errorf("bus: ping: %w", err)
			}
			continue
		case err != nil:
			return fmt.Errorf("bus: receive: %w", err)
		}
		silence = 0
		if err := r.take(ctx, msg); err != nil {
			return err
		}
	}
}

// confirmed waits until Redis has confirmed the subscription: what is published from now on is heard or shows as a gap.
func confirmed(ctx context.Context, sub *redis.PubSub) error {
	msg, err := sub.ReceiveTimeout(ctx, maxSilence*idle)
	if err != nil {
		return fmt.Errorf("bus: subscribe: %w", err)
	}
	if _, ok := msg.(*redis.Subscription); !ok {
		return fmt.Errorf("bus: subscribe: answered by %T", msg)
	}
	return nil
}

// A receiver knows how far one subscription has come.
type receiver struct {
	bus     *Bus
	lineage string
	n       uint64
}

// start notes where the journal stands, then lets the owner take its bearings. Messages that were published between the
// confirmation and here come again, with numbers up to n, and are applied again.
func (r *receiver) start(ctx context.Context) error {
	head, err := r.bus.head(ctx)
	if err != nil {
		return err
	}
	r.lineage, r.n = head.lineage, head.n
	return r.bus.cfg.Handler.Resync(ctx)
}

func (r *receiver) take(ctx context.Context, received any) error {
	switch msg := received.(type) {
	case *redis.Message:
		return r.message(ctx, []byte(msg.Payload))
	case *redis.Subscription: // the client subscribed anew behind our back
		return errors.New("bus: the client reconnected")
	}
	return nil // a pong
}

func (r *receiver) message(ctx context.Context, raw []byte) error {
	f, err := parseFrame(raw)
	if err != nil { // of another version: whatever it said is lost to us
		r.bus.cfg.Logger.Warn("bus: message lost", "cache", r.bus.cfg.Name, "error", err)
		return r.bus.cfg.Handler.Resync(ctx)
	}
	if f.n != 0 && (f.lineage != r.lineage || f.n > r.n+1) {
		r.bus.cfg.Logger.Warn("bus: gap", "cache", r.bus.cfg.Name, "from", r.n, "to", f.n, "same_lineage", f.lineage == r.lineage)
		r.lineage, r.n = f.lineage, f.n
		if err := r.bus.cfg.Handler.Resync(ctx); err != nil {
			return err
		}
	}
	r.n = max(r.n, f.n)
	m, err := decode(f.payload)
	if err != nil {
		r.bus.cfg.Logger.Warn("bus: message lost", "cache", r.bus.cfg.Name, "error", err)
		return r.bus.cfg.Handler.Resync(ctx)
	}
	err = r.bus.cfg.Handler.Handle(m)
	if err != nil && f.n != 0 {
		r.bus.cfg.Logger.Warn("bus: message not understood", "cache", r.bus.cfg.Name, "error", err)
		return r.bus.cfg.Handler.Resync(ctx)
	}
	return nil
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
