package tier_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/remote"
	"github.com/tandem-cache/tandem/tier"
)

// basket has what encodes differently each time: a map, and several of them.
type basket struct {
	Lines  []string
	Counts map[string]int
	Rates  map[string]float64
	Next   *basket
	Placed time.Time
	hidden int
}

func newBasket() *basket {
	b := &basket{Lines: []string{"x"}, Counts: make(map[string]int), Placed: time.Now(), hidden: 1, Next: &basket{Lines: []string{}}}
	for i := range 50 {
		b.Counts[fmt.Sprint(i)] = i
	}
	return b
}

// readPanics says what a read panics with.
func readPanics(read func()) (text string) {
	defer func() {
		if r := recover(); r != nil {
			text = fmt.Sprint(r)
		}
	}()
	read()
	return ""
}

func openBaskets(t *testing.T, addr string, codec remote.Codec, load func(context.Context, string) (*basket, error)) *tier.Space[*basket] {
	t.Helper()
	cfg := tier.Config{RemoteTimeout: 2 * time.Second, DetectMutation: true}
	if addr != "" {
		cfg.Redis = connect(t, addr)
	}
	return newSpace(t, openCache(t, cfg), tier.SpaceConfig[*basket]{Name: "shop:basket", Strategy: tier.CDC("feed"), Codec: codec, Load: load, AllowLoss: []string{"hidden"}})
}

func TestDetectMutation(t *testing.T) {
	for name, change := range map[string]func(b *basket){
		"an element":      func(b *basket) { b.Lines[0] = "y" },
		"a map's value":   func(b *basket) { b.Counts["7"]++ },
		"a map's new key": func(b *basket) { b.Counts["new"] = 0 },
		"what is behind":  func(b *basket) { b.Next.Lines = append(b.Next.Lines, "z") },
		"a time":          func(b *basket) { b.Placed = b.Placed.Add(time.Second) },
		"unencodable now": func(b *basket) { b.Rates = map[string]float64{"x": math.Inf(1)} },
	} {
		t.Run(name, func(t *testing.T) {
			s := openBaskets(t, "", remote.JSON{}, func(context.Context, string) (*basket, error) { return newBasket(), nil })
			for range 20 { // the map's order changes; no caller does
				if _, err := s.Get(t.Context(), "acc_001"); err != nil {
					t.Fatal(err)
				}
			}
			b, err := s.Get(t.Context(), "acc_001")
			if err != nil {
				t.Fatal(err)
			}
			change(b)
			for read, f := range map[string]func(){
				"Get":  func() { _, _ = s.Get(t.Context(), "acc_001") },
				"Peek": func() { s.Peek(t.Context(), "acc_001") },
			} {
				if text := readPanics(f); !strings.Contains(text, `"shop:basket:acc_001"`) || !strings.Contains(text, "SpaceConfig.Clone") {
					t.Errorf("%s: got %q; want a panic with the key and the way out", read, text)
				}
			}
		})
	}
}

// A value that came from L2 is watched like one that was loaded.
func TestDetectMutationOfAValueFromL2(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	load := func(context.Context, string) (*basket, error) { return newBasket(), nil }
	a, b := openBaskets(t, addr, nil, load), openBaskets(t, addr, nil, load)
	if _, err := a.Get(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	storedAt(t, connect(t, addr), "shop:shop:basket:k")
	for range 20 {
		if _, err := b.Get(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
	}
	v, err := b.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	v.Counts["7"]++
	if text := readPanics(func() { _, _ = b.Get(t.Context(), "k") }); !strings.Contains(text, "shop:basket:k") {
		t.Errorf("got %q; want a panic with the key", text)
	}
}

// The codec raw hands out the value's own memory: the bytes to compare with are a copy.
func TestDetectMutationOfRawBytes(t *testing.T) {
	s := newSpace(t, openCache(t, tier.Config{DetectMutation: true}), tier.SpaceConfig[[]byte]{
		Name: "shop:blob", Strategy: tier.CDC("feed"), Codec: remote.Raw{},
		Load: func(context.Context, string) ([]byte, error) { return []byte("bytes"), nil },
	})
	b, err := s.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	b[0] = 'X'
	if text := readPanics(func() { _, _ = s.Get(t.Context(), "k") }); !strings.Contains(text, "shop:blob:k") {
		t.Errorf("got %q; want a panic with the key", text)
	}
}

// What does not equal itself, what is not written, and what does not encode at all raise no false alarm.
func TestDetectMutationRaisesNoFalseAlarm(t *testing.T) {
	s := openBaskets(t, "", nil, func(context.Context, string) (*basket, error) {
		b := newBasket()
		b.Rates = map[string]float64{"a": math.NaN(), "b": math.NaN(), "c": math.Inf(1), "d": 0}
		return b, nil
	})
	f := newSpace(t, openCache(t, tier.Config{DetectMutation: true}), tier.SpaceConfig[func()]{
		AllowLoss: []string{tier.AllowAnyLoss},
		Name:      "shop:func", Strategy: tier.CDC("feed"),
		Load: func(context.Context, string) (func(), error) { return func() {}, nil },
	})
	for range 50 {
		b, err := s.Get(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		b.hidden++
		if _, err := f.Get(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
	}
}

// Without DetectMutation nobody looks.
func TestMutationGoesUnnoticedByDefault(t *testing.T) {
	s := newSpace(t, openCache(t, tier.Config{}), tier.SpaceConfig[[]string]{
		Name: "a:b", Strategy: tier.CDC("feed"),
		Load: func(context.Context, string) ([]string, error) { return []string{"x"}, nil },
	})
	for _, want := range []string{"x", "y"} {
		v, err := s.Get(t.Context(), "k")
		if err != nil || v[0] != want {
			t.Errorf("got %v, %v; want %s", v, err, want)
		}
		v[0] = "y"
	}
}
