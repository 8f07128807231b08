package remote_test

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/tandem-cache/tandem/remote"
)

// key would come from where a service keeps its secrets.
func key(id byte) []byte { return bytes.Repeat([]byte{id}, remote.KeyLen) }

func ExampleNewKeyring() {
	ring, err := remote.NewKeyring(1, map[uint32][]byte{1: key(1)})
	fmt.Println(ring != nil, err)
	_, err = remote.NewKeyring(2, map[uint32][]byte{1: key(1)[:16]})
	fmt.Println(err)
	// Output:
	// true <nil>
	// remote: key 1 has 16 bytes: it must have 32
	// remote: the current key is 2, and there is no key of this number
}

// A new key, on a pod that runs. Each step follows when all pods have done the one before.
func ExampleKeyring_Replace() {
	ring, _ := remote.NewKeyring(1, map[uint32][]byte{1: key(1)})
	old := &remote.Envelope{Payload: []byte("a value")}
	ring.Seal(old, "storefront:orders:account:acc_001")
	open := func() error {
		found := *old
		return ring.Open(&found, "storefront:orders:account:acc_001")
	}

	ring.Replace(1, map[uint32][]byte{1: key(1), 2: key(2)}) // every pod can open what key 2 will encrypt
	ring.Replace(2, map[uint32][]byte{1: key(1), 2: key(2)}) // fills take key 2
	fmt.Println(open())
	ring.Replace(2, map[uint32][]byte{2: key(2)}) // when nothing of key 1 is left, or what is left may be a miss
	fmt.Println(errors.Is(open(), remote.ErrSealed))
	// Output:
	// <nil>
	// true
}

// A codec of one's own.
type upper struct{ remote.JSON }

func (upper) Name() string { return "upper" }

func (c upper) Encode(v any) ([]byte, error) {
	b, err := c.JSON.Encode(v)
	return bytes.ToUpper(b), err
}

func ExampleCodec() {
	var c remote.Codec = upper{}
	payload, err := c.Encode("paid")
	fmt.Printf("%s %v\n", payload, err)
	var status string
	err = c.Decode(payload, &status)
	fmt.Println(status, err)
	fmt.Println(remote.CheckCodec(c, &status))
	// Output:
	// "PAID" <nil>
	// PAID <nil>
	// <nil>
}
