package tier_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/remote"
	"github.com/tandem-cache/tandem/tier"
)

// storedAt waits until L2 holds a value at a Redis key, and returns it.
func storedAt(t *testing.T, client *redis.Client, key string) []byte {
	t.Helper()
	var raw []byte
	eventually(t, "L2 is filled", func() bool {
		raw, _ = client.Get(t.Context(), key).Bytes()
		return bytes.HasPrefix(raw, []byte("V"))
	})
	return raw
}

func TestCodecsOfASpace(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	client := connect(t, addr)
	a := openCache(t, tier.Config{Redis: connect(t, addr), RemoteTimeout: 2 * time.Second})
	b := openCache(t, tier.Config{Redis: connect(t, addr), RemoteTimeout: 2 * time.Second})
	for _, codec := range []remote.Codec{nil, remote.MsgPack{}, remote.JSON{}, remote.Raw{}, reversed{}} {
		name := "default"
		if codec != nil {
			name = codec.Name()
		}
		t.Run(name, func(t *testing.T) {
			loads := 0
			cfg := tier.SpaceConfig[string]{
				Name: "text:" + name, Strategy: tier.CDC("feed"), Codec: codec,
				Load: func(context.Context, string) (string, error) { loads++; return "a value", nil },
			}
			x, y := newSpace(t, a, cfg), newSpace(t, b, cfg)
			if v, err := x.Get(t.Context(), "k"); v != "a value" || err != nil {
				t.Errorf("loaded %q, %v", v, err)
			}
			env, err := remote.Decode(storedAt(t, client, "shop:text:"+name+":k"))
			if err != nil {
				t.Fatal(err)
			}
			if want := strings.Replace(name, "default", "msgpack", 1); env.Codec != want {
				t.Errorf("stored by codec %q; want %q", env.Codec, want)
			}
			if v, err := y.Get(t.Context(), "k"); v != "a value" || err != nil || loads != 1 {
				t.Errorf("the other pod got %q, %v after %d loads; want the value after 1", v, err, loads)
			}
		})
	}
}

// reversed is a codec of a user's own.
type reversed struct{}

func (reversed) Name() string { return "reversed" }

func (reversed) Encode(v any) ([]byte, error) {
	s, ok := v.(string)
	if !ok {
		return nil, errors.New("not a string")
	}
	b := []byte(s)
	slices.Reverse(b)
	return b, nil
}

func (reversed) Decode(payload []byte, v any) error {
	b := bytes.Clone(payload)
	slices.Reverse(b)
	*v.(*string) = string(b) //nolint:forcetypeassert // tests ask for nothing else
	return nil
}

func TestSpaceRefusesBadValueOptions(t *testing.T) {
	c := openCache(t, tier.Config{})
	type config = tier.SpaceConfig[int]
	for want, cfg := range map[string]config{
		"SpaceConfig.Codec: the codec raw":  {Codec: remote.Raw{}},
		"SpaceConfig.Codec: the codec's":    {Codec: badlyCalled{}},
		"SpaceConfig.CompressOver is -1":    {CompressOver: -1},
		"SpaceConfig.MaxValueBytes is -1":   {MaxValueBytes: -1},
		"SpaceConfig.MaxValueBytes is 9223": {MaxValueBytes: math.MaxInt},
	} {
		cfg.Name, cfg.Strategy = "a:b", tier.CDC("feed")
		_, err := tier.NewSpace(c, cfg)
		wantError(t, err, want)
	}
}

type badlyCalled struct{ remote.JSON }

func (badlyCalled) Name() string { return "absent" }

func TestCompressOver(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	client := connect(t, addr)
	text := strings.Repeat("a line of an order, ", 100)
	for name, test := range map[string]struct {
		over, length int
		compressed   bool
	}{
		"default, above": {0, tier.DefaultCompressOver + 1, true},
		"default, not":   {0, tier.DefaultCompressOver, false},
		"lower":          {100, 101, true},
		"off":            {tier.NoCompression, len(text), false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := client.FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			open := func(over int) *tier.Space[string] {
				c := openCache(t, tier.Config{Redis: connect(t, addr), RemoteTimeout: 2 * time.Second})
				return newSpace(t, c, tier.SpaceConfig[string]{
					Name: "text:page", Strategy: tier.TTL(time.Hour), Codec: remote.Raw{}, CompressOver: over,
					Load: func(context.Context, string) (string, error) { return text[:test.length], nil },
				})
			}
			writer, reader := open(test.over), open(tier.NoCompression)
			if _, err := writer.Get(t.Context(), "k"); err != nil {
				t.Fatal(err)
			}
			raw := storedAt(t, client, "shop:text:page:k")
			env, err := remote.Decode(raw)
			if err != nil {
				t.Fatal(err)
			}
			if env.Compressed != test.compressed || test.compressed != (len(env.Payload) < test.length) {
				t.Errorf("%d bytes stored as %d, compressed %v; want %v", test.length, len(env.Payload), env.Compressed, test.compressed)
			}
			if v, ok := reader.Peek(t.Context(), "k"); !ok || v != text[:test.length] {
				t.Errorf("the other pod got %d bytes, %v", len(v), ok)
			}
		})
	}
}

// A value that is too large is returned, counted, and in neither tier. It is logged once a minute.
func TestMaxValueBytes(t *testing.T) {
	run := func(t *testing.T, cfg tier.Config, wait func()) {
		var log bytes.Buffer
		cfg.Name, cfg.Logger = "shop", slog.New(slog.NewTextHandler(&log, nil))
		c, err := tier.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close(context.Background()) }()
		loads := 0
		s := newSpace(t, c, tier.SpaceConfig[string]{
			Name: "text:page", Strategy: tier.CDC("feed"), Codec: remote.Raw{}, MaxValueBytes: 10,
			Load: func(_ context.Context, id string) (string, error) { loads++; return id, nil },
		})
		for range 3 {
			for _, id := range []string{"ten bytes.", "eleven byte"} {
				if v, err := s.Get(t.Context(), id); v != id || err != nil {
					t.Fatalf("got %q, %v", v, err)
				}
			}
			if _, ok := s.Peek(t.Context(), "eleven byte"); ok {
				t.Error("a value of 11 bytes is cached")
			}
		}
		if loads != 4 {
			t.Errorf("%d loads; want 1 of the value that fits, and 3 of the other", loads)
		}
		if n := metric(t, c, "tandem_refused_fills_total", "size"); n != 3 {
			t.Errorf("counted %v times; want 3", n)
		}
		wait()
		if _, err := s.Get(t.Context(), "eleven byte"); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := 1
		if cfg.Redis == nil {
			want = 2
		}
		if n := strings.Count(log.String(), "text:page:eleven byte"); n != want || !strings.Contains(log.String(), "MaxValueBytes") {
			t.Errorf("logged %d times; want %d:\n%s", n, want, log.String())
		}
	}
	t.Run("L1", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { run(t, tier.Config{}, func() { time.Sleep(time.Minute) }) })
	})
	t.Run("redis", func(t *testing.T) {
		client := connect(t, servertest.StartRedis(t).Addr)
		run(t, tier.Config{Redis: client, RemoteTimeout: 2 * time.Second}, func() {})
		if n := client.Exists(t.Context(), "shop:text:page:eleven byte").Val(); n != 0 {
			t.Error("L2 has the value")
		}
	})
}

// A value in L2 that is larger than this pod takes is a miss: no bytes make a pod allocate more.
func TestMaxValueBytesOfOthers(t *testing.T) {
	for name, over := range map[string]int{"plain": tier.NoCompression, "compressed": 10} {
		t.Run(name, func(t *testing.T) {
			addr := servertest.StartRedis(t).Addr
			open := func(limit int) (*tier.Cache, *tier.Space[string]) {
				c := openCache(t, tier.Config{Redis: connect(t, addr), RemoteTimeout: 2 * time.Second})
				return c, newSpace(t, c, tier.SpaceConfig[string]{
					Name: "text:page", Strategy: tier.CDC("feed"), MaxValueBytes: limit, CompressOver: over,
					Load: func(context.Context, string) (string, error) { return strings.Repeat("x", 1000), nil },
				})
			}
			_, large := open(0)
			c, small := open(100)
			if _, err := large.Get(t.Context(), "k"); err != nil {
				t.Fatal(err)
			}
			storedAt(t, connect(t, addr), "shop:text:page:k")
			if v, err := small.Get(t.Context(), "k"); len(v) != 1000 || err != nil {
				t.Errorf("got %d bytes, %v", len(v), err)
			}
			if dead, loads := metric(t, c, "tandem_dead_entries_total", "unreadable"), metric(t, c, "tandem_loads_total"); dead != 1 || loads != 1 {
				t.Errorf("%v dead, %v loads; want 1 and 1", dead, loads)
			}
		})
	}
}

// Each reader may change the copy that it got, from a load, from L1 or by Peek.
func TestCloneGivesEachReaderItsOwn(t *testing.T) {
	withAndWithout(t, func(t *testing.T, addr string) {
		cfg := tier.Config{RemoteTimeout: 2 * time.Second, DetectMutation: true}
		if addr != "" {
			cfg.Redis = connect(t, addr)
		}
		load := func(context.Context, string) (map[string]int, error) { return map[string]int{"n": 1}, nil }
		s := newSpace(t, openCache(t, cfg), tier.SpaceConfig[map[string]int]{
			Name: "a:b", Strategy: tier.CDC("feed"), Load: load, Clone: maps.Clone[map[string]int],
		})
		reads := map[string]func() (map[string]int, error){
			"Get":     func() (map[string]int, error) { return s.Get(t.Context(), "k") },
			"GetWith": func() (map[string]int, error) { return s.GetWith(t.Context(), "k", load) },
			"Peek": func() (map[string]int, error) {
				m, ok := s.Peek(t.Context(), "k")
				if !ok {
					return nil, errors.New("nothing there")
				}
				return m, nil
			},
		}
		for _, name := range []string{"Get", "Get", "GetWith", "Peek", "Get"} {
			got, err := reads[name]()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[string]int{"n": 1}, got); diff != "" {
				t.Fatalf("%s found what another reader changed (-want +got):\n%s", name, diff)
			}
			got["n"], got["mine"] = 2, 1
		}
	})
}

// A nil that an interface type allows reaches Clone as it is.
func TestCloneOfNil(t *testing.T) {
	s := newSpace(t, openCache(t, tier.Config{}), tier.SpaceConfig[any]{
		Name: "a:b", Strategy: tier.CDC("feed"), Clone: func(v any) any { return v },
		Load: func(context.Context, string) (any, error) { return nil, nil },
	})
	for range 2 {
		if v, err := s.Get(t.Context(), "k"); v != nil || err != nil {
			t.Errorf("got %v, %v; want nil", v, err)
		}
	}
}
