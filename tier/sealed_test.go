package tier_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/remote"
	"github.com/tandem-cache/tandem/tier"
)

// secretKeys are keys that only tests use, by number.
func secretKeys(ids ...uint32) map[uint32][]byte {
	keys := make(map[uint32][]byte)
	for _, id := range ids {
		keys[id] = bytes.Repeat([]byte{byte(id)}, remote.KeyLen)
	}
	return keys
}

func newKeyring(t *testing.T, current uint32, ids ...uint32) *remote.Keyring {
	t.Helper()
	ring, err := remote.NewKeyring(current, secretKeys(ids...))
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// A sealedPod has two spaces of strings. What they load says where it belongs.
type sealedPod struct {
	cache       *tier.Cache
	ring        *remote.Keyring
	rows, other *tier.Space[string]
	loads       atomic.Int64
}

// newSealedPod opens a pod with l1 bytes of L1 or, when that is 0, the default.
func newSealedPod(t *testing.T, addr string, ring *remote.Keyring, l1 int64) *sealedPod {
	t.Helper()
	p := &sealedPod{ring: ring}
	p.cache = openCache(t, tier.Config{Redis: connect(t, addr), RemoteTimeout: 2 * time.Second, Keys: ring, L1Bytes: l1})
	space := func(name string) *tier.Space[string] {
		return newSpace(t, p.cache, tier.SpaceConfig[string]{
			Name: name, Strategy: tier.Hybrid("feed", time.Hour),
			Load: func(ctx context.Context, id string) (string, error) {
				p.loads.Add(1)
				tier.DependsOn(ctx, "row", id)
				return secret(name, id), nil
			},
		})
	}
	p.rows, p.other = space("test:row"), space("test:other")
	return p
}

func secret(space, id string) string { return strings.Repeat("secret of "+space+":"+id+" ", 100) }

func (p *sealedPod) want(t *testing.T, id string) {
	t.Helper()
	if v, err := p.rows.Get(t.Context(), id); err != nil || v != secret("test:row", id) {
		t.Errorf("got %.40q…, %v; want the secret of %q", v, err, id)
	}
}

func TestValuesAreEncryptedInL2(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	p, q := newSealedPod(t, addr, newKeyring(t, 1, 1), 0), newSealedPod(t, addr, newKeyring(t, 1, 1), 0)
	p.want(t, "k")
	raw := storedAt(t, connect(t, addr), "shop:test:row:k")
	if bytes.Contains(raw, []byte("secret")) {
		t.Error("the value can be read in Redis")
	}
	q.want(t, "k")
	if n := q.loads.Load(); n != 0 {
		t.Errorf("%d loads by the pod that found it in L2; want none", n)
	}
}

// A value of another key, another space or another cache, one that was cut or altered, one of an unknown key and one that is not encrypted
// are misses: counted, loaded anew and overwritten, and no error.
func TestSealedValueThatDoesNotOpenIsAMiss(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	client := connect(t, addr)
	const key = "shop:test:row:k"
	writer := newSealedPod(t, addr, newKeyring(t, 1, 1), 0)
	raws := make(map[string][]byte)
	for name, space := range map[string]*tier.Space[string]{"test:row": writer.rows, "test:other": writer.other} {
		for _, id := range []string{"k", "l"} {
			if _, err := space.Get(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			raws[name+":"+id] = storedAt(t, client, "shop:"+name+":"+id)
		}
	}
	good := raws["test:row:k"]
	edit := func(change func(e *remote.Envelope)) []byte {
		e, err := remote.Decode(good)
		if err != nil {
			t.Fatal(err)
		}
		change(e)
		b, err := e.AppendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	plain := edit(func(e *remote.Envelope) {
		if err := writer.ring.Open(e, key); err != nil {
			t.Fatal(err)
		}
	})
	elsewhere := edit(func(e *remote.Envelope) {
		if err := writer.ring.Open(e, key); err != nil {
			t.Fatal(err)
		}
		if err := writer.ring.Seal(e, "other:test:row:k"); err != nil {
			t.Fatal(err)
		}
	})
	unknown := edit(func(e *remote.Envelope) {
		if err := writer.ring.Open(e, key); err != nil {
			t.Fatal(err)
		}
		if err := newKeyring(t, 9, 9).Seal(e, key); err != nil {
			t.Fatal(err)
		}
	})
	for name, test := range map[string]struct {
		raw    []byte
		reason string // "": it is a hit
	}{
		"as it was":                    {good, ""},
		"of another identifier":        {raws["test:row:l"], "sealed"},
		"of another space":             {raws["test:other:k"], "sealed"},
		"of another cache":             {elsewhere, "sealed"},
		"of an unknown key":            {unknown, "sealed"},
		"not encrypted":                {plain, "sealed"},
		"cut":                          {good[:len(good)-1], "unreadable"},
		"cut, and its length adjusted": {edit(func(e *remote.Envelope) { e.Payload = e.Payload[:len(e.Payload)-1] }), "sealed"},
		"empty":                        {edit(func(e *remote.Envelope) { e.Payload = nil }), "sealed"},
		"altered":                      {edit(func(e *remote.Envelope) { e.Payload = bytes.Clone(e.Payload); e.Payload[20]++ }), "sealed"},
		"with a higher tick":           {edit(func(e *remote.Envelope) { e.Tick++ }), "sealed"},
		"with a tag's higher tick":     {edit(func(e *remote.Envelope) { e.Names[0].Tick++ }), "sealed"},
		"without its tags":             {edit(func(e *remote.Envelope) { e.Names = nil }), "sealed"},
		"with a longer life":           {edit(func(e *remote.Envelope) { e.Hard = e.Hard.Add(time.Second) }), "sealed"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := client.Set(t.Context(), key, test.raw, 0).Err(); err != nil {
				t.Fatal(err)
			}
			p := newSealedPod(t, addr, newKeyring(t, 1, 1), 0)
			p.want(t, "k")
			dead, want := 0.0, 0.0
			for _, reason := range []string{"sealed", "unreadable"} {
				dead += metric(t, p.cache, "tandem_dead_entries_total", reason)
			}
			if test.reason != "" {
				want = 1
				if n := metric(t, p.cache, "tandem_dead_entries_total", test.reason); n != 1 {
					t.Errorf("counted %v times as %s; want 1", n, test.reason)
				}
			}
			if n := float64(p.loads.Load()); n != want || dead != want {
				t.Errorf("%v loads, %v dead; want %v each", n, dead, want)
			}
			eventually(t, "it is overwritten", func() bool {
				_, ok := newReader(t, addr).Peek(t.Context(), "k")
				return ok
			})
		})
	}
}

// newReader opens a pod's rows once more, to look into L2.
func newReader(t *testing.T, addr string) *tier.Space[string] {
	return newSealedPod(t, addr, newKeyring(t, 1, 1), 0).rows
}

// An encrypted value is a miss for a pod without keys.
func TestSealedValueWithoutKeysIsAMiss(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	newSealedPod(t, addr, newKeyring(t, 1, 1), 0).want(t, "k")
	storedAt(t, connect(t, addr), "shop:test:row:k")
	p := newSealedPod(t, addr, nil, 0)
	p.want(t, "k")
	if dead, loads := metric(t, p.cache, "tandem_dead_entries_total", "sealed"), p.loads.Load(); dead != 1 || loads != 1 {
		t.Errorf("%v dead, %d loads; want 1 and 1", dead, loads)
	}
}

// keyNumber is the number of the key that encrypted what L2 has at a key; 0 when it has no value.
func keyNumber(t *testing.T, client *redis.Client, key string) uint32 {
	t.Helper()
	raw, err := client.Get(t.Context(), key).Bytes()
	if err != nil {
		return 0
	}
	env, err := remote.Decode(raw)
	if err != nil {
		return 0
	}
	return env.KeyID
}

// Keys are exchanged while pods without an L1 to speak of read at full speed: no read fails, and nothing is loaded but what no key opens at
// the end.
func TestRotateKeysUnderLoad(t *testing.T) {
	const ids = 40
	addr := servertest.StartRedis(t).Addr
	client := connect(t, addr)
	var pods []*sealedPod
	for range 3 {
		pods = append(pods, newSealedPod(t, addr, newKeyring(t, 1, 1), 1)) // every read reads L2
	}
	loads := func() (sum int64) {
		for _, p := range pods {
			sum += p.loads.Load()
		}
		return sum
	}
	dead := func() (sum float64) {
		for _, p := range pods {
			for _, reason := range []string{"sealed", "unreadable"} {
				sum += metric(t, p.cache, "tandem_dead_entries_total", reason)
			}
		}
		return sum
	}
	id := func(i int) string { return fmt.Sprintf("acc_%03d", i%ids) }
	sealedWith := func(key uint32) (n int) {
		for i := range ids {
			if keyNumber(t, client, "shop:test:row:"+id(i)) == key {
				n++
			}
		}
		return n
	}
	for i := range ids {
		pods[0].want(t, id(i))
	}
	eventually(t, "L2 is filled", func() bool { return sealedWith(1) == ids })

	var reads atomic.Int64
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for n, p := range pods {
		for r := range 2 {
			wg.Go(func() {
				for i := n*7 + r*3; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					p.want(t, id(i))
					reads.Add(1)
				}
			})
		}
	}
	defer func() { wg.Wait() }()
	defer close(stop)
	goOn := func() {
		before := reads.Load()
		eventually(t, "reads go on", func() bool { return reads.Load() >= before+4*ids })
	}
	replace := func(current uint32, ids ...uint32) {
		for _, p := range pods {
			goOn() // pods differ for a while
			if err := p.ring.Replace(current, secretKeys(ids...)); err != nil {
				t.Fatal(err)
			}
		}
		goOn()
	}
	check := func(step string, wantLoads int64, wantDead float64) {
		t.Helper()
		if n, d := loads(), dead(); n != wantLoads || d != wantDead {
			t.Errorf("%s: %d loads and %v dead values; want %d and %v", step, n, d, wantLoads, wantDead)
		}
	}
	check("before", ids, 0)
	replace(1, 1, 2)
	check("the new key is known", ids, 0)
	replace(2, 1, 2)
	check("the new key is current", ids, 0)
	if n := sealedWith(1); n != ids {
		t.Errorf("%d of %d values are still the old key's: the test shows nothing", n, ids)
	}

	// Half of the values are refilled, one by one, each by one load. The other half is still the old key's when that goes.
	for i := range ids / 2 {
		if err := pods[0].rows.Invalidate(t.Context(), id(i)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "half is the new key's", func() bool { return sealedWith(2) == ids/2 })
	goOn()
	refilled := loads()
	if refilled < ids+ids/2 {
		t.Errorf("%d loads after %d invalidations; want %d at least", refilled, ids/2, ids+ids/2)
	}
	if d := dead(); d != 0 {
		t.Errorf("%v dead values while both keys are known; want 0", d)
	}
	replace(2, 2)
	eventually(t, "all is the new key's", func() bool { return sealedWith(2) == ids })
	goOn()
	if n := loads() - refilled; n != ids/2 {
		t.Errorf("%d loads when the old key went; want %d, one for each value that was its", n, ids/2)
	}
}

// A Keyring that nobody gave keys is refused, and does not end the process at the first fill.
func TestKeyringWithoutKeysIsRefused(t *testing.T) {
	_, err := tier.Open(t.Context(), tier.Config{Name: "shop", Keys: new(remote.Keyring)})
	wantError(t, err, "Config.Keys", "NewKeyring")
	if err := new(remote.Keyring).Open(&remote.Envelope{KeyID: 1}, "k"); !errors.Is(err, remote.ErrSealed) {
		t.Errorf("got %v; want ErrSealed", err)
	}
}
