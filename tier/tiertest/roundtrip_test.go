package tiertest_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/remote"
	"github.com/tandem-cache/tandem/tier"
	"github.com/tandem-cache/tandem/tier/tiertest"
)

type shipment struct {
	ID   string
	Sent time.Time
	Meta map[string]any
}

// Values of one's own type, as other pods get them.
func ExampleRoundTrip() {
	asTest(func(t testing.TB) {
		cfg := tier.SpaceConfig[shipment]{}
		tiertest.RoundTrip(t, cfg, shipment{}, shipment{ID: "shp_1", Sent: time.Now(), Meta: map[string]any{"by": "air"}})
		tiertest.RoundTrip(t, cfg, shipment{ID: "shp_2", Meta: map[string]any{"parcels": 3}})
		cfg.Codec = remote.JSON{}
		tiertest.RoundTrip(t, cfg, shipment{ID: "shp_\xff"})
	})
	// Output:
	// tiertest: value 0: tier: round trip: the codec msgpack does not bring back all of a tiertest_test.shipment: Meta[] (int became int8)
	// tiertest: value 0: tier: round trip: remote: encode tiertest_test.shipment: a text is not valid UTF-8, and JSON would replace what is not: use MsgPack, or []byte
}

// A reader gets what other pods will, and the test hears of a difference.
func TestReadersGetWhatTheCodecGivesBack(t *testing.T) {
	inner := &recorder{exampleTB: exampleTB{}}
	cache := tiertest.Open(inner, tier.Config{})
	zone := time.FixedZone("east", 9*3600)
	sent := time.Date(2026, 5, 1, 3, 0, 0, 0, zone)
	s, err := tier.NewSpace(cache, tier.SpaceConfig[shipment]{
		Name: "test:shipment", Strategy: tier.TTL(time.Minute),
		Load: func(context.Context, string) (shipment, error) {
			return shipment{Sent: sent, Meta: map[string]any{"n": 1}}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		got, err := s.Get(t.Context(), "k")
		if err != nil || got.Meta["n"] != int8(1) || got.Sent.Format(time.DateOnly) != "2026-04-30" {
			t.Errorf("got %+v, %v; want what another pod gets", got, err)
		}
	}
	for _, f := range inner.cleanups {
		f()
	}
	if want := "values of test:shipment come back from their codec changed at Meta[]"; len(inner.errors) != 1 || !strings.Contains(inner.errors[0], want) {
		t.Errorf("the test heard %q; want once: %s", inner.errors, want)
	}
}

// recorder keeps the errors that a test would fail with.
type recorder struct {
	exampleTB
	errors []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}
