package tier

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/tandem-cache/tandem/local"
	"github.com/tandem-cache/tandem/remote"
)

// The defaults of a [SpaceConfig].
const (
	DefaultLoadTimeout = 10 * time.Second
	DefaultNegativeTTL = 30 * time.Second
)

// SpaceConfig describes a space. Name and Strategy are required.
//
// Values of type V go to other pods, and through L2 back to this one, as Codec writes them; by default in msgpack. NewSpace refuses a type of
// which the codec would lose a part, such as an unexported field, and AllowLoss allows it. Where a codec gives values back in a form of its own
// (times in UTC, what an interface held as a map, a slice or a number), all pods have what it gave back, the one that loaded too. The first
// values of a space, and later one a second, are compared with what comes back: a change is logged once for its path and shows in health.
// docs/values.md has a table of what survives. A value that does not encode is returned and not cached, with Redis or without; one that points
// to itself must not be cached.
type SpaceConfig[V any] struct {
	// Name reads domain:type, as in orders:account. Health groups spaces by domain. Unique in a cache.
	Name string

	// Bucket is the space's name in its domain's health. Empty: the type.
	Bucket string

	// Strategy says what keeps entries true: CDC, TTL or Hybrid.
	Strategy Strategy

	// Load reads one value from the source. It runs under a context of its own that outlives the caller's, keeps its values
	// and ends after LoadTimeout: Load must end with it. One that goes on keeps its place of MaxLoads, and until it has ended a further read
	// that would load its entry gets [ErrStillRunning]. Its result is shared: nobody may change it afterwards. An error that is [ErrNotFound] is remembered, see
	// NegativeTTL; others are not. It must not wait for Close, which waits for it. nil: LoadMany loads,
	// of one identifier; without that, only GetWith does.
	Load func(ctx context.Context, id string) (V, error)

	// LoadMany reads the values of several identifiers at once, at most 512, for GetMany. It runs as Load does, and takes one place of
	// MaxLoads. An error that it returns is that of all identifiers which it has neither set nor failed; what it has set is returned, and not
	// stored unless the error is [ErrNotFound]. nil: GetMany loads each by itself.
	LoadMany func(ctx context.Context, b *Batch[V]) error

	// LoadTimeout bounds a load, and before it the wait for a place behind MaxLoads and for another pod's load. The reads inside a load
	// count towards it, and each may wait for half its own LoadTimeout and then load. Zero: DefaultLoadTimeout.
	LoadTimeout time.Duration

	// NegativeTTL is how long it is remembered that the source has no value, and never longer than the strategy's TTL. What would outdate
	// a value outdates that, too: an insert, if its feed's route or an Invalidate names the key, or an object that the loader depends
	// on. Zero: DefaultNegativeTTL.
	NegativeTTL time.Duration

	// Schema is the version of V. Raise it when old and new pods could not read each other's values: each then sees the
	// other's as misses.
	Schema uint32

	// Codec writes and reads values: remote.MsgPack{}, remote.JSON{}, remote.Raw{}, protobuf.Codec{} of the module remote/protobuf, or one
	// of your own. Pods with another codec see each other's values as misses. nil: remote.MsgPack{}.
	Codec remote.Codec

	// AllowLoss are the paths of what Codec may lose or change: such as "Price.cents", or "Lines[].note" in a slice; a path covers what is
	// below it, AllowAnyLoss covers all. Readers get what comes back, also on the pod that loaded the value. Empty: NewSpace refuses a type
	// that does not come back whole, with the paths.
	AllowLoss []string

	// CompressOver is the encoded size in bytes above which a value is compressed (s2) in L2, if that makes it smaller. Zero:
	// DefaultCompressOver. NoCompression: never. Compressed values are read whatever it is.
	CompressOver int

	// MaxValueBytes is the encoded size above which a value is returned and not cached, with Redis or without: it is counted
	// (tandem_refused_fills_total, reason size) and logged, at most once a minute for a space. A larger value in L2 is a miss. Zero:
	// DefaultMaxValueBytes.
	MaxValueBytes int

	// Cost returns how many bytes of memory a value takes, for Config.L1Bytes; what an entry takes besides is added. It runs in a goroutine of
	// the cache, for each value that comes into L1. nil: values are measured, with all that they refer to, large ones by a sample of their
	// elements.
	Cost func(V) int64

	// Clone returns a copy that shares no memory which its caller may change. With it each reader gets a copy of its own, to do with
	// as it likes; it gets whatever Load may return, nil too, and runs in the reader's goroutine. nil: readers share the value, and
	// must not change it (Config.DetectMutation finds those who do).
	Clone func(V) V
}

func (cfg SpaceConfig[V]) withDefaults() (SpaceConfig[V], error) {
	_, kind, _ := strings.Cut(cfg.Name, ":")
	cfg.Bucket = cmp.Or(cfg.Bucket, kind)
	cfg.LoadTimeout = cmp.Or(cfg.LoadTimeout, DefaultLoadTimeout)
	cfg.NegativeTTL = cmp.Or(cfg.NegativeTTL, DefaultNegativeTTL)
	cfg = cfg.withValueDefaults()
	errs := []error{checkSpaceName(cfg.Name), cfg.Strategy.check()}
	if err := checkWord("bucket", cfg.Bucket); err != nil && errs[0] == nil {
		errs = append(errs, fmt.Errorf("SpaceConfig.Bucket: %w", err))
	}
	if strings.HasPrefix(cfg.Name, "cdc:") {
		errs = append(errs, errors.New(`the domain "cdc" is taken by health's /health/cdc/{feed}: choose another`))
	}
	if cfg.Bucket == "invalidations" {
		errs = append(errs, errors.New(`SpaceConfig.Bucket: "invalidations" is taken by health: choose another`))
	}
	errs = append(errs, cfg.checkValues()...)
	if cfg.LoadTimeout < 0 {
		errs = append(errs, fmt.Errorf("SpaceConfig.LoadTimeout is %s: it must be positive", cfg.LoadTimeout))
	}
	if cfg.NegativeTTL < 0 {
		errs = append(errs, fmt.Errorf("SpaceConfig.NegativeTTL is %s: it must be positive", cfg.NegativeTTL))
	}
	return cfg, errors.Join(errs...)
}

// A Space is a family of entries of one type with one strategy. Its methods may be called from any goroutine.
type Space[V any] struct {
	core    *space
	load    loader    // nil without SpaceConfig.Load and LoadMany
	careful bool      // value does more than hand out what is there, or V is an interface, which a tombstone fits
	clone   func(V) V // nil: readers share
}

// NewSpace adds a space to a cache. All pods must give a space the same strategy. After Close its error is [ErrClosed].
func NewSpace[V any](c *Cache, cfg SpaceConfig[V]) (*Space[V], error) {
	if c == nil {
		return nil, fmt.Errorf("tier: space %s: the cache is nil", shown(cfg.Name))
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("tier: space %s: %w", shown(cfg.Name), err)
	}
	core := &space{
		cache: c, name: cfg.Name, bucket: cfg.Bucket, strategy: cfg.Strategy,
		loadMany: eraseMany(cfg.LoadMany), loadTimeout: cfg.LoadTimeout, negativeTTL: cfg.NegativeTTL, schema: cfg.Schema,
		format: newFormat(cfg), cost: eraseCost(cfg.Cost),
		spaceName: local.NewName(SpaceName(cfg.Name), 0),
	}
	for _, feed := range cfg.Strategy.feeds {
		core.ofFeeds = append(core.ofFeeds, local.NewName(feedName+feed, 0))
	}
	core.trips.keeps.Store(core.format.normalizes || c.cfg.CheckRoundTrip)
	if err := c.addSpace(core); err != nil {
		return nil, err
	}
	s := &Space[V]{core: core, load: erase(cfg.Load), clone: cfg.Clone, careful: cfg.Clone != nil || c.cfg.DetectMutation || reflect.TypeFor[V]().Kind() == reflect.Interface}
	if s.load == nil && core.loadMany != nil {
		s.load = core.loadMany.one
	}
	return s, nil
}

func eraseCost[V any](cost func(V) int64) func(any) int64 {
	if cost == nil {
		return nil
	}
	return func(value any) int64 {
		v, _ := value.(V) // a nil interface stays one
		return cost(v)
	}
}

// erase forgets a loader's type.
func erase[V any](load func(context.Context, string) (V, error)) loader {
	if load == nil {
		return nil
	}
	return func(ctx context.Context, id string) (any, error) { return load(ctx, id) }
}

// Get returns the value of id from L1, from L2, or from the space's loader; many callers share one load. The value is shared, unless
// there is a SpaceConfig.Clone: do not change it. An L1 hit does not look at ctx, unless loads are under way, and allocates nothing.
//
// Its error is the loader's, wrapped; [ErrNotFound], also remembered; a [PanicError]; ctx's, when the caller leaves before the load ends;
// [ErrCycle]; [ErrStillRunning]; or [ErrClosed]. A Redis that fails is no error.
//
// A Get inside a loader hands to the entry being loaded all that its own entry depends on, and what is left of its life. After one that
// fails, but for ErrNotFound, the entry being loaded is not stored.
func (s *Space[V]) Get(ctx context.Context, id string) (V, error) {
	if s.core.cache.inLoad(ctx) {
		return s.miss(ctx, id, s.load)
	}
	if e := s.core.hit(id); e != nil {
		if v, ok := e.Value.(V); ok && !s.careful { // written out: the compiler does not inline value
			return v, nil
		}
		return s.value(e)
	}
	return s.miss(ctx, id, s.load)
}

// GetWith is Get with a loader of its own. Callers of one identifier share whichever load comes first.
func (s *Space[V]) GetWith(ctx context.Context, id string, load func(ctx context.Context, id string) (V, error)) (V, error) {
	if !s.core.cache.inLoad(ctx) {
		if e := s.core.hit(id); e != nil {
			return s.value(e)
		}
	}
	return s.miss(ctx, id, erase(load))
}

func (s *Space[V]) miss(ctx context.Context, id string, load loader) (v V, err error) {
	if load == nil {
		return v, s.core.noLoader(id)
	}
	read := s.core.read
	if s.core.cache.inLoad(ctx) {
		read = s.core.nested
	}
	e, _, err := read(ctx, id, load)
	if err != nil {
		return v, err
	}
	return s.value(e)
}

func (sp *space) noLoader(id string) error {
	return fmt.Errorf("tier: get %s: no loader: set SpaceConfig.Load or LoadMany, or give one to GetWith", shown(sp.key(id)))
}

// value is what a reader gets of an entry.
func (s *Space[V]) value(e *local.Entry) (v V, err error) {
	if gone, ok := e.Value.(*absent); ok {
		return v, gone.err
	}
	v, _ = e.Value.(V) // a nil interface stays one
	if s.careful {
		s.core.checkUnchanged(e)
		if s.clone != nil {
			v = s.clone(v)
		}
	}
	return v, nil
}

// Peek returns the value of id if L1 or L2 has a valid one. It never loads or stores, counts neither as hit nor as miss, and a
// Redis that fails has nothing. Inside a loader it hands over what it finds, as Get does, and without that the
// key: an invalidation of it outdates what was made without it.
func (s *Space[V]) Peek(ctx context.Context, id string) (v V, ok bool) {
	at := s.core.cache.now()
	e := s.core.peek(ctx, id)
	if d := s.core.cache.dependenciesOf(ctx); d != nil {
		d.peeked(s.core, id, e, at)
	}
	if e == nil {
		return v, false
	}
	v, err := s.value(e)
	return v, err == nil
}

// Invalidate outdates the entries of ids on every pod. When it returns nil, no read that starts later on this pod returns an
// older value, nor on any other pod once it has heard of it, which takes milliseconds. After an error call it again.
func (s *Space[V]) Invalidate(ctx context.Context, ids ...string) error {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = Key(s.core.name, id)
	}
	return s.core.cache.Invalidate(ctx, names...)
}

// Flush outdates every entry of the space on every pod. It costs as much as invalidating one.
func (s *Space[V]) Flush(ctx context.Context) error {
	return s.core.cache.Invalidate(ctx, SpaceName(s.core.name))
}

// space is a Space without its type.
type space struct {
	cache       *Cache
	name        string
	bucket      string
	number      uint32
	strategy    Strategy
	feeds       []*feedState // as strategy.feeds
	loadMany    manyLoader   // nil: none
	loadTimeout time.Duration
	negativeTTL time.Duration
	schema      uint32
	format      format
	cost        func(any) int64 // SpaceConfig.Cost; nil: values are measured
	spaceName   local.Name      // made once: every entry has it
	ofFeeds     []local.Name    // the same, of its feeds
	trips       roundTrips
	tooLarge    sometimes
	unstorable  sometimes
	undecodable sometimes
	sizes       meanSize            // of its values in L2
	usual       usualTime           // from asking for a lease until its value is in L2
	entities    entitySet           // what its loaders have depended on
	strayed     sync.Once           // logs the first dependency that came too late
	loads       *semaphore.Weighted // its share of Cache.loads, and
	lone        *semaphore.Weighted // of Cache.lone
	stuck       stuck
	stats       spaceStats
}

// addSpace gives sp its number and its place in a domain.
func (c *Cache) addSpace(sp *space) error {
	name, _, _ := strings.Cut(sp.name, ":")
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flights.isClosed() {
		return fmt.Errorf("tier: space %q: %w", sp.name, ErrClosed)
	}
	if c.byName[sp.name] != nil {
		return fmt.Errorf("tier: space %q: the cache has a space of this name already: open a space once and share it", sp.name)
	}
	d := c.domainLocked(name)
	for _, other := range d.spaces {
		if other.bucket == sp.bucket {
			return fmt.Errorf("tier: space %q: SpaceConfig.Bucket %q is taken by %q in the same domain", sp.name, sp.bucket, other.name)
		}
	}
	sp.number = uint32(len(c.spaces))
	sp.loads, sp.lone = semaphore.NewWeighted(share(c.cfg.MaxLoads)), semaphore.NewWeighted(share(maxLone(c.cfg.MaxLoads)))
	c.several.Store(sp.number > 0)
	sp.stats.init(c, sp)
	d.spaces = append(d.spaces, sp)
	c.spaces = append(c.spaces, sp)
	c.byName[sp.name] = sp
	for _, feed := range sp.strategy.feeds {
		sp.feeds = append(sp.feeds, c.addFeedLocked(feed))
	}
	return nil
}

// feedNames are the feeds that cover the space.
func (sp *space) feedNames() []string { return sp.strategy.feeds }

func (sp *space) key(id string) string { return sp.name + ":" + id }

// names are what an entry of id stands on, all at tick.
func (sp *space) names(id string, tick uint64, tags []remote.Name) []local.Name {
	names := make([]local.Name, 0, 2+len(sp.ofFeeds)+len(tags))
	names = append(names, local.NewName(Key(sp.name, id), tick), sp.spaceName.At(tick))
	for _, feed := range sp.ofFeeds {
		names = append(names, feed.At(tick))
	}
	for _, tag := range tags {
		names = append(names, local.NewName(tag.Text, tag.Tick))
	}
	return names
}
