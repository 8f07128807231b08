package remote

import (
	"fmt"

	"github.com/vmihailenco/msgpack/v5"
)

// CodecName is the codec of values, as the envelope names it.
const CodecName = "msgpack"

// EncodeValue returns v's payload: msgpack, exported fields only.
func EncodeValue(v any) ([]byte, error) {
	b, err := msgpack.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("remote: encode %T: %w", v, err)
	}
	return b, nil
}

// DecodeValue reads a payload into the value that v points to.
func DecodeValue(payload []byte, v any) error {
	if err := msgpack.Unmarshal(payload, v); err != nil {
		return fmt.Errorf("remote: decode %T: %w", v, err)
	}
	return nil
}
