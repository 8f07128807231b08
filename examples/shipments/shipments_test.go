package shipments

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/tier"
	"github.com/tandem-cache/tandem/tier/tiertest"
)

// table is a Store over a source that counts and blocks.
type table struct {
	*memory
	rows *tiertest.Source[*Parcel]
}

func (d table) Parcels(ctx context.Context, ids []string) (found []*Parcel, err error) {
	for _, id := range ids {
		p, err := d.rows.Load(ctx, id)
		if err != nil {
			return found, err
		}
		found = append(found, p)
	}
	return found, nil
}

// TestChangeDuringALoad: a parcel that changes while it is read is not kept as it was.
func TestChangeDuringALoad(t *testing.T) {
	cache := tiertest.Open(t, tier.Config{})
	feed := tiertest.NewFeed(t, cache, shipmentsFeed)
	rows := &tiertest.Source[*Parcel]{}
	rows.Put("prc_1", &Parcel{ID: "prc_1", Status: "packed"})
	s, err := New(cache, table{newMemory(), rows}, carriers{})
	if err != nil {
		t.Fatal(err)
	}

	release := rows.Block("prc_1")
	slow := make(chan error)
	go func() {
		_, err := s.Parcel(t.Context(), "prc_1")
		slow <- err
	}()
	rows.AwaitLoads(t, "prc_1", 1) // it has read "packed"
	rows.Put("prc_1", &Parcel{ID: "prc_1", Status: "sent"})
	feed.Change(changed(cdc.Row{"id": "prc_1", "account": "acc_1"})...)
	release()
	if err := <-slow; err != nil {
		t.Fatal(err)
	}

	p, err := s.Parcel(t.Context(), "prc_1")
	if err != nil || p.Status != "sent" {
		t.Errorf("got %+v, %v; want it sent", p, err)
	}
}

// TestSilentFeed: without its feed a parcel is a minute old at most.
func TestSilentFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := tiertest.Open(t, tier.Config{})
		feed := tiertest.NewFeed(t, cache, shipmentsFeed)
		rows := &tiertest.Source[*Parcel]{}
		rows.Put("prc_1", &Parcel{ID: "prc_1", Status: "packed"})
		s, err := New(cache, table{newMemory(), rows}, carriers{})
		if err != nil {
			t.Fatal(err)
		}
		read := func() string {
			p, err := s.Parcel(t.Context(), "prc_1")
			if err != nil {
				t.Fatal(err)
			}
			return p.Status
		}

		read()
		time.Sleep(time.Hour) // no time passes but this
		read()
		if n := rows.Loads("prc_1"); n != 1 {
			t.Errorf("%d loads in an hour; want 1", n)
		}
		feed.Stop()
		rows.Put("prc_1", &Parcel{ID: "prc_1", Status: "sent"}) // and nobody tells
		time.Sleep(tier.DefaultFeedLimit + tier.DefaultFallbackTTL)
		if got := read(); got != "sent" {
			t.Errorf("got %s; want sent", got)
		}
	})
}

// changed is what a change of a parcel outdates.
func changed(row cdc.Row) []string {
	return Routes().Explain(cdc.Event{Entity: "public.parcels", Kind: cdc.Update, Rows: []cdc.Row{row}}).Names
}
