package tiertest

import (
	"testing"

	"github.com/tandem-cache/tandem/tier"
)

// RoundTrip fails the test if one of values does not come back from the codec of cfg as it was, and names the paths, apart from those in
// AllowLoss. Of cfg it looks at the fields Codec, AllowLoss and MaxValueBytes. Give it values with all fields set, and some with none:
//
//	tiertest.RoundTrip(t, ordersConfig, newOrder(), Order{})
func RoundTrip[V any](t testing.TB, cfg tier.SpaceConfig[V], values ...V) {
	t.Helper()
	for i, v := range values {
		if _, err := cfg.RoundTrip(v); err != nil {
			t.Errorf("tiertest: value %d: %v", i, err)
		}
	}
}
