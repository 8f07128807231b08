package remote

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/vmihailenco/msgpack/v5"
)

// MaxCodecName is how many bytes a codec's name has at most: what the envelope has room for.
const MaxCodecName = 8

// AbsentCodec stands in an envelope without a value. No codec may be called so.
const AbsentCodec = "absent"

// A Codec turns values into bytes and back. Its methods are called from many goroutines at once. An error or a panic of Encode
// costs the cache the value, of Decode a load; neither reaches a reader.
type Codec interface {
	// Name goes into the envelope of every value: a value of another name is a miss. 1 to 8 letters, digits, '_', '-', '.'; it
	// stays the same as long as older bytes decode. "msgpack", "json", "raw", "protobuf" are taken, "absent" is refused.
	Name() string

	// Encode returns v's bytes. They may share v's memory: nobody changes either afterwards.
	Encode(v any) ([]byte, error)

	// Decode reads what Encode gave into the new value that v points to, which must share no memory with payload. Broken bytes
	// are an error.
	Decode(payload []byte, v any) error
}

// A TypeChecker is a Codec that does not take every type. CheckType is asked once for a space, with a pointer to its type. Its error is a
// [LossError] where values are written and do not all come back as they were: a space may allow that.
type TypeChecker interface {
	CheckType(v any) error
}

// CheckCodec says why c cannot be the codec of values of the type that v points to.
func CheckCodec(c Codec, v any) error {
	name := c.Name()
	wrong := func(c rune) bool {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		return !letter && c != '_' && c != '-' && c != '.'
	}
	switch {
	case name == "" || len(name) > MaxCodecName || strings.ContainsFunc(name, wrong):
		return fmt.Errorf("the codec's name %.128q: 1 to %d letters, digits, '_', '-' and '.'", name, MaxCodecName)
	case name == AbsentCodec:
		return fmt.Errorf("the codec's name %q is taken", name)
	}
	if t, ok := c.(TypeChecker); ok {
		return t.CheckType(v)
	}
	return nil
}

// MsgPack is the default codec. It writes exported fields, and the numbers of each field's own type. Times come back in UTC, on every pod;
// what an interface held comes back as a map, a slice, or the smallest type of number that holds it. Types with a pair of methods
// EncodeMsgpack and DecodeMsgpack, MarshalMsgpack, MarshalBinary or MarshalText with their counterparts write themselves; MarshalJSON is not
// called. CheckType refuses what would be lost.
type MsgPack struct{}

// Name is "msgpack".
func (MsgPack) Name() string { return "msgpack" }

// CheckType returns a [LossError] that names what does not come back.
func (MsgPack) CheckType(v any) error { return msgpackRules.check(v) }

// Normalizes reports whether there are times or interfaces in the type.
func (MsgPack) Normalizes(v any) bool { return inspect(msgpackRules, v).normalizes }

// Encode returns v in msgpack.
func (MsgPack) Encode(v any) ([]byte, error) {
	b, err := msgpack.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("remote: encode %T: %w", v, err)
	}
	return b, nil
}

// Decode reads msgpack, and sets all times to UTC.
func (MsgPack) Decode(payload []byte, v any) error {
	d := msgpack.GetDecoder() // not Unmarshal, which starts a goroutine for each type of pointer and never ends it
	d.Reset(bytes.NewReader(payload))
	err := d.Decode(v)
	msgpack.PutDecoder(d)
	if err != nil {
		return fmt.Errorf("remote: decode %T: %w", v, err)
	}
	toUTC(v)
	return nil
}

// JSON is the codec of encoding/json: larger and slower than [MsgPack], and readable by anybody who looks into Redis. Times keep their
// offset; what an interface held comes back as a map, a slice or a float64. CheckType refuses what would be lost, Encode a text that is
// not UTF-8.
type JSON struct{}

// Name is "json".
func (JSON) Name() string { return "json" }

// CheckType returns a [LossError] that names what does not come back.
func (JSON) CheckType(v any) error { return jsonRules.check(v) }

// Normalizes reports whether there are times or interfaces in the type.
func (JSON) Normalizes(v any) bool { return inspect(jsonRules, v).normalizes }

var errNotUTF8 = errors.New("a text is not valid UTF-8, and JSON would replace what is not: use MsgPack, or []byte")

// Encode returns v in JSON.
func (JSON) Encode(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err == nil && replacesBytes(b) {
		err = errNotUTF8
	}
	if err != nil {
		return nil, fmt.Errorf("remote: encode %T: %w", v, err)
	}
	return b, nil
}

// replacesBytes reports whether json.Marshal has put a replacement character for bytes that are not UTF-8. It writes that as an escape,
// and one that was in the text as it is.
func replacesBytes(b []byte) bool {
	for {
		at := bytes.Index(b, []byte(`\ufffd`))
		if at < 0 {
			return false
		}
		slashes := 0
		for slashes < at && b[at-slashes-1] == '\\' {
			slashes++
		}
		if slashes%2 == 0 { // else the backslash is the end of an escaped one
			return true
		}
		b = b[at+1:]
	}
}

// Decode reads JSON.
func (JSON) Decode(payload []byte, v any) error {
	if err := json.Unmarshal(payload, v); err != nil {
		return fmt.Errorf("remote: decode %T: %w", v, err)
	}
	return nil
}

// Raw is the codec of values that are bytes already: of type []byte or string, and no other. A nil slice comes back empty.
type Raw struct{}

// Name is "raw".
func (Raw) Name() string { return "raw" }

var errNotRaw = errors.New("the codec raw takes []byte and string only")

// CheckType refuses all but *[]byte and *string.
func (Raw) CheckType(v any) error {
	switch v.(type) {
	case *[]byte, *string:
		return nil
	}
	return fmt.Errorf("%w: not what a %T points to", errNotRaw, v)
}

// Encode returns v's bytes, a slice's without a copy.
func (Raw) Encode(v any) ([]byte, error) {
	switch v := v.(type) {
	case []byte:
		return v, nil
	case string:
		return []byte(v), nil
	}
	return nil, fmt.Errorf("remote: encode %T: %w", v, errNotRaw)
}

// Decode copies payload.
func (Raw) Decode(payload []byte, v any) error {
	switch v := v.(type) {
	case *[]byte:
		*v = append([]byte{}, payload...)
	case *string:
		*v = string(payload)
	default:
		return fmt.Errorf("remote: decode %T: %w", v, errNotRaw)
	}
	return nil
}
