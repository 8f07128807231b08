package tier

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/semaphore"

	"github.com/tandem-cache/tandem/bus"
	"github.com/tandem-cache/tandem/local"
	"github.com/tandem-cache/tandem/remote"
)

// The defaults of a [Config].
const (
	DefaultL1Bytes       = 64 << 20
	DefaultRemoteTimeout = 100 * time.Millisecond
	DefaultMaxLoads      = 1024
	DefaultMaxStaleness  = 2 * time.Second
	DefaultFeedLimit     = 30 * time.Second
	DefaultFallbackTTL   = time.Minute
)

// MinMaxStaleness is the lowest Config.MaxStaleness: below, a pause of the garbage collector or the scheduler would cost L1.
const MinMaxStaleness = 100 * time.Millisecond

// ErrClosed is returned by a cache that was closed.
var ErrClosed = errors.New("tier: the cache is closed")

// Config says what a cache needs. Only Name is required.
type Config struct {
	// Name separates caches that share a Redis: every key, channel and counter begins with it. Letters, digits, '_', '-', '.'.
	// Channels know no database numbers: two caches in two databases of one Redis need two names.
	Name string

	// Redis is L2 and the bus: a *redis.Client (also of Sentinel), or a *redis.ClusterClient with ContextTimeoutEnabled and without
	// ReadOnly, RouteByLatency, RouteRandomly.
	// nil: L1 alone, in this process. The caller closes it, after the cache. Without ContextTimeoutEnabled the cache uses a
	// copy of the client with timeouts, which go-redis makes without the client's hooks, and logs a warning: set it.
	Redis redis.UniversalClient

	// L1Bytes bounds the memory that the entries in L1 take: decoded values as they are measured, or as SpaceConfig.Cost says, and 224 bytes an
	// entry. The heap may grow by a quarter more. A full L1 evicts what is used least. Zero: DefaultL1Bytes.
	L1Bytes int64

	// RemoteTimeout bounds each call to Redis, but for those about leases, which may take a second; that of a read
	// counts from when it has a connection. A read whose call fails goes to the loader;
	// in the ten seconds after Open, and until a read was answered in time, it asks for a lease first. Zero: DefaultRemoteTimeout.
	RemoteTimeout time.Duration

	// MaxLoads bounds the loaders that run at once in this pod; further ones wait within their LoadTimeout. Where there are several spaces, one
	// may have half of it, so that its loaders, should they hang, leave the others something: give at least 2. A load begun
	// inside another load does not count. Of loads without a lease, which Redis could not give, a quarter as many run. Zero: DefaultMaxLoads.
	MaxLoads int64

	// MaxStaleness bounds how late this pod's L1 may notice an invalidation made elsewhere, whatever gets lost: every third of it
	// the pod asks Redis for the number of the last broadcast, and L1 answers only while the last such proof is younger than
	// MaxStaleness. Zero: DefaultMaxStaleness. At least MinMaxStaleness.
	MaxStaleness time.Duration

	// FeedLimit is how long a feed may go unheard, unconnected or behind before the spaces it covers fall back to FallbackTTL. A
	// pod may notice MaxStaleness later. Zero: DefaultFeedLimit.
	FeedLimit time.Duration

	// FallbackTTL is how old an entry of a space may be while the feed that covers it is silent: an older one is loaded again.
	// Zero: DefaultFallbackTTL.
	FallbackTTL time.Duration

	// Keys encrypt the values in L2, with their number, so that a key can be exchanged while pods run: see [remote.Keyring]. Give every pod
	// the same. A value that is not encrypted, or does not open, is a miss. nil: values are not encrypted, and encrypted ones are misses.
	// Identifiers, tags and what the bus carries are never encrypted; L1 holds decoded values.
	Keys *remote.Keyring

	// DetectMutation is for tests: each read compares the value with what was stored, and panics with its key when a caller has changed it.
	// It sees what the space's codec writes, costs each read some encodings, and keeps each value's bytes in L1 besides, uncounted.
	DetectMutation bool

	// CheckRoundTrip is for tests: each value that is loaded or set is compared with what its codec gives back, and readers get that, as they
	// will on other pods. A change is logged once for its path, and is in Health; without the option so for some of the values.
	CheckRoundTrip bool

	// Logger hears what no caller can see: lost subscriptions, refused fills. nil: slog.Default().
	Logger *slog.Logger
}

func (cfg Config) withDefaults() (Config, error) {
	cfg.L1Bytes = cmp.Or(cfg.L1Bytes, DefaultL1Bytes)
	cfg.RemoteTimeout = cmp.Or(cfg.RemoteTimeout, DefaultRemoteTimeout)
	cfg.MaxLoads = cmp.Or(cfg.MaxLoads, DefaultMaxLoads)
	cfg.MaxStaleness = cmp.Or(cfg.MaxStaleness, DefaultMaxStaleness)
	cfg.FeedLimit = cmp.Or(cfg.FeedLimit, DefaultFeedLimit)
	cfg.FallbackTTL = cmp.Or(cfg.FallbackTTL, DefaultFallbackTTL)
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	var errs []error
	if err := checkWord("name", cfg.Name); err != nil {
		errs = append(errs, fmt.Errorf("Config.Name: %w", err))
	}
	if cfg.L1Bytes < 0 {
		errs = append(errs, fmt.Errorf("Config.L1Bytes is %d: it must be positive", cfg.L1Bytes))
	}
	if cfg.RemoteTimeout < 0 {
		errs = append(errs, fmt.Errorf("Config.RemoteTimeout is %s: it must be positive", cfg.RemoteTimeout))
	}
	if cfg.MaxStaleness < MinMaxStaleness {
		errs = append(errs, fmt.Errorf("Config.MaxStaleness is %s: at least %s", cfg.MaxStaleness, MinMaxStaleness))
	}
	if cfg.FeedLimit < 0 {
		errs = append(errs, fmt.Errorf("Config.FeedLimit is %s: it must be positive", cfg.FeedLimit))
	}
	if cfg.FallbackTTL < 0 {
		errs = append(errs, fmt.Errorf("Config.FallbackTTL is %s: it must be positive", cfg.FallbackTTL))
	}
	if cfg.MaxLoads < 0 {
		errs = append(errs, fmt.Errorf("Config.MaxLoads is %d: it must be positive", cfg.MaxLoads))
	}
	if cfg.Keys != nil {
		if err := cfg.Keys.Seal(new(remote.Envelope), ""); err != nil {
			errs = append(errs, fmt.Errorf("Config.Keys: %w", err))
		}
	}
	if cfg.Redis != nil {
		bounded, err := remote.Bound(cfg.Redis, cfg.RemoteTimeout)
		if err != nil {
			errs = append(errs, fmt.Errorf("Config.Redis: %w", err))
		}
		cfg.Redis = bounded
	}
	return cfg, errors.Join(errs...)
}

// A Cache is one pod's part of a two-tier cache: its L1, its view of L2, and the bus to the other pods.
// All methods may be called from any goroutine.
type Cache struct {
	cfg   Config
	start time.Time // zero of the monotonic clock

	hookless bool // cfg.Redis is a copy of the caller's client

	guard   *local.Guard
	trusted atomic.Int64 // L1 may answer until this instant of the cache's clock
	pod     remote.Pod   // in the tokens of its loads
	store   *local.Store
	keeper  *keeper
	watcher *watcher
	flights flights
	loads   *semaphore.Weighted
	lone    *semaphore.Weighted // of the loads without a lease
	several atomic.Bool         // there is more than one space
	loading atomic.Int64        // loaders that run

	alone   sync.Mutex    // L1 alone: held while a tick is taken and applied, so that ticks are applied in order
	remote  *remote.Store // nil: L1 alone
	bus     *bus.Bus      // nil: L1 alone
	leases  *remote.Store // the same, for calls that may take leaseTimeout; nil: L1 alone
	desk    desk
	breaker breaker
	prober  *prober                      // nil: L1 alone
	reads   *line[string, remote.Stored] // nil: L1 alone
	judges  *line[[]local.Name, verdict] // nil: L1 alone
	waiters waiters
	outage  outage
	mender  *mender  // nil: L1 alone
	sweeper *sweeper // nil: L1 alone
	noter   *noter   // nil: L1 alone
	trial   *trial   // nil: L1 alone
	synced  chan struct{}
	syncing sync.Once // closes synced

	mu      sync.RWMutex // guards the fields below
	spaces  []*space     // in order of their making; a space's number is its index
	byName  map[string]*space
	domains []*domain
	feeds   map[string]*feedState

	closing sync.Once
	closed  chan struct{}  // closed when Close has done its work
	flying  sync.WaitGroup // flights
	loaders sync.WaitGroup // loaders that a flight may have given up

	stats     cacheStats
	unmatched unmatched // for warnings in health
	outcomes  outcomes  // for Explain
	history   history   // for Explain
}

// Open makes a cache. It talks to Redis in the background and waits at most about a second, and no longer than ctx, for the
// first subscription; Redis being down is no error, reads then go to their loaders. Close the cache when done.
func Open(ctx context.Context, cfg Config) (*Cache, error) {
	given := cfg.Redis
	client := cfg.Redis
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("tier: open: %w", err)
	}
	hooksLost := given != cfg.Redis
	if hooksLost {
		cfg.Logger.Warn("tier: "+hookless, "cache", cfg.Name)
	}
	store, err := local.NewStore(cfg.L1Bytes)
	if err != nil {
		return nil, fmt.Errorf("tier: open: %w", err)
	}
	c := &Cache{
		cfg: cfg, start: time.Now(), hookless: hooksLost,
		guard: local.NewGuard(local.DefaultTableSize), store: store,
		pod:    remote.NewPod(),
		loads:  semaphore.NewWeighted(cfg.MaxLoads),
		lone:   semaphore.NewWeighted(maxLone(cfg.MaxLoads)),
		synced: make(chan struct{}), closed: make(chan struct{}),
		byName: make(map[string]*space), feeds: make(map[string]*feedState),
	}
	c.flights.byKey = make(map[flightKey]*flight)
	c.waiters.byKey = make(map[string]map[chan struct{}]struct{})
	c.outcomes.seed = maphash.MakeSeed()
	c.unmatched.init()
	c.stats.init(cfg.Name)
	c.stats.failing.log, c.stats.failing.cache = cfg.Logger, cfg.Name
	c.stats.start = c.start
	c.stats.heal = func() { c.breaker.answered(c.now()) }
	c.keeper = newKeeper(c)
	if cfg.Redis == nil {
		c.trusted.Store(int64(local.NoExpiry))
		c.watcher = newWatcher(c)
		return c, nil
	}
	c.remote = remote.New(cfg.Redis, cfg.Name)
	patient, _ := remote.Bound(client, c.leaseTimeout()) // withDefaults has found nothing wrong with it
	c.leases = remote.New(patient, cfg.Name)
	c.desk.cache = c
	c.openLines()
	c.mender, c.sweeper, c.trial = newMender(c), newSweeper(c), newTrial(c)
	c.noter = &noter{cache: c, capacity: noteQueue}
	c.prober = newProber(c)
	c.stats.failing.begun = c.trial.failed
	heads, _ := remote.Bound(client, max(cfg.RemoteTimeout, cfg.MaxStaleness/3)) // as long as the bus gives a head
	c.bus = bus.Open(bus.Config{Client: heads, Name: cfg.Name, Handler: listener{c}, MaxStaleness: cfg.MaxStaleness, Logger: cfg.Logger})
	c.awaitSync(ctx)
	c.watcher = newWatcher(c)
	return c, nil
}

// hookless is what a client without ContextTimeoutEnabled costs.
const hookless = "Config.Redis was made without ContextTimeoutEnabled: the cache uses a copy of it with timeouts, and go-redis gives a copy none of " +
	"the client's hooks, such as those of tracing: set redis.Options.ContextTimeoutEnabled"

// awaitSync gives the first subscription a moment, so that a pod that has just started has a working L1.
func (c *Cache) awaitSync(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 1500*time.Millisecond)
	defer cancel()
	select {
	case <-c.synced:
	case <-ctx.Done():
		c.cfg.Logger.Warn("tier: no subscription yet, reads go on without L1", "cache", c.cfg.Name)
	}
}

// Close refuses new reads, cancels the loads under way and waits, for as long as ctx lasts, for all that runs in the
// background. Its error is ctx's, and names the spaces whose loaders ignore their contexts. Twice is fine.
func (c *Cache) Close(ctx context.Context) error {
	c.closing.Do(func() { go c.shutdown() })
	select {
	case <-c.closed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("tier: close: %w%s", ctx.Err(), c.stuckSpaces())
	}
}

// shutdown ends what the cache owns, users first.
func (c *Cache) shutdown() {
	defer close(c.closed)
	c.flights.close()
	c.flying.Wait()
	c.loaders.Wait()
	if c.bus != nil {
		c.desk.close()
		_ = c.bus.Close(context.Background()) // ends soon: its calls are bounded
		c.trial.close()
		c.reads.close()
		c.judges.close()
		c.prober.close()
		c.mender.close()
		c.sweeper.close()
		c.noter.close()
	}
	c.watcher.close()
	c.keeper.close()
	c.store.Close()
}

// now is the cache's monotonic clock.
func (c *Cache) now() time.Duration { return time.Since(c.start) }

// isTrusted says whether everything acknowledged longer than MaxStaleness ago has been applied here.
func (c *Cache) isTrusted() bool { return int64(c.now()) < c.trusted.Load() }

// trustLeft is how long L1 answers without a further proof.
func (c *Cache) trustLeft() time.Duration { return time.Duration(c.trusted.Load()) - c.now() }

// remoteContext bounds one call to Redis.
func (c *Cache) remoteContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, c.cfg.RemoteTimeout)
}
