package remote

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
)

// KeyLen is the length of a [Keyring]'s keys, in bytes: those of AES-256.
const KeyLen = 32

const (
	nonceLen     = 12
	sealOverhead = nonceLen + 16 // what encryption adds to a payload: the nonce and the tag
)

// ErrSealed says that a payload does not open: it was copied from another key, cut, altered, or encrypted with a key that is not in the
// ring; or it is not encrypted although it should be, or the reverse.
var ErrSealed = errors.New("remote: the payload does not open")

var errNoKeys = errors.New("remote: a keyring without keys: make it with NewKeyring")

// A Keyring encrypts payloads with its current key and opens them with any of its keys. Keys have numbers, which stand in the envelope.
// All methods may be called from any goroutine.
//
// Encryption is AES-256-GCM. What is authenticated along with the payload is the full Redis key (so with the cache's name, the space and
// the identifier) and the envelope up to the payload: a value does not open under another key, nor with its ticks, expiry, schema, codec or
// tags altered. Names are not encrypted: identifiers and tags can be read in Redis, in the bus's messages and in the table. Who may write to
// Redis can delete values, and can put back an older value of the same key, which is then judged by its ticks like any other.
//
// # Limits
//
// Nonces are random. Two values under one key with the same nonce would give away the exclusive or of both, and let others be forged; the
// odds of that stay below 1 in 2^32 up to 2^32 values. Take a new key long before a key has encrypted 2^32 values, in all pods together:
// at 1,000 fills a second they take 49 days.
//
// # Rotation
//
// Each step is done on all pods before the next one begins; none loses a value.
//
//  1. Replace(old, both): every pod can open what the new key will encrypt.
//  2. Replace(new, both): fills take the new key.
//  3. When what the old key encrypted has expired or been refilled, Replace(new, new alone). What is left of it is a miss.
type Keyring struct {
	keys atomic.Pointer[keys]
}

// keys do not change.
type keys struct {
	current uint32
	byID    map[uint32]cipher.AEAD
}

// NewKeyring returns a ring that encrypts with the key numbered current. Each key has [KeyLen] random bytes, and is copied; 0 is no number.
func NewKeyring(current uint32, keys map[uint32][]byte) (*Keyring, error) {
	k := new(Keyring)
	if err := k.Replace(current, keys); err != nil {
		return nil, err
	}
	return k, nil
}

// Replace takes the place of all keys at once, also while pods use the ring. After an error the ring is as before.
func (k *Keyring) Replace(current uint32, byID map[uint32][]byte) error {
	next := &keys{current: current, byID: make(map[uint32]cipher.AEAD, len(byID))}
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(byID)) {
		aead, err := newAEAD(id, byID[id])
		next.byID[id] = aead
		errs = append(errs, err)
	}
	if _, ok := byID[current]; !ok {
		errs = append(errs, fmt.Errorf("remote: the current key is %d, and there is no key of this number", current))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	k.keys.Store(next)
	return nil
}

func newAEAD(id uint32, key []byte) (cipher.AEAD, error) {
	if id == 0 {
		return nil, errors.New("remote: a key with the number 0, which stands for no encryption: number keys from 1")
	}
	if len(key) != KeyLen {
		return nil, fmt.Errorf("remote: key %d has %d bytes: it must have %d", id, len(key), KeyLen)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("remote: key %d: %w", id, err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("remote: key %d: %w", id, err)
	}
	return aead, nil
}

// Seal encrypts e's payload for the Redis key at which e will be stored (see [Store.EntryKey]). It comes last before AppendTo: after it no
// field may change.
func (k *Keyring) Seal(e *Envelope, entryKey string) error {
	var nonce [nonceLen]byte
	_, _ = rand.Read(nonce[:]) // never fails
	return k.seal(e, entryKey, nonce)
}

func (k *Keyring) seal(e *Envelope, entryKey string, nonce [nonceLen]byte) error {
	if e.KeyID != 0 {
		return fmt.Errorf("remote: encrypt %.128q: it is encrypted already, with key %d", entryKey, e.KeyID)
	}
	ring := k.keys.Load() // once: it may be replaced meanwhile
	if ring == nil {
		return errNoKeys
	}
	sealed := *e
	sealed.KeyID = ring.current
	bound, err := sealed.bound(entryKey, len(e.Payload)+sealOverhead)
	if err != nil {
		return err
	}
	payload := make([]byte, nonceLen, len(e.Payload)+sealOverhead)
	copy(payload, nonce[:])
	sealed.Payload = ring.byID[ring.current].Seal(payload, nonce[:], e.Payload, bound)
	*e = sealed
	return nil
}

// Open decrypts e's payload, as it was found at a Redis key, into new memory. Its error is an [ErrSealed], also when e is not encrypted.
func (k *Keyring) Open(e *Envelope, entryKey string) error {
	if k.keys.Load() == nil {
		return fmt.Errorf("%w: %w", ErrSealed, errNoKeys)
	}
	aead := k.keys.Load().byID[e.KeyID]
	switch {
	case aead == nil:
		return fmt.Errorf("%w: key %d (0: not encrypted)", ErrSealed, e.KeyID)
	case len(e.Payload) < sealOverhead:
		return fmt.Errorf("%w: %d bytes", ErrSealed, len(e.Payload))
	}
	bound, err := e.bound(entryKey, len(e.Payload))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSealed, err)
	}
	nonce, ciphertext := e.Payload[:nonceLen], e.Payload[nonceLen:]
	payload, err := aead.Open(nil, nonce, ciphertext, bound)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSealed, err)
	}
	e.Payload, e.KeyID = payload, 0
	return nil
}

// bound is what a payload of a length, nonce included, is bound to: the length of the Redis key, in four bytes, the Redis key, and the
// envelope up to the payload.
func (e *Envelope) bound(entryKey string, payload int) ([]byte, error) {
	b := make([]byte, 0, 4+len(entryKey)+e.headGuess())
	b = binary.BigEndian.AppendUint32(b, uint32(len(entryKey)))
	return e.appendHead(append(b, entryKey...), payload)
}
