package bus

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/episode"
)

// A Handler is what the bus tells its owner. Its methods are called by one goroutine of the bus; while one runs, nothing else
// is handed over: up to 256 messages wait in this process, further ones in Redis, which cuts a subscriber that lags too far. The
// journal makes up for that.
type Handler interface {
	// Resync says that messages before now were missed for good: the bus has just begun, the journal does not reach back,
	// or it was lost. An error makes the bus call again, within a third of MaxStaleness.
	Resync(ctx context.Context) error
	// Handle is called for each message. An error says that it means nothing to this receiver, who is of another version
	// perhaps: if the message was numbered, Resync follows.
	Handle(m Message) error
	// Fresh says that every message published before asOf was handled, or made good by a Resync.
	Fresh(asOf time.Time)
	// Stalled says that the monotonic clock stood still for a while, as it does when a machine is suspended: earlier calls
	// of Fresh prove nothing.
	Stalled()
}

// Config says what a bus needs. All fields but Logger are required.
type Config struct {
	Client       redis.UniversalClient // bounded: its calls return soon when Redis is frozen
	Name         string                // of the cache
	Handler      Handler
	MaxStaleness time.Duration // Fresh is called every third of it
	Logger       *slog.Logger  // nil: slog.Default()
}

// A Bus connects the pods of a cache.
type Bus struct {
	cfg   Config
	stop  context.CancelFunc // ends run
	done  chan struct{}      // closed when run has returned
	clock func() instant
	stats counters
	blind atomic.Bool // the server did not tell who it is, when it was asked last

	subscription trouble         // why there is none
	head         trouble         // why it can't be read
	unheard      unheard         // since when pub/sub brings nothing
	strange      episode.Episode // messages that nobody here understands; it never ends
}

// Open returns a bus that subscribes, and keeps subscribing, in the background. The caller closes it.
func Open(cfg Config) *Bus { return open(cfg, readClocks) }

func open(cfg Config, clock func() instant) *Bus {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	ctx, stop := context.WithCancel(context.Background())
	b := &Bus{cfg: cfg, stop: stop, done: make(chan struct{}), clock: clock}
	go b.run(ctx)
	return b
}

// probes is how often the journal is looked at in each MaxStaleness.
const probes = 3

func (b *Bus) turn() time.Duration { return b.cfg.MaxStaleness / probes }

// run hands over what is published until ctx ends. The journal is looked at in turns, and whenever a subscription begins or a message
// shows a gap; that works, slower, also while there is no subscription.
func (b *Bus) run(ctx context.Context) {
	defer close(b.done)
	l, r := newListener(b), &receiver{bus: b}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { l.run(ctx) })
	turn := time.NewTicker(b.turn())
	defer turn.Stop()
	last := b.clock()
	r.try(r.catchUp(ctx))
	for {
		select {
		case <-ctx.Done():
			return
		case msg := <-l.heard:
			if !r.received(ctx, msg) {
				l.another()
			}
		case <-turn.C:
			now := b.clock()
			if now.stalled(last, b.turn()) {
				b.cfg.Handler.Stalled()
			}
			last = now
			r.try(r.catchUp(ctx))
		}
	}
}

// Close ends the subscription and waits, for as long as ctx lasts, until no Handler method runs. Twice is fine.
func (b *Bus) Close(ctx context.Context) error {
	b.stop()
	select {
	case <-b.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("bus: close: %w", ctx.Err())
	}
}

// Blind reports whether Redis, when it was asked last, did not tell this user who it is: the user may not run INFO. Each new subscription
// then costs a Resync.
func (b *Bus) Blind() bool { return b.blind.Load() }

// Notify broadcasts m as a notice: unnumbered, and lost to whoever is not listening.
func (b *Bus) Notify(ctx context.Context, m Message) error {
	payload, err := encode(m)
	if err != nil {
		return err
	}
	if err := b.cfg.Client.Publish(ctx, b.key(""), append([]byte(notice), payload...)).Err(); err != nil {
		return fmt.Errorf("bus: notify: %w", err)
	}
	return nil
}

func (b *Bus) key(suffix string) string { return b.cfg.Name + ":{bus}" + suffix }
