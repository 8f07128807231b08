package bus

import (
	"context"
	"crypto/rand"
	_ "embed" // the scripts
	"encoding/hex"
	"fmt"
	"log/slog"

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lua/head.lua
	headLua string
	//go:embed lua/publish.lua
	publishLua string

	headScript    = redis.NewScript(headLua + "return {lineage, n}")
	publishScript = redis.NewScript(headLua + publishLua + "return {lineage, n}")
)

// journalCapacity is about how many messages the journal keeps.
const journalCapacity = 16384

// A Handler is what the bus tells its owner. Its methods are called by the bus's one goroutine; while one runs, nothing else
// is handed over and Redis buffers.
type Handler interface {
	// Resync says that messages before now may be missing: the subscription is new, or there was a gap. An error makes
	// the bus start over with Down and a new subscription.
	Resync(ctx context.Context) error
	// Handle is called for each message. An error says that it means nothing to this receiver, who is of another version
	// perhaps: if the message was numbered, Resync follows.
	Handle(m Message) error
	// Down says that nothing will be heard until the next Resync.
	Down()
}

// Config says what a bus needs. All fields but Logger are required.
type Config struct {
	Client  redis.UniversalClient // bounded: its calls return soon when Redis is frozen
	Name    string                // of the cache
	Handler Handler
	Logger  *slog.Logger // nil: slog.Default()
}

// A Bus connects the pods of a cache.
type Bus struct {
	cfg  Config
	stop context.CancelFunc // ends run
	done chan struct{}      // closed when run has returned
}

// Open returns a bus that subscribes, and keeps subscribing, in the background. The caller closes it.
func Open(cfg Config) *Bus {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	ctx, stop := context.WithCancel(context.Background())
	b := &Bus{cfg: cfg, stop: stop, done: make(chan struct{})}
	go b.run(ctx)
	return b
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

// Publish appends m to the journal and broadcasts it. nil means that both happened; after an error either may have.
func (b *Bus) Publish(ctx context.Context, m Message) error {
	payload, err := encode(m)
	if err != nil {
		return err
	}
	err = publishScript.Run(ctx, b.cfg.Client, b.headKeys(), newLineage(), b.key(""), payload, journalCapacity).Err()
	if err != nil {
		return fmt.Errorf("bus: publish: %w", err)
	}
	return nil
}

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

// head is the place of the last published message. It makes a lineage where there is none, so that the first message of a
// cache is no gap to those who listen.
func (b *Bus) head(ctx context.Context) (frame, error) {
	ctx, cancel := context.WithTimeout(ctx, maxSilence*idle)
	defer cancel()
	reply, err := headScript.Run(ctx, b.cfg.Client, b.headKeys(), newLineage()).Slice()
	if err != nil {
		return frame{}, fmt.Errorf("bus: read the head: %w", err)
	}
	lineage, _ := reply[0].(string)
	n, _ := reply[1].(int64)
	return frame{lineage: lineage, n: uint64(n)}, nil
}

func (b *Bus) headKeys() []string { return []string{b.key(":head"), b.key(":journal")} }

func (b *Bus) key(suffix string) string { return b.cfg.Name + ":{bus}" + suffix }

func newLineage() string {
	var b [lineageLen / 2]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
