package local

import (
	"math/bits"
	"reflect"
	"sync"
)

// How much of a value SizeOf looks at, so that a large one costs no more than some ten microseconds.
const (
	sizeNodes   = 512 // parts looked at
	sizeSample  = 32  // elements of a slice or map; the others are taken to be as large on the average
	sizeDepth   = 32  // pointers followed one behind the other
	mapHeader   = 48
	mapGroup    = 8   // slots of a map that come together, with 8 bytes for them
	maxInline   = 128 // keys and values of a map that are larger lie elsewhere
	largeObject = 32 << 10
	page        = 8 << 10
)

// SizeOf returns about how many bytes of memory a value takes, with all that it refers to, as the allocator of Go rounds them. Of large
// values it measures a sample. What two parts share is counted twice; what the process shares anyway, such as a time's location, is not.
func SizeOf(v any) int64 {
	if v == nil {
		return 0
	}
	s := sizer{left: sizeNodes}
	return s.boxed(reflect.ValueOf(v), 0)
}

type sizer struct{ left int }

// boxed is what an interface refers to that holds v.
func (s *sizer) boxed(v reflect.Value, depth int) int64 {
	switch v.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Chan, reflect.Func, reflect.UnsafePointer:
		return s.behind(v, depth)
	case reflect.Bool, reflect.Int8, reflect.Uint8:
		return 0 // the runtime has one of each
	case reflect.Int, reflect.Int16, reflect.Int32, reflect.Int64:
		if n := v.Int(); n >= 0 && n < 256 {
			return 0
		}
	case reflect.Uint, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		if v.Uint() < 256 {
			return 0
		}
	}
	return roundUp(int64(v.Type().Size())) + s.behind(v, depth)
}

// behind is what v refers to, beside its own size.
func (s *sizer) behind(v reflect.Value, depth int) int64 {
	if s.left--; depth > sizeDepth || isFlat(v.Type()) {
		return 0
	}
	switch v.Kind() {
	case reflect.String:
		return roundUp(int64(v.Len()))
	case reflect.Pointer:
		if v.IsNil() || isShared(v.Type().Elem()) {
			return 0
		}
		return roundUp(int64(v.Type().Elem().Size())) + s.behind(v.Elem(), depth+1)
	case reflect.Interface:
		if v.IsNil() {
			return 0
		}
		return s.boxed(v.Elem(), depth+1)
	case reflect.Slice:
		return roundUp(int64(v.Cap())*int64(v.Type().Elem().Size())) + s.elements(v, depth)
	case reflect.Array:
		return s.elements(v, depth)
	case reflect.Map:
		return s.ofMap(v, depth)
	case reflect.Struct:
		var sum int64
		for _, field := range v.Fields() {
			sum += s.behind(field, depth)
		}
		return sum
	}
	return 0
}

// elements samples in an order in which any beginning is spread over the whole.
func (s *sizer) elements(v reflect.Value, depth int) int64 {
	n := v.Len()
	if n == 0 || isFlat(v.Type().Elem()) {
		return 0
	}
	var sum int64
	seen := 0
	for seen < min(n, sizeSample) && (seen == 0 || s.left > 0) {
		at := seen
		if n > sizeSample {
			at = int(uint64(seen) * 0x9e3779b97f4a7c15 >> 11 % uint64(n))
		}
		sum += s.behind(v.Index(at), depth+1)
		seen++
	}
	return sum * int64(n) / int64(seen)
}

func (s *sizer) ofMap(v reflect.Value, depth int) int64 {
	if v.IsNil() {
		return 0
	}
	n, key, value := v.Len(), v.Type().Key(), v.Type().Elem()
	sum := mapHeader + slotsOf(n)*(inline(key)+inline(value)+1)
	if n == 0 || isFlat(key) && isFlat(value) && key.Size() <= maxInline && value.Size() <= maxInline {
		return sum
	}
	var behind int64
	seen := 0
	for it := v.MapRange(); seen < min(n, sizeSample) && (seen == 0 || s.left > 0) && it.Next(); seen++ {
		behind += s.behind(it.Key(), depth+1) + s.behind(it.Value(), depth+1) + apart(key) + apart(value)
	}
	return sum + behind*int64(n)/int64(max(1, seen))
}

// slotsOf is how many entries a map of n has room for: a power of two, of which seven in eight are used at most.
func slotsOf(n int) int64 {
	if n <= mapGroup {
		return mapGroup
	}
	return 1 << bits.Len64(uint64(n)*8/7-1)
}

func inline(t reflect.Type) int64 {
	if t.Size() > maxInline {
		return 8
	}
	return int64(t.Size())
}

func apart(t reflect.Type) int64 {
	if t.Size() > maxInline {
		return roundUp(int64(t.Size()))
	}
	return 0
}

// roundUp is what the allocator takes for n bytes: its classes are eighths of a power of two, roughly.
func roundUp(n int64) int64 {
	switch {
	case n <= 0:
		return 0
	case n <= 32:
		return (n + 7) &^ 7
	case n <= 128:
		return (n + 15) &^ 15
	case n <= largeObject:
		step := int64(1) << (bits.Len64(uint64(n-1)) - 4)
		return (n + step - 1) &^ (step - 1)
	}
	return (n + page - 1) &^ (page - 1)
}

// flat remembers of types whether their values refer to nothing.
var flat sync.Map // of reflect.Type → bool

func isFlat(t reflect.Type) bool {
	switch k := t.Kind(); {
	case k >= reflect.Bool && k <= reflect.Complex128:
		return true
	case k != reflect.Array && k != reflect.Struct:
		return k == reflect.Chan || k == reflect.Func || k == reflect.UnsafePointer
	}
	if known, ok := flat.Load(t); ok {
		return known == true
	}
	is := true
	if t.Kind() == reflect.Array {
		is = t.Len() == 0 || isFlat(t.Elem())
	} else {
		for f := range t.Fields() {
			is = is && (isFlat(f.Type) || f.Type.Kind() == reflect.Pointer && isShared(f.Type.Elem()))
		}
	}
	flat.Store(t, is)
	return is
}

// isShared reports whether pointers to a type lead out of a value, to what the process has anyway.
func isShared(t reflect.Type) bool {
	switch t.PkgPath() {
	case "time", "reflect", "sync", "unique", "internal/abi", "google.golang.org/protobuf/internal/impl":
		return true
	}
	return false
}
