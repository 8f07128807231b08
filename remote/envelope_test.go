package remote_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-cache/tandem/remote"
)

var update = flag.Bool("update", false, "write the golden files")

func golden() *remote.Envelope {
	return &remote.Envelope{
		Token:    remote.Token([]byte("0123456789abcdef")),
		KeyID:    7,
		Schema:   3,
		Codec:    "msgpack",
		Written:  time.Date(2025, 11, 18, 10, 30, 0, 0, time.UTC),
		Soft:     time.Date(2025, 11, 18, 10, 30, 45, 0, time.UTC),
		Hard:     time.Date(2025, 11, 18, 10, 31, 0, 0, time.UTC),
		LoadTime: 12345 * time.Microsecond,
		Tick:     1763461800000000,
		Names: []remote.Name{
			{Text: "e:product", Tick: 1763461800000000},
			{Text: "t:product:42", Tick: 1763461799999990},
			{Text: "t:product:43", Tick: 1763461800000010},
		},
		Payload: []byte("payload"),
	}
}

// The bytes of version 1 are what other pods, older and newer, read: they do not change.
func TestEnvelopeBytes(t *testing.T) {
	t.Run("plain", func(t *testing.T) { checkBytes(t, "testdata/envelope.v1.hex", golden()) })
	t.Run("compressed", func(t *testing.T) { checkBytes(t, "testdata/envelope.v1.compressed.hex", goldenCompressed()) })
	t.Run("sealed", func(t *testing.T) {
		checkBytes(t, "testdata/envelope.v1.sealed.hex", goldenSealed(t, newKeyring(t, 7, 7)))
	})
}

func checkBytes(t *testing.T, file string, e *remote.Envelope) {
	t.Helper()
	got, err := e.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, []byte(hex.Dump(got)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), hex.Dump(got)); diff != "" {
		t.Errorf("bytes differ (-want +got):\n%s", diff)
	}
	back, err := remote.Decode(got)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(e, back); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}

func TestUnreadableEnvelopes(t *testing.T) {
	good, err := golden().AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	change := func(at int, b byte) []byte {
		c := bytes.Clone(good)
		c[at] = b
		return c
	}
	for name, b := range map[string][]byte{
		"nothing":         {},
		"a marker":        []byte("M1" + strings.Repeat("x", 100)),
		"a newer version": change(1, 2),
		"unknown flags":   change(18, 2),
		"a time long ago": change(35, 0x80),
		"too many names":  change(71, 0xff),
		"a short payload": good[:len(good)-1],
		"a long payload":  append(bytes.Clone(good), 'x'),
		"a broken name":   change(77, 0xff),
		"a long varint":   slices.Concat(good[:77], []byte{good[77] | 0x80, 0}, good[78:]),
	} {
		if _, err := remote.Decode(b); !errors.Is(err, remote.ErrUnreadable) {
			t.Errorf("%s: got %v; want ErrUnreadable", name, err)
		}
	}
}

func TestEnvelopeLimits(t *testing.T) {
	for name, e := range map[string]*remote.Envelope{
		"names": {Names: make([]remote.Name, remote.MaxNames+1)},
		"codec": {Codec: "ninebytes"},
	} {
		if _, err := e.AppendTo(nil); err == nil {
			t.Errorf("too large %s: no error", name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	good, err := golden().AppendTo(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:80])
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := remote.Decode(b)
		if err != nil {
			if !errors.Is(err, remote.ErrUnreadable) {
				t.Fatalf("got %v; want ErrUnreadable", err)
			}
			return
		}
		again, err := e.AppendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b, again) {
			t.Fatalf("an envelope has two forms: %x and %x", b, again)
		}
	})
}
