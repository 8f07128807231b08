package tier_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/tier"
)

// heapInUse is what is left after a collection.
func heapInUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

type product struct {
	ID, Name string
	Price    int64
	Tags     []string
	Seller   *seller
	Updated  time.Time
}

type seller struct{ Name, City string }

func words(n int) string { return strings.Repeat("lorem ipsum ", n/12+1)[:n] }

// L1Bytes bounds memory: with L1 full, the heap is larger by L1Bytes and a quarter of that at most, whatever the values are.
func TestL1BytesIsMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("fills 20 caches")
	}
	shapes := map[string]func(n int) any{
		"small ints in []any": func(n int) any {
			list := make([]any, 100+n)
			for i := range list {
				list[i] = i % 100
			}
			return list
		},
		"large ints in []any": func(n int) any {
			list := make([]any, 100+n)
			for i := range list {
				list[i] = 1_000_000 + i
			}
			return list
		},
		"a map of anything": func(n int) any {
			m := make(map[string]any)
			for i := range 5 + n%40 {
				m[fmt.Sprint("field", i)] = words(i)
			}
			return m
		},
	}
	check(t, shapes)
	check(t, map[string]func(n int) string{"strings": func(n int) string { return words(10 + n*10) }, "short strings": func(n int) string { return words(n % 9) }})
	check(t, map[string]func(n int) string{"watched strings": func(n int) string { return words(10 + n*3) }})
	check(t, map[string]func(n int) []byte{"bytes": func(n int) []byte { return []byte(words(1 + n*50)) }})
	check(t, map[string]func(n int) int{"ints": func(n int) int { return n }})
	check(t, map[string]func(n int) []int32{"a list of numbers": func(n int) []int32 { return make([]int32, n*5) }})
	check(t, map[string]func(n int) map[int64]int64{"a map of numbers": func(n int) map[int64]int64 {
		m := make(map[int64]int64)
		for i := range n * 3 {
			m[int64(i)] = 1
		}
		return m
	}})
	check(t, map[string]func(n int) []product{"a list of structs": func(n int) []product {
		list := make([]product, 1+n/4)
		for i := range list {
			list[i] = newProduct(i)
		}
		return list
	}})
	check(t, map[string]func(n int) *product{"a struct": func(n int) *product { p := newProduct(n); return &p }})
	check(t, map[string]func(n int) [][]string{"rows": func(n int) [][]string {
		rows := make([][]string, 1+n)
		for i := range rows {
			rows[i] = []string{words(i % 20), words(5), words(40)}
		}
		return rows
	}})
}

func newProduct(n int) product {
	return product{
		ID: fmt.Sprint("prd_", n), Name: words(20 + n%30), Price: 129900, Tags: []string{words(8), words(5)},
		Seller: &seller{words(12), words(7)}, Updated: time.Now(),
	}
}

func check[V any](t *testing.T, shapes map[string]func(n int) V) {
	t.Helper()
	for name, shape := range shapes {
		for _, decoded := range []bool{false, true} { // as it was loaded, and as it comes from L2
			if raceDetector && name == "large ints in []any" {
				continue // with the detector each takes 16 bytes, not 8
			}
			if decoded && !strings.Contains(name, "an") && !strings.Contains(name, "struct") {
				continue // the same in memory
			}
			t.Run(fmt.Sprintf("%s/decoded=%v", name, decoded), func(t *testing.T) {
				const l1 = 2 << 20
				c := openCache(t, tier.Config{L1Bytes: l1, CheckRoundTrip: decoded, DetectMutation: strings.HasPrefix(name, "watched")})
				dice := rand.New(rand.NewPCG(1, 2))
				s := newSpace(t, c, tier.SpaceConfig[V]{
					Name: "test:value", Strategy: tier.CDC("feed"),
					Load: func(context.Context, string) (V, error) { return shape(dice.IntN(100)), nil },
				})
				before := heapInUse()
				for i := 0; metric(t, c, "tandem_l1_evictions_total") < 100; i++ {
					for j := range 1000 {
						if _, err := s.Get(t.Context(), fmt.Sprintf("id_%d_%d", i, j)); err != nil {
							t.Fatal(err)
						}
					}
				}
				eventually(t, "L1 has taken all", func() bool { return metric(t, c, "tandem_flights") == 0 })
				took, counted := heapInUse()-before, int64(metric(t, c, "tandem_l1_bytes"))
				t.Logf("%.0f entries, counted %d, heap %d: %.2f", metric(t, c, "tandem_l1_entries"), counted, took, float64(took)/float64(counted))
				if counted > l1 || counted < l1*3/4 {
					t.Errorf("L1 counts %d bytes; want nearly all of %d", counted, l1)
				}
				if took > l1*5/4 {
					t.Errorf("the heap has grown by %d bytes; want %d and a quarter at most", took, l1)
				}
				if took < counted*3/4 {
					t.Errorf("the heap has grown by %d bytes; want what is counted, %d, less a quarter at most", took, counted)
				}
				runtime.KeepAlive(s)
			})
		}
	}
}

// A space may say what its values take; a panic is none of the readers' business.
func TestCostOfASpace(t *testing.T) {
	c := openCache(t, tier.Config{})
	for name, cost := range map[string]func(string) int64{
		"fixed":  func(string) int64 { return 5000 },
		"panics": func(string) int64 { panic("no idea") },
		"minus":  func(string) int64 { return -1 << 40 },
	} {
		s := newSpace(t, c, tier.SpaceConfig[string]{
			Name: "test:" + name, Strategy: tier.TTL(time.Minute), Cost: cost,
			Load: func(context.Context, string) (string, error) { return words(3000), nil },
		})
		for i := range 10 {
			if _, err := s.Get(t.Context(), fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "L1 has taken all", func() bool { return metric(t, c, "tandem_flights") == 0 })
		want := map[string]float64{"fixed": 50_000, "panics": 30_000, "minus": 0}[name]
		if got := metric(t, c, "tandem_l1_bytes", "test:"+name); got < want || got > want+6000 {
			t.Errorf("%s: ten values take %v bytes; want %v and what entries take", name, got, want)
		}
		if n := metric(t, c, "tandem_l1_entries", "test:"+name); n != 10 {
			t.Errorf("%s: %v entries; want 10", name, n)
		}
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// What leaves L1, for whatever reason, is counted no more.
func TestUsageOfL1(t *testing.T) {
	c := openCache(t, tier.Config{L1Bytes: 1 << 20})
	s := newSpace(t, c, tier.SpaceConfig[string]{
		Name: "test:row", Strategy: tier.CDC("feed"), Load: func(context.Context, string) (string, error) { return words(1000), nil },
	})
	idle := func() {
		eventually(t, "L1 has taken all", func() bool { return metric(t, c, "tandem_flights") == 0 })
	}
	for i := range 3000 {
		if _, err := s.Get(t.Context(), fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	idle()
	entries, evicted := metric(t, c, "tandem_l1_entries", "test:row"), metric(t, c, "tandem_l1_evictions_total")
	if entries+evicted != 3000 || entries < 500 || metric(t, c, "tandem_l1_capacity_bytes") != 1<<20 {
		t.Errorf("%v entries, %v evicted; want 3000 together", entries, evicted)
	}
	seen := 0
	for i := range 3000 { // in the middle of L1 are the entries that are invalidated now, and those that replace them
		if _, ok := s.Peek(t.Context(), fmt.Sprint(i)); !ok {
			continue
		}
		seen++
		if err := s.Invalidate(t.Context(), fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "invalidated entries have left", func() bool { return metric(t, c, "tandem_l1_entries", "test:row") == 0 })
	if bytes := metric(t, c, "tandem_l1_bytes", "test:row"); bytes != 0 || seen == 0 {
		t.Errorf("%v bytes of no entries, after %d", bytes, seen)
	}
}
