package cdc_test

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/tier"
)

var _ cdc.Feed = (*tier.Feed)(nil)

// The cache says that a name is malformed in a way that the follower understands.
func TestMalformedInTier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache, err := tier.Open(t.Context(), tier.Config{Name: "test"})
		if err != nil {
			t.Fatal(err)
		}
		f, err := cache.Feed("orders-feed")
		if err != nil {
			t.Fatal(err)
		}
		follower, stop := run(t, cdc.FollowerConfig{
			Source: source{newWorld(t, batch("not a name"), batch("fine"))},
			Feed:   f,
			Routes: cdc.Routes{"t": {
				Row: func(r cdc.Row) []string {
					if r["name"] == "fine" {
						return []string{tier.Tag("order", "1")}
					}
					return []string{r["name"]}
				},
				All: []string{tier.Entity("order")},
			}},
			Logger: slog.New(slog.DiscardHandler),
		})
		nap(3 * time.Second)
		stop()
		if st := follower.Stats(); st.Poisonous != 1 || st.Invalidated != 2 || st.Position != "2" {
			t.Errorf("got %+v; want one poisonous event, two names, position 2", st)
		}
		if err := cache.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
