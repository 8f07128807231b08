package tier

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/tandem-cache/tandem/remote"
)

// The defaults of a [SpaceConfig]'s sizes, in bytes of the encoded value. At DefaultCompressOver a list of records loses a third for about a
// microsecond a read; at a quarter of that it loses nothing (BenchmarkPack and BenchmarkUnpack in remote).
const (
	DefaultCompressOver  = 1 << 10
	DefaultMaxValueBytes = 8 << 20
)

// NoCompression is a SpaceConfig.CompressOver that no value is above.
const NoCompression = math.MaxInt

// maxMaxValueBytes is what Redis stores in a string.
const maxMaxValueBytes = 512 << 20

func (cfg SpaceConfig[V]) withValueDefaults() SpaceConfig[V] {
	cfg.Codec = cmp.Or[remote.Codec](cfg.Codec, remote.MsgPack{})
	cfg.CompressOver = cmp.Or(cfg.CompressOver, DefaultCompressOver)
	cfg.MaxValueBytes = cmp.Or(cfg.MaxValueBytes, DefaultMaxValueBytes)
	return cfg
}

// checkValues says what is wrong with the fields that say how values are written.
func (cfg SpaceConfig[V]) checkValues() []error {
	allowed := allowedLosses(cfg.AllowLoss)
	errs := []error{allowed.check()}
	if err := allowed.judge(remote.CheckCodec(cfg.Codec, new(V))); err != nil {
		errs = append(errs, fmt.Errorf("SpaceConfig.Codec: %w", err))
	}
	if cfg.CompressOver < 0 {
		errs = append(errs, fmt.Errorf("SpaceConfig.CompressOver is %d: it must be positive, or tier.NoCompression", cfg.CompressOver))
	}
	if cfg.MaxValueBytes < 0 || cfg.MaxValueBytes > maxMaxValueBytes {
		errs = append(errs, fmt.Errorf("SpaceConfig.MaxValueBytes is %d: at least 1, at most %d, which is what Redis stores", cfg.MaxValueBytes, maxMaxValueBytes))
	}
	return errs
}

// format says how the values of a space are written.
type format struct {
	codec        remote.Codec
	name         string                    // of codec
	decode       func([]byte) (any, error) // by codec, to a new V
	compressOver int
	maxBytes     int
	allowed      allowedLosses // SpaceConfig.AllowLoss
	normalizes   bool          // some values come back in a form of the codec's own, or with a loss that is allowed
}

func newFormat[V any](cfg SpaceConfig[V]) format {
	n, ok := cfg.Codec.(remote.Normalizer)
	return format{
		codec: cfg.Codec, name: cfg.Codec.Name(), compressOver: cfg.CompressOver, maxBytes: cfg.MaxValueBytes,
		allowed: cfg.AllowLoss, normalizes: len(cfg.AllowLoss) > 0 || ok && n.Normalizes(new(V)),
		decode: func(payload []byte) (any, error) {
			var v V
			err := cfg.Codec.Decode(payload, &v)
			return v, err
		},
	}
}

// Why a value is not stored.
var (
	errStale    = errors.New("made from what failed, or has expired")
	errTooMany  = fmt.Errorf("depends on more than %d names", remote.MaxNames)
	errTooLarge = errors.New("larger than SpaceConfig.MaxValueBytes")
)

// encodeLoaded gives an envelope its payload. Its error is for refuseValue.
func (sp *space) encodeLoaded(env *remote.Envelope, r loaded, expires time.Duration) (err error) {
	switch {
	case r.unstable || expires <= sp.cache.now():
		return errStale
	case r.tooMany:
		return errTooMany
	case isAbsent(r.value):
		sp.stats.absent.Inc()
		env.Codec = absentCodec
		return nil
	}
	env.Payload, err = sp.encode(r.value)
	return err
}

// encode returns what the codec makes of a value. Its error is for refuseValue.
func (sp *space) encode(value any) (payload []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("tier: encode %T: panic: %s", value, beginning(fmt.Sprint(r)))
		}
	}()
	payload, err = sp.format.codec.Encode(value)
	if err == nil && len(payload) > sp.format.maxBytes {
		err = fmt.Errorf("tier: %d bytes: %w (%d)", len(payload), errTooLarge, sp.format.maxBytes)
	}
	return payload, err
}

// decode returns the value that a payload was made of.
func (sp *space) decode(payload []byte) (value any, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("tier: decode: panic: %s", beginning(fmt.Sprint(r)))
		}
	}()
	return sp.format.decode(payload)
}

// refuseValue counts and logs a value that is returned and not stored.
func (sp *space) refuseValue(id string, err error) {
	log, why := sp.cache.cfg.Logger, reasonEncode
	switch {
	case errors.Is(err, errStale): // no fault of the value's
		sp.refuse(sp.key(id), reasonStale)
		return
	case errors.Is(err, errTooLarge):
		sp.refuse(sp.key(id), reasonSize)
		if sp.tooLarge.now(sp.cache.now()) {
			log.Warn("tier: a value is too large to be stored, every read loads it", "key", sp.key(id), "error", err)
		}
		return
	case errors.Is(err, errUndecodable):
		sp.refuse(sp.key(id), reasonDecode)
		sp.logUndecodable(id, err)
		return
	case errors.Is(err, errTooMany):
		why = reasonNames
	}
	sp.refuse(sp.key(id), why)
	if !sp.unstorable.now(sp.cache.now()) {
		return
	}
	log.Error("tier: a value cannot be stored, every read loads it", "key", sp.key(id), "error", err)
}

// logUndecodable tells once a minute of a value that no pod can read.
func (sp *space) logUndecodable(id string, err error) {
	if sp.undecodable.now(sp.cache.now()) {
		sp.cache.cfg.Logger.Error("tier: a value does not decode: each pod loads it for itself", "key", sp.key(id), "codec", sp.format.name, "error", err)
	}
}

// pack returns the bytes in L2 of an envelope with a payload from encode: compressed, then encrypted. Callers have their answer by then.
func (sp *space) pack(key string, env *remote.Envelope) ([]byte, error) {
	packed := *env
	if len(packed.Payload) > sp.format.compressOver {
		packed.Compress()
	}
	if c := sp.cache; c.cfg.Keys != nil {
		if err := c.cfg.Keys.Seal(&packed, c.remote.EntryKey(key)); err != nil {
			return nil, err
		}
	}
	return packed.AppendTo(nil)
}

// unpack returns what encode gave for an envelope found at a key, or why there is nothing to be had.
func (sp *space) unpack(key string, env *remote.Envelope) ([]byte, reason) {
	found := *env
	if c := sp.cache; c.cfg.Keys != nil {
		if err := c.cfg.Keys.Open(&found, c.remote.EntryKey(key)); err != nil {
			return nil, reasonSealed
		}
	}
	if found.KeyID != 0 { // there are no keys
		return nil, reasonSealed
	}
	if err := found.Decompress(sp.format.maxBytes); err != nil || len(found.Payload) > sp.format.maxBytes {
		return nil, reasonUnreadable
	}
	return found.Payload, 0
}

// decodeFound returns the value of an envelope found at the key of id, whose payload was unpacked.
func (sp *space) decodeFound(id string, env *remote.Envelope, payload []byte) (any, error) {
	if env.Codec == absentCodec {
		return sp.absent(id), nil
	}
	return sp.decode(payload)
}

// sometimes says yes once a minute.
type sometimes struct{ next atomic.Int64 }

func (s *sometimes) now(at time.Duration) bool {
	next := s.next.Load()
	return int64(at) >= next && s.next.CompareAndSwap(next, int64(at+time.Minute))
}
