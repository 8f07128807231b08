package remote

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"
)

const (
	diffNodes = 1 << 16 // parts of a value that are compared
	diffPaths = 8       // paths that are told
)

// Diff returns where two values of one type differ, as paths of [Loss], each once and at most eight; after 65,536 parts it compares no
// more. Two times are equal if they are the same instant; types that write themselves, if what they write is equal; locks, always. A nil
// slice or map differs from an empty one.
func Diff(was, is any) []Loss {
	d := &differ{nodes: diffNodes}
	d.compare("", reflect.ValueOf(was), reflect.ValueOf(is))
	return d.found
}

type differ struct {
	nodes int
	found []Loss
}

func (d *differ) report(path, format string, args ...any) {
	if path == "" {
		path = "."
	}
	known := func(l Loss) bool { return l.Path == path }
	if len(d.found) < diffPaths && !slices.ContainsFunc(d.found, known) {
		d.found = append(d.found, Loss{Path: path, Why: fmt.Sprintf(format, args...)})
	}
}

func (d *differ) compare(path string, was, is reflect.Value) {
	if d.nodes--; d.nodes < 0 || len(d.found) == diffPaths {
		return
	}
	switch {
	case was.IsValid() != is.IsValid():
		d.report(path, "%s became %s", kindOf(was), kindOf(is))
		return
	case !was.IsValid():
		return
	case was.Type() != is.Type():
		d.report(path, "%s became %s", was.Type(), is.Type())
		return
	}
	if same, judged := equalByItself(was, is); judged {
		if !same {
			d.report(path, "another %s", was.Type())
		}
		return
	}
	switch was.Kind() {
	case reflect.Pointer, reflect.Interface:
		if d.bothThere(path, was, is) {
			d.compare(path, was.Elem(), is.Elem())
		}
	case reflect.Slice:
		if d.bothThere(path, was, is) {
			d.elements(path, was, is)
		}
	case reflect.Array:
		d.elements(path, was, is)
	case reflect.Map:
		if d.bothThere(path, was, is) {
			d.entries(path, was, is)
		}
	case reflect.Struct:
		d.fields(path, was, is)
	case reflect.Func, reflect.Chan, reflect.UnsafePointer:
		if was.Pointer() != is.Pointer() {
			d.report(path, "another %s", was.Type())
		}
	default:
		if !was.Equal(is) && !(was.CanFloat() && was.Float() != was.Float() && is.Float() != is.Float()) {
			d.report(path, "another %s", was.Type())
		}
	}
}

// bothThere reports whether neither value is nil.
func (d *differ) bothThere(path string, was, is reflect.Value) bool {
	name := func(v reflect.Value) string {
		if v.IsNil() {
			return "nil"
		}
		if v.Kind() == reflect.Interface {
			v = v.Elem()
		}
		return "a " + v.Type().String()
	}
	if was.IsNil() != is.IsNil() {
		d.report(path, "%s became %s", name(was), name(is))
	}
	return !was.IsNil() && !is.IsNil()
}

func (d *differ) elements(path string, was, is reflect.Value) {
	if was.Len() != is.Len() {
		d.report(path, "another length")
		return
	}
	if was.Type().Elem().Kind() == reflect.Uint8 && was.Kind() == reflect.Slice {
		if string(was.Bytes()) != string(is.Bytes()) {
			d.report(path, "other bytes")
		}
		return
	}
	for i := range was.Len() {
		if d.nodes <= 0 {
			return
		}
		d.compare(path+"[]", was.Index(i), is.Index(i))
	}
}

// entries compares maps. Keys that are equal without being the same, such as times, can't be looked up: of these maps the length counts.
func (d *differ) entries(path string, was, is reflect.Value) {
	if was.Len() != is.Len() {
		d.report(path, "another length")
		return
	}
	kind := was.Type().Key().Kind()
	if kind != reflect.String && kind != reflect.Bool && (kind < reflect.Int || kind > reflect.Uintptr) {
		return
	}
	for it := was.MapRange(); it.Next() && d.nodes > 0; {
		other := is.MapIndex(it.Key())
		if !other.IsValid() {
			d.report(path+"[key]", "other keys")
			return
		}
		d.compare(path+"[]", it.Value(), other)
	}
}

func (d *differ) fields(path string, was, is reflect.Value) {
	for i := range was.NumField() {
		if f := was.Type().Field(i); !isEmpty(f) {
			d.compare(join(path, f.Name), was.Field(i), is.Field(i))
		}
	}
}

func kindOf(v reflect.Value) string {
	if !v.IsValid() {
		return "nil"
	}
	return v.Type().String()
}

// equalByItself compares values of types that know better than their fields do.
func equalByItself(was, is reflect.Value) (same, judged bool) {
	if !was.CanInterface() || !is.CanInterface() || was.Kind() == reflect.Interface || was.Kind() == reflect.Pointer && (was.IsNil() || is.IsNil()) {
		return false, false
	}
	if at, ok := reflect.TypeAssert[time.Time](was); ok {
		other, _ := reflect.TypeAssert[time.Time](is)
		return at.Equal(other), true
	}
	if t := was.Type(); !isOpaque(t) && (t.Kind() != reflect.Pointer || !isOpaque(t.Elem())) || t == reflect.PointerTo(timeType) {
		return false, false
	}
	a, b, ok := written(was.Interface(), is.Interface())
	return string(a) == string(b), ok
}

// isOpaque reports whether a type is a struct that shows no field. What an embedded field writes is not all of others.
func isOpaque(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for f := range t.Fields() {
		if f.PkgPath == "" && !f.Anonymous {
			return false
		}
	}
	return true
}

// written is what two values of a type make of themselves.
func written(was, is any) (a, b []byte, ok bool) {
	var errA, errB error
	switch was := was.(type) {
	case encoding.BinaryMarshaler:
		a, errA = was.MarshalBinary()
		b, errB = is.(encoding.BinaryMarshaler).MarshalBinary() //nolint:forcetypeassert // of one type
	case encoding.TextMarshaler:
		a, errA = was.MarshalText()
		b, errB = is.(encoding.TextMarshaler).MarshalText() //nolint:forcetypeassert // of one type
	case json.Marshaler:
		a, errA = was.MarshalJSON()
		b, errB = is.(json.Marshaler).MarshalJSON() //nolint:forcetypeassert // of one type
	default:
		return nil, nil, false
	}
	return a, b, errA == nil && errB == nil
}
