package local_test

import (
	"fmt"
	"testing"
	"unsafe"

	"github.com/tandem-cache/tandem/local"
)

func newStore(t *testing.T, bytes int64) *local.Store {
	t.Helper()
	s, err := local.NewStore(bytes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestStoreTellsSpacesApart(t *testing.T) {
	s := newStore(t, 1<<20)
	for space := range uint32(3) {
		s.Set(local.NewEntry(space, "id", space, 0, nil))
	}
	s.Wait()
	for space := range uint32(3) {
		if e := s.Get(space, "id"); e == nil || e.Value != space {
			t.Errorf("space %d: got %v", space, e)
		}
	}
	s.Delete(1, "id")
	if s.Get(1, "id") != nil || s.Get(2, "id") == nil {
		t.Error("deleting from one space left it there, or took it from another")
	}
}

func TestStoreIsBounded(t *testing.T) {
	s := newStore(t, 100_000)
	const count, cost = 2000, 300
	for i := range count {
		e := local.NewEntry(0, fmt.Sprint(i), i, 0, nil)
		e.Cost = cost
		s.Set(e)
	}
	s.Wait()
	held := 0
	for i := range count {
		if s.Get(0, fmt.Sprint(i)) != nil {
			held++
		}
	}
	if held == 0 || held > 100_000/cost {
		t.Errorf("holds %d entries of %d bytes; want some, at most %d", held, cost, 100_000/cost)
	}
}

func TestStoreRefusesNoRoom(t *testing.T) {
	if _, err := local.NewStore(0); err == nil {
		t.Error("a store of 0 bytes: no error")
	}
}

// An entry fills two cache lines exactly, and what a hit reads is in the first.
func TestEntrySize(t *testing.T) {
	if size := unsafe.Sizeof(local.Entry{}); size != 128 {
		t.Errorf("an entry has %d bytes; want 128", size)
	}
}

func TestStoreHas(t *testing.T) {
	s := newStore(t, 1<<20)
	s.Set(local.NewEntry(1, "id", 1, 0, nil))
	s.Wait()
	if !s.Has(1, "id") || s.Has(2, "id") || s.Has(1, "other") {
		t.Error("Has doesn't tell what is there from what is not")
	}
}

func TestAllYieldsEachEntryOnce(t *testing.T) {
	s := newStore(t, 1<<20)
	const count = 100
	for i := range count {
		s.Set(local.NewEntry(uint32(i%3), fmt.Sprint(i), i, 0, nil))
	}
	s.Wait()
	seen := make(map[string]int)
	for e := range s.All() {
		if e.Value != nil {
			seen[e.ID]++
		}
		s.Delete(e.Space, e.ID) // no lock is held
	}
	if len(seen) != count {
		t.Errorf("got %d entries; want %d", len(seen), count)
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s: yielded %d times", id, n)
		}
	}
	for e := range s.All() {
		t.Errorf("got %s; want nothing", e.ID)
	}
	s.Set(local.NewEntry(0, "a", 0, 0, nil))
	s.Set(local.NewEntry(0, "b", 0, 0, nil))
	s.Wait()
	for range s.All() {
		break
	}
}

func TestAllOfAClosedStoreIsEmpty(t *testing.T) {
	s, err := local.NewStore(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	s.Set(local.NewEntry(0, "a", 0, 0, nil))
	s.Wait()
	s.Close()
	for e := range s.All() {
		t.Errorf("got %s; want nothing", e.ID)
	}
}
