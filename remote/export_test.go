package remote

import "time"

// What tests need of the table's insides.
const BucketCapacity = bucketCapacity

// BucketOf is the bucket that holds a name.
func BucketOf(name string) int { return bucketOf(name) }

// BucketEndLua is the last step of making a bucket.
var BucketEndLua = bucketEndLua

// SetIndexCapacity bounds the entries of an index.
func (s *Store) SetIndexCapacity(entries int) { s.indexCapacity = entries }

// SealWith is Seal with a nonce of the test's.
func (k *Keyring) SealWith(e *Envelope, entryKey string, nonce [12]byte) error {
	return k.seal(e, entryKey, nonce)
}

// SetIndexLife makes indexes live shorter.
func (s *Store) SetIndexLife(d time.Duration) { s.indexLife = d }
