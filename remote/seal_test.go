package remote_test

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-cache/tandem/remote"
)

// goldenKey is where the sealed golden envelope lies.
const goldenKey = "storefront:orders:account:acc_001"

var goldenNonce = [12]byte([]byte("once and only"[:12]))

// testKey is 32 bytes that only tests take for a key.
func testKey(id uint32) []byte { return bytes.Repeat([]byte{byte(id)}, remote.KeyLen) }

func testKeys(ids ...uint32) map[uint32][]byte {
	keys := make(map[uint32][]byte)
	for _, id := range ids {
		keys[id] = testKey(id)
	}
	return keys
}

func newKeyring(t testing.TB, current uint32, ids ...uint32) *remote.Keyring {
	t.Helper()
	ring, err := remote.NewKeyring(current, testKeys(ids...))
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// goldenSealed is compressed, then encrypted.
func goldenSealed(t testing.TB, ring *remote.Keyring) *remote.Envelope {
	t.Helper()
	e := goldenCompressed()
	if err := ring.SealWith(e, goldenKey, goldenNonce); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestOpenBringsBackWhatWasSealed(t *testing.T) {
	ring := newKeyring(t, 7, 7)
	e := golden()
	e.KeyID = 0
	want := *e
	if err := ring.Seal(e, goldenKey); err != nil {
		t.Fatal(err)
	}
	if e.KeyID != 7 || bytes.Contains(e.Payload, want.Payload) {
		t.Errorf("key %d, payload %q: not encrypted", e.KeyID, e.Payload)
	}
	if err := ring.Seal(e, goldenKey); err == nil {
		t.Error("encrypted twice: no error")
	}
	b, err := e.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	found := bytes.Clone(b)
	back, err := remote.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := ring.Open(back, goldenKey); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, back); diff != "" {
		t.Errorf("opened (-want +got):\n%s", diff)
	}
	if !bytes.Equal(b, found) {
		t.Error("Open wrote into what it was given")
	}
}

func TestNoncesDiffer(t *testing.T) {
	ring := newKeyring(t, 1, 1)
	seen := make(map[string]bool)
	for range 100 {
		e := &remote.Envelope{Payload: []byte("payload")}
		if err := ring.Seal(e, goldenKey); err != nil {
			t.Fatal(err)
		}
		seen[string(e.Payload[:12])] = true
	}
	if len(seen) != 100 {
		t.Errorf("%d nonces in 100 values", len(seen))
	}
}

// What is copied to another key, cut, or changed in any byte does not open.
func TestAlteredDoesNotOpen(t *testing.T) {
	ring := newKeyring(t, 7, 7, 8)
	good, err := goldenSealed(t, ring).AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	open := func(b []byte, key string) error {
		e, err := remote.Decode(b)
		if err != nil {
			return err
		}
		return ring.Open(e, key)
	}
	if err := open(good, goldenKey); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"", "storefront:orders:account:acc_002", "storefront:orders:total:acc_001", "other:orders:account:acc_001", goldenKey + ":x"} {
		if err := open(good, key); !errors.Is(err, remote.ErrSealed) {
			t.Errorf("at %q: got %v; want ErrSealed", key, err)
		}
	}
	for at := range good {
		for bit := range 8 {
			b := bytes.Clone(good)
			b[at] ^= 1 << bit
			if err := open(b, goldenKey); !errors.Is(err, remote.ErrSealed) && !errors.Is(err, remote.ErrUnreadable) {
				t.Errorf("bit %d of byte %d: got %v; want ErrSealed", bit, at, err)
			}
		}
	}
	for n := range good {
		if err := open(good[:n], goldenKey); !errors.Is(err, remote.ErrUnreadable) {
			t.Errorf("cut to %d bytes: got %v; want ErrUnreadable", n, err)
		}
	}
	for name, change := range map[string]func(e *remote.Envelope){
		"a higher tick":        func(e *remote.Envelope) { e.Tick++ },
		"a later expiry":       func(e *remote.Envelope) { e.Hard = e.Hard.Add(time.Hour) },
		"no soft expiry":       func(e *remote.Envelope) { e.Soft = time.Time{} },
		"a later write":        func(e *remote.Envelope) { e.Written = e.Written.Add(time.Hour) },
		"another load time":    func(e *remote.Envelope) { e.LoadTime *= 2 },
		"another schema":       func(e *remote.Envelope) { e.Schema++ },
		"another codec":        func(e *remote.Envelope) { e.Codec = "json" },
		"another token":        func(e *remote.Envelope) { e.Token[3]++ },
		"not compressed":       func(e *remote.Envelope) { e.Compressed = false },
		"another key's number": func(e *remote.Envelope) { e.KeyID = 8 },
		"a tag less":           func(e *remote.Envelope) { e.Names = e.Names[1:] },
		"another tag":          func(e *remote.Envelope) { e.Names[1].Text += "0" },
		"a tag's higher tick":  func(e *remote.Envelope) { e.Names[1].Tick++ },
		"a payload cut":        func(e *remote.Envelope) { e.Payload = e.Payload[:len(e.Payload)-1] },
		"hardly any payload":   func(e *remote.Envelope) { e.Payload = e.Payload[:27] },
		"no payload":           func(e *remote.Envelope) { e.Payload = nil },
		"an unknown key":       func(e *remote.Envelope) { e.KeyID = 9 },
		"no key":               func(e *remote.Envelope) { e.KeyID = 0 },
	} {
		e, err := remote.Decode(good)
		if err != nil {
			t.Fatal(err)
		}
		change(e)
		if err := ring.Open(e, goldenKey); !errors.Is(err, remote.ErrSealed) {
			t.Errorf("%s: got %v; want ErrSealed", name, err)
		}
	}
}

func TestKeyringRefusesBadKeys(t *testing.T) {
	secret := bytes.Repeat([]byte("s"), 31)
	ring := newKeyring(t, 1, 1)
	e := &remote.Envelope{Payload: []byte("payload")}
	if err := ring.Seal(e, goldenKey); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		current uint32
		keys    map[uint32][]byte
		want    []string
	}{
		"none":          {1, nil, []string{"the current key is 1"}},
		"no current":    {2, testKeys(1), []string{"the current key is 2"}},
		"0":             {0, testKeys(0), []string{"the number 0"}},
		"0 beside good": {1, testKeys(0, 1), []string{"the number 0"}},
		"0 as current":  {0, testKeys(1), []string{"the current key is 0"}},
		"short ones":    {4, map[uint32][]byte{2: secret, 3: {}}, []string{"key 2 has 31 bytes", "key 3 has 0 bytes", "the current key is 4"}},
	} {
		_, err := remote.NewKeyring(test.current, test.keys)
		for _, part := range test.want {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: got %v; want %q", name, err, part)
			}
		}
		if err != nil && strings.Contains(err.Error(), "sss") {
			t.Errorf("%s: the error shows a key", name)
		}
		if err := ring.Replace(test.current, test.keys); err == nil {
			t.Errorf("%s: replaced", name)
		}
	}
	if err := ring.Open(e, goldenKey); err != nil {
		t.Errorf("after replacements that were refused: %v", err)
	}
}

// Neither a ring nor its address, in a config that somebody logs, shows a key.
func TestKeyringDoesNotShowItsKeys(t *testing.T) {
	ring := newKeyring(t, 1, 1)
	config := struct{ Keys *remote.Keyring }{ring}
	for _, text := range []string{fmt.Sprintf("%v %+v %#v", ring, ring, ring), fmt.Sprintf("%v %+v %#v", config, config, config)} {
		if strings.Contains(text, "1 1 1 1") || strings.Contains(text, "0x1, 0x1") || strings.Contains(text, "01010101") {
			t.Errorf("a key shows: %.200s", text)
		}
	}
}

// Keys that pods replace one after the other, in three steps, while all of them seal and open.
func TestReplaceInThreeSteps(t *testing.T) {
	pods := []*remote.Keyring{newKeyring(t, 1, 1), newKeyring(t, 1, 1), newKeyring(t, 1, 1)}
	var wg sync.WaitGroup
	var rounds atomic.Int64
	stop := make(chan struct{})
	for _, writer := range pods {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				e := &remote.Envelope{Payload: []byte("payload")}
				if err := writer.Seal(e, goldenKey); err != nil {
					t.Error(err)
				}
				for _, reader := range pods {
					found := *e
					if err := reader.Open(&found, goldenKey); err != nil {
						t.Error(err)
					}
				}
				rounds.Add(1)
			}
		})
	}
	for _, step := range []struct {
		current uint32
		ids     []uint32
	}{{1, []uint32{1, 2}}, {2, []uint32{1, 2}}} {
		for _, pod := range pods {
			for before := rounds.Load(); rounds.Load() < before+10; { // the others go on
				runtime.Gosched()
			}
			if err := pod.Replace(step.current, testKeys(step.ids...)); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(stop)
	wg.Wait()
	old := &remote.Envelope{Payload: []byte("payload")}
	if err := newKeyring(t, 1, 1).Seal(old, goldenKey); err != nil {
		t.Fatal(err)
	}
	if err := pods[0].Replace(2, testKeys(2)); err != nil {
		t.Fatal(err)
	}
	if err := pods[0].Open(old, goldenKey); !errors.Is(err, remote.ErrSealed) {
		t.Errorf("with a key that is gone: got %v; want ErrSealed", err)
	}
	if old.KeyID != 1 {
		t.Error("a value that did not open was changed")
	}
}

func FuzzUnpack(f *testing.F) {
	ring := newKeyring(f, 7, 7)
	sealed, err := goldenSealed(f, ring).AppendTo(nil)
	if err != nil {
		f.Fatal(err)
	}
	plain, err := goldenCompressed().AppendTo(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add(plain)
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := remote.Decode(b)
		if err != nil {
			return
		}
		if e.KeyID != 0 {
			switch err := ring.Open(e, goldenKey); {
			case bytes.Equal(b, sealed) != (err == nil):
				t.Fatalf("opened other bytes, or did not open the good ones: %v", err)
			case err == nil:
			case !errors.Is(err, remote.ErrSealed):
				t.Fatalf("got %v; want ErrSealed", err)
			default:
				e.KeyID = 0 // go on with the ciphertext
			}
		}
		const limit = 1000
		if !e.Compressed {
			return
		}
		if err := e.Decompress(limit); err != nil && !errors.Is(err, remote.ErrUnreadable) {
			t.Fatalf("got %v; want ErrUnreadable", err)
		} else if err == nil && len(e.Payload) > limit {
			t.Fatalf("%d bytes; at most %d", len(e.Payload), limit)
		}
	})
}
