package remote

import (
	"reflect"
	"sync"
	"time"
)

// Msgpack's time is an instant without a zone, and the package msgpack reads it as one of the zone that the process is in: pods in two
// zones would have two dates of one value. So all times that were read are set to UTC.

// utcSetters are compiled by type: nil where there is nothing to set.
var utcSetters sync.Map // of reflect.Type → utcSetter

// A utcSetter sets the times within a value that can be set.
type utcSetter func(v reflect.Value)

// toUTC sets the times within what v points to.
func toUTC(v any) {
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return
	}
	if set := utcSetterOf(p.Type().Elem()); set != nil {
		set(p.Elem())
	}
}

func utcSetterOf(t reflect.Type) utcSetter {
	if known, ok := utcSetters.Load(t); ok {
		return known.(utcSetter) //nolint:forcetypeassert // nothing else is stored
	}
	var set utcSetter
	if holdsTimes(t) {
		set = newUTCSetter(t)
	}
	utcSetters.Store(t, set)
	return set
}

// holdsTimes reports whether there may be times within a value of a type that msgpack writes by itself.
func holdsTimes(t reflect.Type) bool {
	return inspect(msgpackRules, reflect.New(t).Interface()).normalizes
}

func newUTCSetter(t reflect.Type) utcSetter {
	if t == timeType {
		return func(v reflect.Value) {
			if at, ok := reflect.TypeAssert[time.Time](v); ok {
				v.Set(reflect.ValueOf(at.UTC()))
			}
		}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return func(v reflect.Value) {
			if set := utcSetterOf(t.Elem()); set != nil && !v.IsNil() {
				set(v.Elem())
			}
		}
	case reflect.Interface:
		return func(v reflect.Value) {
			if !v.IsNil() {
				v.Set(inUTC(v.Elem()))
			}
		}
	case reflect.Slice, reflect.Array:
		return func(v reflect.Value) {
			if set := utcSetterOf(t.Elem()); set != nil {
				for i := range v.Len() {
					set(v.Index(i))
				}
			}
		}
	case reflect.Map:
		return setMapUTC
	case reflect.Struct:
		return structUTCSetter(t)
	}
	return nil
}

// inUTC returns a value with its times set, which is another where the times are in the value itself.
func inUTC(v reflect.Value) reflect.Value {
	set := utcSetterOf(v.Type())
	if set == nil {
		return v
	}
	settable := reflect.New(v.Type()).Elem()
	settable.Set(v)
	set(settable)
	return settable
}

func setMapUTC(v reflect.Value) {
	keys, values := utcSetterOf(v.Type().Key()) != nil, utcSetterOf(v.Type().Elem()) != nil
	if v.IsNil() || !keys && !values {
		return
	}
	for it := v.MapRange(); it.Next(); {
		key, value := it.Key(), inUTC(it.Value())
		if keys {
			v.SetMapIndex(key, reflect.Value{}) // an entry that is added meanwhile may come once more, and stays as it is
			key = inUTC(key)
		}
		v.SetMapIndex(key, value)
	}
}

func structUTCSetter(t reflect.Type) utcSetter {
	if inspect(msgpackRules, reflect.New(t).Interface()).writesItself(t, "", true) {
		return nil // it reads its times as it likes
	}
	var fields []int
	for i := range t.NumField() {
		f := t.Field(i)
		if (f.PkgPath == "" || f.Anonymous && f.Type.Kind() == reflect.Struct) && holdsTimes(f.Type) {
			fields = append(fields, i)
		}
	}
	return func(v reflect.Value) {
		for _, i := range fields {
			if set := utcSetterOf(v.Field(i).Type()); set != nil {
				set(v.Field(i))
			}
		}
	}
}
