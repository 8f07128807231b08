package remote

import (
	"fmt"
	"reflect"
	"strings"
)

// A Loss is a part of a type that a codec does not bring back as it was.
type Loss struct {
	// Path leads to the part: names of fields joined by dots; "[]" for what a slice, an array or a map holds, "[key]" for the keys of a map.
	// "." is the value itself. So Lines[].Price.cents is the field cents of the Price of each of Lines.
	Path string
	Why  string
}

// A LossError is what CheckType returns of a type that a codec takes only in part.
type LossError struct {
	Codec  string // its name
	Type   string
	Losses []Loss // at least one
}

// lossesTold is how many of the losses Error lists.
const lossesTold = 8

// Error names the paths, at most eight.
func (e *LossError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the codec %s does not bring back all of a %s:", e.Codec, e.Type)
	for i, loss := range e.Losses {
		if i == lossesTold {
			fmt.Fprintf(&b, " and %d more", len(e.Losses)-i)
			break
		}
		fmt.Fprintf(&b, " %s (%s);", loss.Path, loss.Why)
	}
	return strings.TrimSuffix(b.String(), ";")
}

// A Normalizer is a [Codec] that gives some values back in a form of its own: a time in UTC, the number in an interface as another
// type. Normalizes reports whether values of the type that v points to may be among them. Of such a type a cache uses what the codec
// gave back also on the pod that loaded the value, so that all pods have the same.
type Normalizer interface {
	Normalizes(v any) bool
}

// rules are what a codec does with types.
type rules struct {
	codec string
	tag   string // of struct fields
	pairs []pair // how a type may write itself, the first that it has
	isBad map[reflect.Kind]bool
	keys  func(w *typeWalk, t reflect.Type, path string) // judges the keys of a map

	// strict says that a pointer receiver is asked for even where there is no pointer, which is an error; otherwise it is passed over.
	strict bool
}

// A pair is two interfaces, by which a type writes and reads itself.
type pair struct {
	write, read         reflect.Type
	writeName, readName string
	method              func(reflect.Type) (reflect.Method, bool) // the write method of a type
	bytesOnly           bool                                      // read takes nothing but a text or bytes
}

// A typeWalk looks once at each type within a type.
type typeWalk struct {
	rules      rules
	seen       map[visit]bool
	losses     []Loss
	normalizes bool // there are times, or interfaces
}

// A visit is a type and whether its value has an address when it is written: a method of the pointer can then be called.
type visit struct {
	t         reflect.Type
	addressed bool
}

// inspect looks at the type that v points to.
func inspect(r rules, v any) *typeWalk {
	w := &typeWalk{rules: r, seen: make(map[visit]bool)}
	if t := reflect.TypeOf(v); t != nil && t.Kind() == reflect.Pointer {
		w.walk(t.Elem(), "", false)
	}
	return w
}

// check returns a [LossError] of the type that v points to, or nil.
func (r rules) check(v any) error {
	w := inspect(r, v)
	if len(w.losses) == 0 {
		return nil
	}
	return &LossError{Codec: r.codec, Type: reflect.TypeOf(v).Elem().String(), Losses: w.losses}
}

func (w *typeWalk) lose(path, format string, args ...any) {
	if path == "" {
		path = "."
	}
	w.losses = append(w.losses, Loss{Path: path, Why: fmt.Sprintf(format, args...)})
}

func (w *typeWalk) walk(t reflect.Type, path string, addressed bool) {
	at := visit{t, addressed}
	if w.seen[at] {
		return
	}
	w.seen[at] = true
	switch {
	case t == timeType:
		w.normalizes = true
		return
	case t.Kind() == reflect.Interface:
		w.normalizes = true
		if t.NumMethod() > 0 {
			w.lose(path, "%s is an interface with methods: the type that it held is not known when it is read", t)
		}
		return
	case t.Kind() == reflect.Pointer:
		w.walk(t.Elem(), path, true)
		return
	case w.writesItself(t, path, addressed):
		return
	case w.rules.isBad[t.Kind()]:
		w.lose(path, "a %s cannot be written", t.Kind())
		return
	}
	switch t.Kind() {
	case reflect.Slice:
		w.walk(t.Elem(), path+"[]", true)
	case reflect.Array:
		w.walk(t.Elem(), path+"[]", addressed)
	case reflect.Map:
		w.rules.keys(w, t.Key(), path+"[key]")
		w.walk(t.Elem(), path+"[]", false)
	case reflect.Struct:
		w.fields(t, path, addressed)
	}
}

// writesItself reports whether a type writes itself, so that its parts are its own matter, and says what is wrong with how it does.
func (w *typeWalk) writesItself(t reflect.Type, path string, addressed bool) bool {
	write, byPointer := w.rules.first(t, func(p pair) reflect.Type { return p.write })
	read, _ := w.rules.first(t, func(p pair) reflect.Type { return p.read })
	if write >= 0 && byPointer && !addressed {
		if w.rules.strict {
			w.lose(path, "%s of *%s cannot be called on a value: hold a pointer", w.rules.pairs[write].writeName, t)
			return true
		}
		if read == write { // it is written without the method, and read with it
			w.lose(path, "%s of *%s is not called on a value, and %s is: hold a pointer", w.rules.pairs[write].writeName, t, w.rules.pairs[read].readName)
			return true
		}
		write = -1
	}
	switch {
	case write < 0 && read < 0:
		return false
	case write < 0:
		p := w.rules.pairs[read]
		isText := t.Kind() == reflect.String || t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8
		if w.rules.strict && p.bytesOnly && !isText {
			w.lose(path, "%s reads itself by %s and does not write itself by %s", t, p.readName, p.writeName)
			return true
		}
		return false
	case read != write:
		p := w.rules.pairs[write]
		w.lose(path, "%s writes itself by %s and does not read itself by %s", t, p.writeName, p.readName)
		return true
	}
	w.promoted(t, path, w.rules.pairs[write])
	return true
}

// first returns the number of the first pair of which t, or a pointer to it, has the interface; -1: it has none.
func (r rules) first(t reflect.Type, of func(pair) reflect.Type) (n int, byPointer bool) {
	for i, p := range r.pairs {
		if t.Implements(of(p)) {
			return i, false
		}
	}
	for i, p := range r.pairs {
		if reflect.PointerTo(t).Implements(of(p)) {
			return i, true
		}
	}
	return -1, false
}

// promoted finds a struct that writes itself by the method of a field that it embeds, such as a time.Time: its other fields are not
// written.
func (w *typeWalk) promoted(t reflect.Type, path string, p pair) {
	if t.Kind() != reflect.Struct {
		return
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.Anonymous || !isPromoted(t, f.Type, p) {
			continue
		}
		for j := range t.NumField() {
			if other := t.Field(j); j != i && !isEmpty(other) {
				w.lose(join(path, other.Name), "%s of the embedded %s writes all of %s", p.writeName, f.Type, t)
			}
		}
		return
	}
}

func (w *typeWalk) fields(t reflect.Type, path string, addressed bool) {
	names := make(map[string]string)
	for f := range t.Fields() {
		if isEmpty(f) {
			continue
		}
		at := join(path, f.Name)
		name, _, _ := strings.Cut(f.Tag.Get(w.rules.tag), ",")
		if f.Tag.Get(w.rules.tag) == "-" || name == "-" && w.rules.strict {
			w.lose(at, `the tag %s:"-"`, w.rules.tag)
			continue
		}
		if f.PkgPath != "" && !w.embeds(f, at) {
			if !f.Anonymous {
				w.lose(at, "unexported%s", w.hint(t))
			}
			continue
		}
		if name == "" {
			name = f.Name
		}
		if first, twice := names[name]; twice && !f.Anonymous {
			w.lose(at, "written by the name %q as %s is", name, first)
		}
		names[name] = f.Name
		w.walk(f.Type, at, addressed)
	}
	w.shadowed(t, path, names)
}

// shadowed finds the fields of embedded structs that are not written, as the struct has one of the same name. Msgpack writes an exported
// embedded struct as a whole then.
func (w *typeWalk) shadowed(t reflect.Type, path string, names map[string]string) {
	for f := range t.Fields() {
		tag, _, _ := strings.Cut(f.Tag.Get(w.rules.tag), ",")
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if !f.Anonymous || tag != "" || inner.Kind() != reflect.Struct || w.rules.strict && f.PkgPath == "" {
			continue
		}
		if n, _ := w.rules.first(f.Type, func(p pair) reflect.Type { return p.write }); n >= 0 {
			continue
		}
		for hidden := range inner.Fields() {
			name, _, _ := strings.Cut(hidden.Tag.Get(w.rules.tag), ",")
			if name == "" {
				name = hidden.Name
			}
			if by, there := names[name]; there && by != f.Name && hidden.PkgPath == "" {
				w.lose(join(join(path, f.Name), hidden.Name), "%s has the same name %q", join(path, by), name)
			}
		}
	}
}

// embeds reports whether a field without an exported name is written all the same, and says why not if it is embedded.
func (w *typeWalk) embeds(f reflect.StructField, path string) bool {
	switch {
	case !f.Anonymous:
		return false
	case f.Type.Kind() == reflect.Struct:
		return true
	}
	w.lose(path, "embedded, and neither exported nor a struct")
	return false
}

// hint says what would bring the unexported fields of a type back.
func (w *typeWalk) hint(t reflect.Type) string {
	if _, ok := reflect.PointerTo(t).MethodByName("ProtoReflect"); ok {
		return fmt.Sprintf(" in %s, a protobuf message: protobuf.Codec takes those", t)
	}
	if n, _ := jsonRules.first(t, func(p pair) reflect.Type { return p.write }); n >= 0 && w.rules.codec != jsonRules.codec {
		return fmt.Sprintf(" in %s, whose %s the codec %s does not call: remote.JSON does", t, jsonRules.pairs[n].writeName, w.rules.codec)
	}
	return fmt.Sprintf(" in %s", t)
}

// isEmpty reports whether a field has nothing to lose: no size, no name, or a lock, of which zero is the right value.
func isEmpty(f reflect.StructField) bool {
	return f.Type.Size() == 0 || f.Name == "_" || isLock(f.Type)
}

func isLock(t reflect.Type) bool { return t.PkgPath() == "sync" && t.Name() != "Map" }

func join(path, field string) string {
	if path == "" {
		return field
	}
	return path + "." + field
}
