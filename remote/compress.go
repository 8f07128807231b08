package remote

import (
	"fmt"

	"github.com/klauspost/compress/s2"
)

// Compress makes the payload an s2 block, if that is smaller, and says whether it is. It comes after the codec and before [Keyring.Seal].
func (e *Envelope) Compress() bool {
	if e.Compressed || e.KeyID != 0 {
		return e.Compressed
	}
	if block := s2.Encode(nil, e.Payload); len(block) < len(e.Payload) {
		e.Payload, e.Compressed = block, true
	}
	return e.Compressed
}

// Decompress makes the payload what the codec gave; one that is not compressed stays as it is. A payload that is no s2 block, or one of
// more than limit bytes, is an [ErrUnreadable]. A block says how long it is: on its word no more than limit is allocated.
func (e *Envelope) Decompress(limit int) error {
	if !e.Compressed {
		return nil
	}
	if e.KeyID != 0 {
		return fmt.Errorf("%w: encrypted", ErrUnreadable)
	}
	size, err := s2.DecodedLen(e.Payload)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	if size > limit {
		return fmt.Errorf("%w: %d bytes decompressed; at most %d", ErrUnreadable, size, limit)
	}
	payload, err := s2.Decode(make([]byte, size), e.Payload)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	e.Payload, e.Compressed = payload, false
	return nil
}
