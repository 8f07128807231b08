package shipments

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/tier"
)

// memory is a Store that shows its queries.
type memory struct{ rows map[string]Parcel }

func newMemory() *memory {
	return &memory{map[string]Parcel{
		"prc_1": {"prc_1", "acc_1", "swift", "packed"},
		"prc_2": {"prc_2", "acc_1", "swift", "packed"},
		"prc_3": {"prc_3", "acc_2", "turtle", "packed"},
	}}
}

func (m *memory) Parcels(_ context.Context, ids []string) (found []*Parcel, err error) {
	slices.Sort(ids)
	fmt.Println("query: parcels", strings.Join(ids, ", "))
	for _, id := range ids {
		if p, ok := m.rows[id]; ok {
			found = append(found, &p)
		}
	}
	return found, nil
}

func (m *memory) ParcelsOf(_ context.Context, account string) (ids []string, err error) {
	fmt.Println("query: ids of", account)
	for id, p := range m.rows {
		if p.Account == account {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

func (m *memory) SetStatus(_ context.Context, id, status string) (*Parcel, error) {
	p, ok := m.rows[id]
	if !ok {
		return nil, tier.ErrNotFound
	}
	fmt.Println("update:", id)
	p.Status = status
	m.rows[id] = p
	return &p, nil
}

// A mock of carriers: all ask the same.
type carriers struct{}

func (carriers) Quote(_ context.Context, carrier, country string) (*Quote, error) {
	fmt.Println("ask", carrier)
	return &Quote{carrier, country, 1200}, nil
}

// start returns a service over a cache of this process, and its database.
func start(ctx context.Context) (*tier.Cache, *Service, *memory) {
	cache, err := tier.Open(ctx, tier.Config{Name: "shipments"})
	if err != nil {
		panic(err)
	}
	db := newMemory()
	s, err := New(cache, db, carriers{})
	if err != nil {
		panic(err)
	}
	return cache, s, db
}

// show prints a list in a line.
func show(list *ParcelList, err error) {
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(list.Account, ":")
	for _, p := range list.Parcels {
		fmt.Print(" ", p.ID, " ", p.Status)
	}
	fmt.Println()
}

func ExampleService_ParcelsOf() {
	ctx := context.Background()
	cache, s, _ := start(ctx)
	defer cache.Close(ctx)

	show(s.ParcelsOf(ctx, "acc_1"))
	show(s.ParcelsOf(ctx, "acc_1"))
	p, err := s.Parcel(ctx, "prc_2") // the list has brought it
	fmt.Println(p.Status, err)
	// Output:
	// query: ids of acc_1
	// query: parcels prc_1, prc_2
	// acc_1: prc_1 packed prc_2 packed
	// acc_1: prc_1 packed prc_2 packed
	// packed <nil>
}

func ExampleService_Parcel() {
	ctx := context.Background()
	cache, s, db := start(ctx)
	defer cache.Close(ctx)

	for range 2 {
		_, err := s.Parcel(ctx, "prc_9")
		fmt.Println(errors.Is(err, tier.ErrNotFound))
	}
	db.rows["prc_9"] = Parcel{"prc_9", "acc_2", "swift", "packed"}
	inserted := Routes().Explain(cdc.Event{
		Entity: "public.parcels", Kind: cdc.Insert, Rows: []cdc.Row{{"id": "prc_9", "account": "acc_2"}},
	}).Names
	fmt.Println(inserted)
	fmt.Println(cache.Invalidate(ctx, inserted...)) // as the follower does
	p, err := s.Parcel(ctx, "prc_9")
	fmt.Println(p.Status, err)
	// Output:
	// query: parcels prc_9
	// true
	// true
	// [k:shipments:parcel:prc_9 t:account:acc_2]
	// <nil>
	// query: parcels prc_9
	// packed <nil>
}

func ExampleService_SetStatus() {
	ctx := context.Background()
	cache, s, _ := start(ctx)
	defer cache.Close(ctx)

	show(s.ParcelsOf(ctx, "acc_1"))
	p, err := s.SetStatus(ctx, "prc_1", "sent")
	fmt.Println(p.Status, err)
	show(s.ParcelsOf(ctx, "acc_1")) // made again, of parcels that are all there
	// Output:
	// query: ids of acc_1
	// query: parcels prc_1, prc_2
	// acc_1: prc_1 packed prc_2 packed
	// update: prc_1
	// sent <nil>
	// query: ids of acc_1
	// acc_1: prc_1 sent prc_2 packed
}

func ExampleService_Quote() {
	ctx := context.Background()
	cache, s, _ := start(ctx)
	defer cache.Close(ctx)

	for range 2 {
		q, err := s.Quote(ctx, "swift", "jp")
		fmt.Println(q.Cents, err)
	}
	// Output:
	// ask swift
	// 1200 <nil>
	// 1200 <nil>
}
