package local_test

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/local"
)

type node struct {
	Name string
	Next *node
	At   time.Time
}

// SizeOf is within a fifth of what the heap grows by. (tier's TestL1BytesIsMemory has the shapes of values.)
func TestSizeOf(t *testing.T) {
	for name, shape := range map[string]func() any{
		"pointers":           func() any { return &node{Name: strings.Repeat("x", 33), Next: &node{Name: strings.Repeat("y", 50)}} },
		"a list":             func() any { return append([]*node(nil), &node{}, &node{}, &node{}) },
		"an array of values": func() any { return [20]node{{Name: strings.Repeat("z", 10)}} },
		"a large slice":      func() any { return make([]string, 5000) },
		"large map values":   func() any { return map[int][40]int64{1: {}, 2: {}, 3: {}} },
	} {
		const count = 2000
		kept := make([]any, count)
		before := heap()
		for i := range kept {
			kept[i] = shape()
		}
		each := float64(heap()-before) / count
		if got := float64(local.SizeOf(kept[0])); got < each*0.8 || got > each*1.2 {
			t.Errorf("%s: got %.0f; each takes %.0f", name, got, each)
		}
		runtime.KeepAlive(kept)
	}
	for _, v := range []any{nil, 7, true, (*node)(nil), []string(nil), map[string]int(nil), ""} {
		if got := local.SizeOf(v); got > 24 {
			t.Errorf("%#v takes %d", v, got)
		}
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A large value, or one that refers to itself, is measured by a sample.
func TestSizeOfIsBounded(t *testing.T) {
	rows := make([][][]string, 1000)
	for i := range rows {
		rows[i] = make([][]string, 100)
		for j := range rows[i] {
			rows[i][j] = []string{"abcdefgh", "abcdefgh"}
		}
	}
	want := int64(1000*24 + 1000*(2688+100*(32+2*8)))
	if got := local.SizeOf(rows); got < want*9/10 || got > want*11/10 {
		t.Errorf("got %d; want about %d", got, want)
	}
	loop := &node{Name: "x"}
	loop.Next = loop
	local.SizeOf(loop) // ends
	var deep any = "abcdefgh"
	for range 5 { // 24 million leaves
		list := make([]any, 30)
		for i := range list {
			list[i] = deep
		}
		deep = list
	}
	began := time.Now()
	local.SizeOf(deep)
	for range 100 {
		local.SizeOf(rows)
	}
	if took := time.Since(began); took > time.Second { // the lists in lists take as long without a bound
		t.Errorf("measuring 100,000 rows 100 times took %s", took)
	}
}
