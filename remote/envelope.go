package remote

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// The kinds of bytes stored at an entry's key, and the version of a value's layout.
const (
	kindValue     = 'V'
	kindMarker    = 'M'
	formatVersion = 1
)

// MaxNames is the highest number of names that an envelope carries.
const MaxNames = math.MaxUint16

// ErrUnreadable says that stored bytes are not an envelope of a version that this build reads.
var ErrUnreadable = errors.New("remote: unreadable envelope")

// An Envelope is a value in Redis with what is needed to judge it. Its bytes, integers big-endian:
//
//	 0  1  'V'                        43  8  soft expiry, Unix µs, 0 for none
//	 1  1  format version, 1          51  8  hard expiry, Unix µs, 0 for none
//	 2 16  token of the load          59  4  load time, µs
//	18  1  flags; 1: compressed       63  8  tick
//	19  4  encryption key id, or 0    71  2  number of names
//	23  4  schema version             73  4  length of the payload
//	27  8  codec, padded with 0       77     names: uvarint length, text, varint (tick of the name − tick)
//	35  8  write time, Unix µs               payload
//
// The payload is what the codec gave; then, with the flag, an s2 block of that; then, with a key id, 12 bytes of nonce and AES-256-GCM's
// ciphertext of that (see [Keyring.Seal]).
//
// Other flags, versions, lengths are unreadable: a newer pod may write them. So are bytes that AppendTo would have written otherwise: an
// envelope has one form.
type Envelope struct {
	Token      Token
	Compressed bool   // the payload is an s2 block
	KeyID      uint32 // encryption key; 0: not encrypted
	Schema     uint32 // version of the value's type, given by the user
	Codec      string // at most MaxCodecName bytes
	Written    time.Time
	Soft       time.Time // when the value turns stale; zero: never
	Hard       time.Time // when the value is gone; zero: never
	LoadTime   time.Duration
	Tick       uint64 // the highest tick heard before the source was read
	Names      []Name // tags, each with its own tick
	Payload    []byte // encoded value; decoding does not copy it
}

const fixedLen = 77

const flagCompressed = 1

// AppendTo appends the envelope's bytes to b. It fails when a field does not fit.
func (e *Envelope) AppendTo(b []byte) ([]byte, error) {
	b, err := e.appendHead(slices.Grow(b, e.headGuess()+len(e.Payload)), len(e.Payload))
	if err != nil {
		return nil, err
	}
	return append(b, e.Payload...), nil
}

// appendHead appends all that comes before a payload of a length.
func (e *Envelope) appendHead(b []byte, payload int) ([]byte, error) {
	if len(e.Names) > MaxNames {
		return nil, fmt.Errorf("remote: an entry with %d names: at most %d are stored", len(e.Names), MaxNames)
	}
	if len(e.Codec) > MaxCodecName {
		return nil, fmt.Errorf("remote: codec %.128q: a codec's name has at most %d bytes", e.Codec, MaxCodecName)
	}
	if payload > math.MaxInt32 {
		return nil, fmt.Errorf("remote: a value of %d bytes: at most %d are stored", payload, math.MaxInt32)
	}
	b = append(b, kindValue, formatVersion)
	b = append(b, e.Token[:]...)
	b = append(b, e.flags())
	b = binary.BigEndian.AppendUint32(b, e.KeyID)
	b = binary.BigEndian.AppendUint32(b, e.Schema)
	var codec [MaxCodecName]byte
	copy(codec[:], e.Codec)
	b = append(b, codec[:]...)
	for _, t := range []time.Time{e.Written, e.Soft, e.Hard} {
		b = binary.BigEndian.AppendUint64(b, uint64(micros(t)))
	}
	b = binary.BigEndian.AppendUint32(b, uint32(min(e.LoadTime.Microseconds(), math.MaxUint32)))
	b = binary.BigEndian.AppendUint64(b, e.Tick)
	b = binary.BigEndian.AppendUint16(b, uint16(len(e.Names)))
	b = binary.BigEndian.AppendUint32(b, uint32(payload))
	for _, n := range e.Names {
		b = binary.AppendUvarint(b, uint64(len(n.Text)))
		b = append(b, n.Text...)
		b = binary.AppendVarint(b, int64(n.Tick-e.Tick))
	}
	return b, nil
}

// headGuess is about how long the head is.
func (e *Envelope) headGuess() int { return fixedLen + 48*len(e.Names) }

func (e *Envelope) flags() byte {
	if e.Compressed {
		return flagCompressed
	}
	return 0
}

// Decode reads an envelope. The payload shares b's memory. Its error is an [ErrUnreadable].
func Decode(b []byte) (*Envelope, error) {
	if len(b) < fixedLen || b[0] != kindValue {
		return nil, fmt.Errorf("%w: not a value", ErrUnreadable)
	}
	if b[1] != formatVersion || b[18]&^flagCompressed != 0 {
		return nil, fmt.Errorf("%w: version %d, flags %#x", ErrUnreadable, b[1], b[18])
	}
	e := &Envelope{
		Token:      Token(b[2:18]),
		Compressed: b[18]&flagCompressed != 0,
		KeyID:      binary.BigEndian.Uint32(b[19:]),
		Schema:     binary.BigEndian.Uint32(b[23:]),
		Codec:      trimZeros(b[27:35]),
		Written:    fromMicros(b[35:]),
		Soft:       fromMicros(b[43:]),
		Hard:       fromMicros(b[51:]),
		LoadTime:   time.Duration(binary.BigEndian.Uint32(b[59:])) * time.Microsecond,
		Tick:       binary.BigEndian.Uint64(b[63:]),
	}
	if e.Tick > MaxTick {
		return nil, fmt.Errorf("%w: tick %d", ErrUnreadable, e.Tick)
	}
	for at := 35; at < 59; at += 8 {
		if b[at]&0x80 != 0 { // before 1970; the zero time has a form of its own
			return nil, fmt.Errorf("%w: broken time", ErrUnreadable)
		}
	}
	names, payload := int(binary.BigEndian.Uint16(b[71:])), uint64(binary.BigEndian.Uint32(b[73:]))
	rest, err := e.decodeNames(b[fixedLen:], names)
	if err != nil {
		return nil, err
	}
	if uint64(len(rest)) != payload {
		return nil, fmt.Errorf("%w: %d bytes of payload; want %d", ErrUnreadable, len(rest), payload)
	}
	e.Payload = rest
	return e, nil
}

func (e *Envelope) decodeNames(b []byte, count int) (rest []byte, err error) {
	if count > len(b)/2 { // a name takes two bytes at least: no allocation on the word of a broken count
		return nil, fmt.Errorf("%w: %d names in %d bytes", ErrUnreadable, count, len(b))
	}
	if count > 0 {
		e.Names = make([]Name, 0, count)
	}
	for range count {
		size, n := binary.Uvarint(b)
		if !minimal(b, n) || size > uint64(len(b)-n) {
			return nil, fmt.Errorf("%w: broken name", ErrUnreadable)
		}
		text := string(b[n : n+int(size)])
		b = b[n+int(size):]
		delta, n := binary.Varint(b)
		if !minimal(b, n) {
			return nil, fmt.Errorf("%w: broken tick of %.128q", ErrUnreadable, text)
		}
		b = b[n:]
		tick := e.Tick + uint64(delta)
		if tick > MaxTick {
			return nil, fmt.Errorf("%w: tick %d of %.128q", ErrUnreadable, tick, text)
		}
		e.Names = append(e.Names, Name{Text: text, Tick: tick})
	}
	return b, nil
}

// minimal says whether b begins with a varint of n bytes that has no shorter form.
func minimal(b []byte, n int) bool { return n == 1 || n > 1 && b[n-1] != 0 }

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(b []byte) time.Time {
	us := int64(binary.BigEndian.Uint64(b))
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

func trimZeros(b []byte) string {
	end := len(b)
	for end > 0 && b[end-1] == 0 {
		end--
	}
	return string(b[:end])
}
