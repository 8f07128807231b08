package tier

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tandem-cache/tandem/remote"
)

// AllowAnyLoss is a SpaceConfig.AllowLoss that covers every path: whatever the codec makes of a value is right.
const AllowAnyLoss = "*"

// allowedLosses are the paths of a SpaceConfig.AllowLoss.
type allowedLosses []string

func (a allowedLosses) check() error {
	if slices.Contains(a, "") {
		return errors.New(`SpaceConfig.AllowLoss has an empty path: "." is the value itself, and tier.AllowAnyLoss every path`)
	}
	return nil
}

// covers reports whether a path, or what it is a part of, is allowed.
func (a allowedLosses) covers(path string) bool {
	return slices.ContainsFunc(a, func(allowed string) bool {
		rest, ok := strings.CutPrefix(path, allowed)
		return allowed == AllowAnyLoss || ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

// left returns the losses that are not allowed.
func (a allowedLosses) left(losses []remote.Loss) []remote.Loss {
	return slices.DeleteFunc(slices.Clone(losses), func(l remote.Loss) bool { return a.covers(l.Path) })
}

// judge returns what CheckType said of a type, without what is allowed.
func (a allowedLosses) judge(err error) error {
	lost, ok := errors.AsType[*remote.LossError](err)
	if !ok {
		return err
	}
	left := &remote.LossError{Codec: lost.Codec, Type: lost.Type, Losses: a.left(lost.Losses)}
	if len(left.Losses) == 0 {
		return nil
	}
	return fmt.Errorf("%w. Other pods would get another value: change the type, take another SpaceConfig.Codec, or allow it by its path in SpaceConfig.AllowLoss", left)
}

// RoundTrip returns what other pods get of v: what the space's Codec makes of it and reads back. Its error names the paths that come back
// changed and are not in AllowLoss, or says why nothing comes back; or what is wrong with the Codec and the type, as [NewSpace] does. It is
// for tests of one's own types; [tiertest.RoundTrip] is built on it.
//
// [tiertest.RoundTrip]: https://pkg.go.dev/github.com/tandem-cache/tandem/tier/tiertest#RoundTrip
func (cfg SpaceConfig[V]) RoundTrip(v V) (back V, err error) {
	cfg = cfg.withValueDefaults()
	if err := errors.Join(cfg.checkValues()...); err != nil {
		return back, fmt.Errorf("tier: round trip: %w", err)
	}
	sp := &space{format: newFormat(cfg)}
	payload, err := sp.encode(v)
	if err != nil {
		return back, fmt.Errorf("tier: round trip: %w", err)
	}
	got, err := sp.decode(payload)
	if err != nil {
		return back, fmt.Errorf("tier: round trip: %w", err)
	}
	back, _ = got.(V) // a nil interface stays one
	if changes := sp.format.changes(v, got, payload); len(changes) > 0 {
		err = fmt.Errorf("tier: round trip: %w", &remote.LossError{Codec: sp.format.name, Type: fmt.Sprintf("%T", v), Losses: changes})
	}
	return back, err
}

// changes returns where a value that came back from its payload differs, apart from what is allowed. A message of protobuf has hidden fields
// that differ without a change: there the bytes decide.
func (f *format) changes(was, back any, payload []byte) []remote.Loss {
	if _, ok := was.(interface{ ProtoMessage() }); ok {
		if again, err := f.codec.Encode(back); err == nil && string(again) == string(payload) {
			return nil
		}
	}
	return f.allowed.left(remote.Diff(was, back))
}

// How many of a space's values are compared with what comes back: the first ones, and then one a second at most, since what changes may
// depend on the value. A comparison costs about what a read from L2 does.
const (
	firstTrips     = 32
	firstTripBytes = 4 << 20 // of their payloads
	tripTurn       = time.Second
	tripBytes      = 1 << 20 // larger payloads are not compared after the first ones
	maxChanges     = 16      // paths that a space remembers, and logs
)

// roundTrips compares what a space stores with what other pods get of it.
//
// Once a value has come back changed, and from the start for types of which a codec normalizes some values, L1 keeps what came back: all pods
// have the same, if not what the source has.
type roundTrips struct {
	keeps atomic.Bool // L1 keeps what comes back

	trips, bytes atomic.Int64 // compared so far
	next         atomic.Int64 // on the cache's clock: not before that once more

	changed, undecodable counter

	mu    sync.Mutex // guards paths
	paths []string   // that came back changed
}

// due reports whether a payload is compared now.
func (r *roundTrips) due(now time.Duration, size int) bool {
	if r.trips.Load() < firstTrips && r.bytes.Load() < firstTripBytes {
		r.trips.Add(1)
		r.bytes.Add(int64(size))
		return true
	}
	next := r.next.Load()
	return size <= tripBytes && int64(now) >= next && r.next.CompareAndSwap(next, int64(now+tripTurn))
}

// isNew notes a path, and reports whether it is the first change there.
func (r *roundTrips) isNew(path string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.Contains(r.paths, path) || len(r.paths) >= maxChanges {
		return false
	}
	r.paths = append(r.paths, path)
	return true
}

// changedPaths returns the paths noted, in order.
func (r *roundTrips) changedPaths() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(slices.Values(r.paths))
}

// errUndecodable is the reason of a value that no pod can read.
var errUndecodable = errors.New("it encodes, and does not decode")

// readBack returns what L1 keeps of a value that was encoded: the value, or what came back. Its error is for refuseValue: no pod could read the
// payload.
func (sp *space) readBack(id string, value any, payload []byte) (any, error) {
	r := &sp.trips
	compare := sp.cache.cfg.CheckRoundTrip || r.due(sp.cache.now(), len(payload))
	if !compare && !r.keeps.Load() {
		return value, nil
	}
	back, err := sp.decode(payload)
	if err != nil {
		r.undecodable.Inc()
		r.keeps.Store(true) // the next ones are looked at as well
		return value, fmt.Errorf("tier: %w: %w", errUndecodable, err)
	}
	if compare {
		sp.noteChanges(id, sp.format.changes(value, back, payload))
	}
	if r.keeps.Load() {
		return back, nil
	}
	return value, nil
}

func (sp *space) noteChanges(id string, changes []remote.Loss) {
	if len(changes) == 0 {
		return
	}
	sp.trips.changed.Inc()
	sp.trips.keeps.Store(true)
	for _, change := range changes {
		if sp.trips.isNew(change.Path) {
			sp.cache.cfg.Logger.Error("tier: the codec does not bring a value back as it was: all pods use what comes back. Change the type, or name the path in SpaceConfig.AllowLoss",
				"space", sp.name, "codec", sp.format.name, "path", change.Path, "change", change.Why, "key", sp.key(id))
		}
	}
}

// tripWarnings is what health says of values that do not come back.
func (sp *space) tripWarnings() (warnings []string) {
	if paths := sp.trips.changedPaths(); len(paths) > 0 {
		warnings = append(warnings, fmt.Sprintf("values of %s come back from the codec %s changed at %s: all pods use what comes back. Change the type, or name the paths in SpaceConfig.AllowLoss",
			sp.name, sp.format.name, strings.Join(paths, ", ")))
	}
	if n := sp.trips.undecodable.value(); n > 0 {
		warnings = append(warnings, fmt.Sprintf("%d values of %s did not decode from what the codec %s wrote: each pod loads them for itself; the log has the error", n, sp.name, sp.format.name))
	}
	return warnings
}
