package remote

import (
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

// A TypeChecker is a Codec that does not take every type. CheckType is asked once for a space, with a pointer to its type.
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

// MsgPack is the default codec: exported fields only, and what an interface held comes back as a map, a slice or a number.
type MsgPack struct{}

// Name is "msgpack".
func (MsgPack) Name() string { return "msgpack" }

// Encode returns v in msgpack.
func (MsgPack) Encode(v any) ([]byte, error) {
	b, err := msgpack.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("remote: encode %T: %w", v, err)
	}
	return b, nil
}

// Decode reads msgpack.
func (MsgPack) Decode(payload []byte, v any) error {
	if err := msgpack.Unmarshal(payload, v); err != nil {
		return fmt.Errorf("remote: decode %T: %w", v, err)
	}
	return nil
}

// JSON is the codec of encoding/json: larger and slower than [MsgPack], and readable by anybody who looks into Redis.
type JSON struct{}

// Name is "json".
func (JSON) Name() string { return "json" }

// Encode returns v in JSON.
func (JSON) Encode(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("remote: encode %T: %w", v, err)
	}
	return b, nil
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
