package remote_test

import (
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/internal/doctable"
	"github.com/tandem-cache/tandem/remote"
)

// TestWhatSurvives compares the table in docs/values.md with what the codecs do.
func TestWhatSurvives(t *testing.T) {
	const file = "../docs/values.md"
	tab := doctable.Read(t, file, "value", "msgpack", "JSON")
	at := time.Date(2026, 5, 1, 1, 0, 0, 123456789, time.FixedZone("east", 9*3600))
	type deep struct{ Next *deep }
	type omit struct {
		List []int `json:",omitempty" msgpack:",omitempty"`
	}
	cases := map[string]any{
		"strings, bools, numbers of every size":        page{Title: "日本", Price: map[string]int{"x": math.MinInt64}},
		"a string that is not UTF-8":                   "caf\xe9",
		"`[]byte`, arrays, slices, maps, nil or empty": [][]string{nil, {}, {"a"}},
		"pointers, nil or not":                         deep{Next: &deep{}},
		"an embedded struct":                           child{parent{"a"}, "b"},
		"`time.Time`":                                  at,
		"`*big.Int`, `netip.Addr`, what writes itself as text": struct {
			N *big.Int
			A netip.Addr
		}{big.NewInt(7), netip.MustParseAddr("::1")},
		"NaN and infinities":  math.Inf(1),
		"an unexported field": priced{"a", money{1, "EUR"}},
		"a field with the tag `msgpack:\"-\"` or `json:\"-\"`":               hidden{"a", "b"},
		"a struct that embeds `time.Time` and has other fields":              stamped{at, "a"},
		"a type with MarshalJSON and UnmarshalJSON, and hidden fields":       jsonOnly{7},
		"a type that only writes itself (MarshalText without UnmarshalText)": textOnly(1),
		"an interface with methods, `error` too":                             struct{ E error }{fmt.Errorf("x")},
		"a func, a channel, a complex number":                                struct{ F func() }{func() {}},
		"an empty slice with `omitempty`":                                    omit{List: []int{}},
		"an `int` in an `any`":                                               map[string]any{"n": 1},
		"a `float64`, a string, a bool in an `any`":                          map[string]any{"n": 1.5, "s": "a", "b": true},
		"a time in an `any`":                                                 map[string]any{"at": at},
		"a struct in an `any`":                                               []any{page{Title: "a"}},
		"a `map[int]string` in an `any`":                                     []any{map[int]string{1: "a"}},
		"`map[int]string`":                                                   map[int]string{1: "a"},
		"a map whose keys are structs":                                       map[parent]int{{"a"}: 1},
	}
	for name, v := range cases {
		row := tab.Rows[name]
		if row == nil {
			t.Errorf("%s lacks a row %q: | %s | %s | %s |", file, name, name, outcome(remote.MsgPack{}, v), outcome(remote.JSON{}, v))
			continue
		}
		if got := []string{outcome(remote.MsgPack{}, v), outcome(remote.JSON{}, v)}; got[0] != row[1] || got[1] != row[2] {
			t.Errorf("%s: %s: got %q; the table says %q", file, name, got, row[1:3])
		}
	}
	for _, name := range tab.Order {
		if _, ok := cases[name]; !ok {
			t.Errorf("%s: nothing tests the row %q", file, name)
		}
	}
}

// outcome says what becomes of a value.
func outcome(c interface {
	remote.Codec
	remote.TypeChecker
}, v any,
) string {
	at := reflect.New(reflect.TypeOf(v))
	if c.CheckType(at.Interface()) != nil {
		return "refused by `NewSpace`"
	}
	payload, err := c.Encode(v)
	if err != nil {
		return "not stored, an error is logged"
	}
	if err := c.Decode(payload, at.Interface()); err != nil {
		return "in no other pod, an error is logged"
	}
	back := at.Elem().Interface()
	if diff := remote.Diff(v, back); len(diff) > 0 {
		return "changed, and logged: " + diff[0].Why
	}
	if strings.Contains(fmt.Sprint(v), "2026-05-01 01:00:00.123456789") {
		if strings.Contains(fmt.Sprint(back), "+0000 UTC") {
			return "yes, in UTC"
		}
		return "yes, with its offset"
	}
	return "yes"
}
