package tier_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/remote"
	"github.com/tandem-cache/tandem/tier"
)

type invoice struct {
	At   time.Time
	Meta map[string]any
	Note string `msgpack:"-"`
}

// A pod that loads a value has the same as those that read it from L2: in the same zone, with the same types, without what is lost.
func TestLoadedValueIsThatOfOtherPods(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	at := time.Date(2026, 5, 1, 1, 0, 0, 5, time.FixedZone("east", 9*3600))
	open := func() *tier.Space[*invoice] {
		c := openCache(t, tier.Config{Redis: connect(t, addr), RemoteTimeout: 2 * time.Second})
		return newSpace(t, c, tier.SpaceConfig[*invoice]{
			Name: "test:invoice", Strategy: tier.CDC("feed"), AllowLoss: []string{"Note"},
			Load: func(context.Context, string) (*invoice, error) {
				return &invoice{At: at, Meta: map[string]any{"n": 300, "of": []any{1, "a", at}}, Note: "mine"}, nil
			},
		})
	}
	a, b := open(), open()
	for _, id := range []string{"k", "l"} {
		for range 2 { // as it was loaded, and from L1
			mine, err := a.Get(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			storedAt(t, connect(t, addr), "shop:test:invoice:"+id)
			others, err := b.Entry(t.Context(), id)
			if err != nil || others.Tier == tier.TierSource {
				t.Fatalf("got %+v, %v; want it without a load", others, err)
			}
			if got, want := fmt.Sprintf("%#v %v", mine.Meta, mine.At), fmt.Sprintf("%#v %v", others.Value.Meta, others.Value.At); got != want || mine.Note != "" {
				t.Errorf("the pod that loaded has %s %s; others have %s", got, mine.Note, want)
			}
			if mine.At.Location() != time.UTC || !mine.At.Equal(at) {
				t.Errorf("the time is %v; want %v", mine.At, at.UTC())
			}
		}
	}
	v, err := a.SetWith(t.Context(), "k", func(context.Context) (*invoice, error) { return &invoice{At: at, Note: "set"}, nil })
	if err != nil || v.Note != "set" {
		t.Fatal(v, err)
	}
	if mine, err := a.Get(t.Context(), "k"); err != nil || mine.At.Location() != time.UTC || mine.Note != "" {
		t.Errorf("after a Set the pod has %+v, %v; want what others have", mine, err)
	}
}

func TestNewSpaceRefusesWhatItsCodecLoses(t *testing.T) {
	c := openCache(t, tier.Config{})
	type price struct{ cents int64 } //nolint:unused // the type is what is looked at
	type line struct {
		Price price
		SKU   string
	}
	type order struct {
		Lines []line
		Paid  chan bool
	}
	cfg := tier.SpaceConfig[*order]{Name: "test:order", Strategy: tier.CDC("feed")}
	open := func(allow ...string) error {
		cfg.AllowLoss = allow
		_, err := tier.NewSpace(c, cfg)
		return err
	}
	for _, codec := range []remote.Codec{nil, remote.JSON{}} {
		cfg.Codec = codec
		wantError(t, open(), "Lines[].Price.cents (unexported")
		wantError(t, open(), "Paid (a chan cannot be written)")
		wantError(t, open(), "SpaceConfig.AllowLoss")
		wantError(t, open("Lines[].Price"), "Paid")
		wantError(t, open("Paid"), "Lines[].Price.cents")
		wantError(t, open("Lines[].Pri", "Paid"), "Lines[].Price.cents")
		wantError(t, open(""), "empty path")
	}
	if err := open("Lines[].Price", "Paid"); err != nil {
		t.Error(err)
	}
	cfg.Name = "test:any"
	if err := open(tier.AllowAnyLoss); err != nil {
		t.Error(err)
	}
}

// forgetful is a codec of a user's own that loses a field, which nothing can tell from the type.
type forgetful struct{ remote.JSON }

func (forgetful) Name() string { return "forget" }

func (forgetful) CheckType(any) error { return nil }

func (forgetful) Normalizes(any) bool { return false }

func (c forgetful) Encode(v any) ([]byte, error) {
	if r, ok := v.(rated); ok && r.Rate > 1 {
		r.Rate = 1
		v = r
	}
	return c.JSON.Encode(v)
}

type rated struct {
	Rate float64
	Name string
}

// A change that only some values show is logged once, counted, and in health; from then on this pod has what others have.
func TestChangedValueIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log syncBuffer
		c, err := tier.Open(t.Context(), tier.Config{Name: "shop", Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close(context.Background()) }()
		rate := 1.0
		s := newSpace(t, c, tier.SpaceConfig[rated]{
			Name: "test:rate", Strategy: tier.TTL(time.Hour), Codec: forgetful{},
			Load: func(_ context.Context, id string) (rated, error) { return rated{rate, id}, nil },
		})
		get := func(id string) rated {
			t.Helper()
			v, err := s.Get(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		for i := range 100 {
			get(fmt.Sprint("good", i))
		}
		if n := metric(t, c, "tandem_changed_values_total", "changed"); n != 0 {
			t.Errorf("%v changes of values that did not change", n)
		}
		time.Sleep(time.Second) // the first ones are over: one a second
		rate = 5
		for i := range 100 {
			if got := get(fmt.Sprint("bad", i)); got.Rate != 1 {
				t.Fatalf("value %d is %+v; want what other pods get", i, got)
			}
		}
		if n := metric(t, c, "tandem_changed_values_total", "changed"); n != 1 {
			t.Errorf("compared %v changed values in one instant; want 1", n)
		}
		time.Sleep(time.Second)
		get("later")
		if n := strings.Count(log.String(), "path=Rate"); n != 1 {
			t.Errorf("told %d times; want once:\n%s", n, log.String())
		}
		h := c.Health(t.Context())
		if diff := cmp.Diff([]string{"Rate"}, h.Spaces[0].Changed); diff != "" || !strings.Contains(fmt.Sprint(h.Warnings), "test:rate") {
			t.Errorf("health says %v, %s", h.Warnings, diff)
		}
	})
}

// oneWay encodes and does not decode.
type oneWay struct{ remote.JSON }

func (oneWay) Name() string { return "oneway" }

func (oneWay) Decode([]byte, any) error { return errors.New("an unknown form") }

// A value that no pod can read is in L1 of the pod that loaded it and not in L2; the log tells once a minute.
func TestUndecodableValueIsTold(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	var log syncBuffer
	c := openCache(t, tier.Config{Redis: connect(t, addr), RemoteTimeout: 2 * time.Second, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	loads := 0
	s := newSpace(t, c, tier.SpaceConfig[rated]{
		Name: "test:rate", Strategy: tier.CDC("feed"), Codec: oneWay{},
		Load: func(_ context.Context, id string) (rated, error) { loads++; return rated{1, id}, nil },
	})
	for range 3 {
		for i := range 50 {
			if v, err := s.Get(t.Context(), fmt.Sprint(i)); err != nil || v.Rate != 1 {
				t.Fatal(v, err)
			}
		}
	}
	if n := metric(t, c, "tandem_refused_fills_total", "decode"); n != 50 || loads != 50 {
		t.Errorf("%v refused of %d loads; want 50 each", n, loads)
	}
	if n := strings.Count(log.String(), "each pod loads it for itself"); n != 1 || !strings.Contains(log.String(), "an unknown form") {
		t.Errorf("told %d times; want once:\n%s", n, log.String())
	}
	if w := fmt.Sprint(c.Health(t.Context()).Warnings); !strings.Contains(w, "test:rate did not decode") {
		t.Errorf("health says %s", w)
	}
}

// What another pod has written, and this one can't read, is told as well.
func TestUndecodableValueOfAnotherPodIsTold(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	client := connect(t, addr)
	a := openCache(t, tier.Config{Redis: connect(t, addr), RemoteTimeout: 2 * time.Second})
	writer := newSpace(t, a, tier.SpaceConfig[string]{
		Name: "test:rate", Strategy: tier.CDC("feed"), Load: func(context.Context, string) (string, error) { return "no number", nil },
	})
	var log syncBuffer
	b := openCache(t, tier.Config{Redis: connect(t, addr), RemoteTimeout: 2 * time.Second, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	reader := newSpace(t, b, tier.SpaceConfig[map[string]int]{
		Name: "test:rate", Strategy: tier.CDC("feed"), Load: func(context.Context, string) (map[string]int, error) { return nil, nil },
	})
	for _, id := range []string{"k", "l"} {
		if _, err := writer.Get(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		storedAt(t, client, "shop:test:rate:"+id)
		if _, err := reader.Get(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(log.String(), "each pod loads it for itself"); n != 1 || !strings.Contains(log.String(), "test:rate:k") {
		t.Errorf("told %d times; want once, with the key:\n%s", n, log.String())
	}
}

func TestSpaceConfigRoundTrip(t *testing.T) {
	at := time.Date(2026, 5, 1, 1, 0, 0, 5, time.FixedZone("east", 9*3600))
	cfg := tier.SpaceConfig[*invoice]{AllowLoss: []string{"Note"}}
	back, err := cfg.RoundTrip(&invoice{At: at, Note: "mine", Meta: map[string]any{"n": "1"}})
	if err != nil || back.At.Location() != time.UTC || back.Note != "" {
		t.Errorf("got %+v, %v; want it without the note, in UTC", back, err)
	}
	_, err = cfg.RoundTrip(&invoice{Meta: map[string]any{"n": 1}})
	wantError(t, err, "Meta[] (int became int8)")
	if _, err := (tier.SpaceConfig[*invoice]{AllowLoss: []string{"Note", "Meta"}}).RoundTrip(&invoice{Meta: map[string]any{"n": 1}}); err != nil {
		t.Error(err)
	}
	_, err = (tier.SpaceConfig[*invoice]{}).RoundTrip(nil)
	wantError(t, err, "Note")
	if v, err := (tier.SpaceConfig[any]{}).RoundTrip(nil); v != nil || err != nil {
		t.Errorf("nil comes back as %v, %v", v, err)
	}
	_, err = (tier.SpaceConfig[any]{}).RoundTrip(map[int]string{1: "a"})
	wantError(t, err, "decode")
	_, err = (tier.SpaceConfig[json.RawMessage]{Codec: remote.JSON{}}).RoundTrip(json.RawMessage(`{"a": 1}`))
	wantError(t, err, "another length") // it comes back compact
}

// syncBuffer is a log that goroutines share.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
