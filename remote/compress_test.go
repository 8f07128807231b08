package remote_test

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/tandem-cache/tandem/remote"
)

// unpacked is what goldenCompressed holds: bytes that repeat.
var unpacked = strings.Repeat("a line of an order, ", 20)

// goldenCompressed has an s2 block written by hand, since encoders of the same format choose differently: the length, a literal of 20 bytes,
// and a copy of 380 from 20 back.
func goldenCompressed() *remote.Envelope {
	e := golden()
	e.KeyID, e.Compressed = 0, true
	e.Payload = binary.AppendUvarint(nil, uint64(len(unpacked)))
	e.Payload = append(e.Payload, 19<<2)
	e.Payload = append(e.Payload, unpacked[:20]...)
	for left := len(unpacked) - 20; left > 0; left -= min(left, 60) {
		e.Payload = append(e.Payload, byte(min(left, 60)-1)<<2|2, 20, 0)
	}
	return e
}

func TestDecompress(t *testing.T) {
	e := goldenCompressed()
	if err := e.Decompress(len(unpacked)); err != nil {
		t.Fatal(err)
	}
	if string(e.Payload) != unpacked || e.Compressed {
		t.Errorf("got %q, compressed %v", e.Payload, e.Compressed)
	}
	if err := e.Decompress(0); err != nil { // it is not compressed
		t.Error(err)
	}
}

func TestCompressBringsBack(t *testing.T) {
	noise := make([]byte, 5000)
	_, _ = rand.Read(noise)
	for name, test := range map[string]struct {
		payload []byte
		smaller bool
	}{
		"nothing": {nil, false},
		"short":   {[]byte("x"), false},
		"text":    {[]byte(unpacked), true},
		"noise":   {noise, false},
	} {
		e := &remote.Envelope{Payload: bytes.Clone(test.payload)}
		if got := e.Compress(); got != test.smaller || e.Compressed != got || test.smaller != (len(e.Payload) < len(test.payload)) {
			t.Errorf("%s: compressed %v to %d of %d bytes; want %v", name, got, len(e.Payload), len(test.payload), test.smaller)
		}
		e.Compress() // once more changes nothing
		if err := e.Decompress(len(test.payload)); err != nil || !bytes.Equal(e.Payload, test.payload) {
			t.Errorf("%s: got %d bytes, %v", name, len(e.Payload), err)
		}
	}
}

// A few bytes that claim to be many cost nothing but an error.
func TestDecompressIsBounded(t *testing.T) {
	e := goldenCompressed()
	if err := e.Decompress(len(unpacked) - 1); !errors.Is(err, remote.ErrUnreadable) {
		t.Errorf("a value of %d bytes at a limit of one less: got %v; want ErrUnreadable", len(unpacked), err)
	}
	claim := binary.AppendUvarint(nil, 1<<31)
	for name, payload := range map[string][]byte{
		"nothing":       {},
		"a huge claim":  append(claim, 0),
		"a short block": goldenCompressed().Payload[:30],
		"junk":          []byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
	} {
		const runs = 100
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			e := &remote.Envelope{Compressed: true, Payload: payload}
			if err := e.Decompress(1000); !errors.Is(err, remote.ErrUnreadable) {
				t.Fatalf("%s: got %v; want ErrUnreadable", name, err)
			}
		}
		runtime.ReadMemStats(&after)
		allocated := (after.TotalAlloc - before.TotalAlloc) / runs
		if allocated > 8000 {
			t.Errorf("%s: %d bytes allocated", name, allocated)
		}
	}
}
