package remote_test

import (
	"encoding/json"
	"errors"
	"math/big"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/remote"
)

// What codecs lose, and what they do not.
type (
	money struct {
		amount   int64
		currency string
	}
	priced struct {
		Name  string
		Price money
	}
	stamped struct {
		time.Time
		Name string
	}
	stampedAlone struct{ time.Time }
	stampedOwn   struct {
		time.Time
		Name string
	}
	hidden struct {
		ID     string
		Secret string `json:"-" msgpack:"-"`
	}
	jsonOnly struct{ cents int64 }
	textOnly int
	shape    interface{ Area() float64 }
	drawn    struct{ Shapes []shape }
	locked   struct {
		mu sync.Mutex //nolint:unused // the type is what is looked at
		_  [0]func()
		ID string
	}
	parent struct{ ID string }
	child  struct {
		parent
		Name string
	}
	childByPointer struct {
		*parent
		Name string
	}
	tree struct {
		Name     string
		Children []*tree
	}
	shadowing struct {
		parent
		ID int
	}
	addressed struct{ At url.URL }
	pointedTo struct{ At *url.URL }
)

func (s stampedOwn) MarshalJSON() ([]byte, error) { return json.Marshal(s.Name) }
func (s *stampedOwn) UnmarshalJSON([]byte) error  { return nil }
func (s stampedOwn) MarshalBinary() ([]byte, error) {
	return []byte(s.Name), nil
}
func (s *stampedOwn) UnmarshalBinary([]byte) error { return nil }
func (j jsonOnly) MarshalJSON() ([]byte, error)    { return json.Marshal(j.cents) }
func (j *jsonOnly) UnmarshalJSON(b []byte) error   { return json.Unmarshal(b, &j.cents) }
func (t textOnly) MarshalText() ([]byte, error)    { return []byte("text"), nil }

// newTwice is a struct of two fields with one name, which vet refuses where it is written down.
func newTwice() any {
	text := reflect.TypeFor[string]()
	return reflect.New(reflect.StructOf([]reflect.StructField{
		{Name: "A", Type: text, Tag: `json:"x" msgpack:"x"`}, {Name: "B", Type: text, Tag: `json:"x" msgpack:"x"`},
	})).Interface()
}

func TestCheckTypeNamesWhatIsLost(t *testing.T) {
	type paths = []string
	whole := paths{}
	for _, test := range []struct {
		of            any
		msgpack, json paths
	}{
		{new(page), whole, whole},
		{new(string), whole, whole},
		{new(any), whole, whole},
		{new(map[string]any), whole, whole},
		{new(*tree), whole, whole},
		{new(time.Time), whole, whole},
		{new(*big.Int), whole, whole},
		{new(netip.Addr), whole, whole},
		{new(json.RawMessage), whole, whole},
		{new(locked), whole, whole},
		{new(child), whole, whole},
		{new(stampedAlone), whole, whole},
		{new(stampedOwn), whole, whole},
		{new(pointedTo), whole, paths{"At.User.username", "At.User.password", "At.User.passwordSet"}},
		{new(priced), paths{"Price.amount", "Price.currency"}, paths{"Price.amount", "Price.currency"}},
		{new([]*priced), paths{"[].Price.amount", "[].Price.currency"}, paths{"[].Price.amount", "[].Price.currency"}},
		{new(map[money]int), paths{"[key].amount", "[key].currency"}, paths{"[key]"}},
		{new(stamped), paths{"Name"}, paths{"Name"}},
		{new(*stamped), paths{"Name"}, paths{"Name"}},
		{new(map[string][]stamped), paths{"[][].Name"}, paths{"[][].Name"}},
		{new(hidden), paths{"Secret"}, paths{"Secret"}},
		{new(jsonOnly), paths{"cents"}, whole},
		{new(textOnly), paths{"."}, paths{"."}},
		{new(drawn), paths{"Shapes[]"}, paths{"Shapes[]"}},
		{new(childByPointer), paths{"parent"}, paths{"parent"}},
		{new(shadowing), paths{"parent.ID"}, paths{"parent.ID"}},
		{newTwice(), paths{"B"}, paths{"B"}},
		{new(addressed), paths{"At"}, paths{"At.User.username", "At.User.password", "At.User.passwordSet"}},
		{new(func()), paths{"."}, paths{"."}},
		{new(struct{ C chan int }), paths{"C"}, paths{"C"}},
		{new(struct{ Z complex128 }), paths{"Z"}, paths{"Z"}},
		{new(struct{ P uintptr }), paths{"P"}, whole},
		{new(struct{ E error }), paths{"E"}, paths{"E"}},
	} {
		for codec, want := range map[remote.TypeChecker]paths{remote.MsgPack{}: test.msgpack, remote.JSON{}: test.json} {
			got := paths{}
			err := codec.CheckType(test.of)
			if lost, ok := errors.AsType[*remote.LossError](err); ok {
				for _, l := range lost.Losses {
					got = append(got, l.Path)
				}
			}
			if !slices.Equal(got, want) || (err != nil) != (len(want) > 0) {
				t.Errorf("%T of a %T: got %q; want %q (%v)", codec, test.of, got, want, err)
			}
		}
	}
}

// The error says what to do.
func TestLossErrorHints(t *testing.T) {
	err := remote.MsgPack{}.CheckType(new(jsonOnly))
	if err == nil || !strings.Contains(err.Error(), "remote.JSON does") || !strings.Contains(err.Error(), "cents") {
		t.Errorf("got %v; want the field, and the codec that has it", err)
	}
	many := new(struct{ a, b, c, d, e, f, g, h, i, j int })
	if err := (remote.MsgPack{}).CheckType(many); err == nil || !strings.HasSuffix(err.Error(), "and 2 more") {
		t.Errorf("got %v; want eight of ten paths", err)
	}
}

// What CheckType takes comes back; that it refuses would not.
func TestRefusedTypesLose(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	lossy := []any{
		priced{"a", money{129900, "EUR"}}, stamped{at, "a"}, &stamped{at, "a"}, hidden{"a", "b"}, jsonOnly{7}, textOnly(3),
	}
	for _, v := range lossy {
		if back := trip(t, remote.MsgPack{}, v); back != nil && len(remote.Diff(v, back)) == 0 {
			t.Errorf("a %T comes back whole from msgpack: %+v", v, back)
		}
	}
}

func TestTimesAreUTC(t *testing.T) {
	zone := time.FixedZone("somewhere", 5*3600)
	at := time.Date(2026, 1, 1, 2, 0, 0, 7, zone)
	type named map[string]time.Time
	type inner struct{ Since time.Time }
	type event struct {
		inner
		At    time.Time
		Maybe *time.Time
		List  []time.Time
		Pair  [2]time.Time
		Of    named
		By    map[time.Time]string
		Any   any
		Bag   map[string]any
		Next  *event
	}
	v := event{
		inner: inner{at}, At: at, Maybe: &at, List: []time.Time{at}, Pair: [2]time.Time{at, at}, Of: named{"k": at}, By: map[time.Time]string{at: "k"},
		Any: at, Bag: map[string]any{"at": at, "list": []any{at, map[string]any{"at": at}}}, Next: &event{At: at},
	}
	back := trip(t, remote.MsgPack{}, v).(event)
	var keys []time.Time
	for k := range back.By {
		keys = append(keys, k)
	}
	list := back.Bag["list"].([]any)
	for i, got := range append(keys, back.At, back.Since, *back.Maybe, back.List[0], back.Pair[0], back.Pair[1], back.Of["k"], back.Any.(time.Time),
		back.Bag["at"].(time.Time), list[0].(time.Time), list[1].(map[string]any)["at"].(time.Time), back.Next.At) {
		if got.Location() != time.UTC || !got.Equal(at) || got.Format(time.DateOnly) != "2025-12-31" {
			t.Errorf("time %d is %v; want %v", i, got, at.UTC())
		}
	}
	for _, v := range []any{at, &at, []time.Time{at}, map[string]time.Time{"k": at}} {
		for _, change := range remote.Diff(v, trip(t, remote.MsgPack{}, v)) {
			t.Errorf("%T: %v", v, change)
		}
	}
	if got := trip(t, remote.MsgPack{}, at).(time.Time); got.Location() != time.UTC {
		t.Errorf("a time alone comes back as %v", got)
	}
	if !(remote.MsgPack{}).Normalizes(new(event)) || (remote.MsgPack{}).Normalizes(new(page)) {
		t.Error("what is normalized is not known")
	}
}

// JSON refuses a text that it would change, and no other.
func TestJSONRefusesInvalidUTF8(t *testing.T) {
	for _, bad := range []any{"caf\xe9", map[string]int{"\xff": 1}, []string{"ok", "\xc3\x28"}} {
		if b, err := (remote.JSON{}).Encode(bad); err == nil || !strings.Contains(err.Error(), "UTF-8") {
			t.Errorf("%q is written as %s, %v", bad, b, err)
		}
	}
	for _, good := range []any{"café", "�", `\ufffd`, `\\ufffd`, "<&>\u2028", map[string]string{`\`: `\ufffd`}} {
		for _, change := range remote.Diff(good, trip(t, remote.JSON{}, good)) {
			t.Errorf("%q: %v", good, change)
		}
	}
}

func TestDiff(t *testing.T) {
	type line struct{ Meta any }
	type order struct {
		Lines []line
		Tags  []string
		Count *int
		By    map[string]int
		cents int
	}
	one := 1
	whole := order{Lines: []line{{1}, {"a"}}, Tags: []string{}, Count: &one, By: map[string]int{"a": 1}, cents: 5}
	for want, change := range map[string]func(*order){
		"":                                  func(*order) {},
		"Lines[].Meta: int became int8":     func(o *order) { o.Lines = []line{{int8(1)}, {"a"}} },
		"Lines: another length":             func(o *order) { o.Lines = nil; o.Lines = []line{{1}} },
		"Tags: a []string became nil":       func(o *order) { o.Tags = nil },
		"Count: a *int became nil":          func(o *order) { o.Count = nil },
		"By[]: another int":                 func(o *order) { o.By = map[string]int{"a": 2} },
		"By[key]: other keys":               func(o *order) { o.By = map[string]int{"b": 1} },
		"cents: another int":                func(o *order) { o.cents = 0 },
		"Lines[].Meta: a string became nil": func(o *order) { o.Lines = []line{{1}, {nil}} },
	} {
		other := whole
		change(&other)
		var got []string
		for _, l := range remote.Diff(&whole, &other) {
			got = append(got, l.Path+": "+l.Why)
		}
		if text := strings.Join(got, ", "); text != want {
			t.Errorf("got %q; want %q", text, want)
		}
	}
}

// trip returns what a codec gives back of a value, or nil.
func trip(t *testing.T, c remote.Codec, v any) any {
	t.Helper()
	payload, err := c.Encode(v)
	if err != nil {
		return nil
	}
	at := reflect.New(reflect.TypeOf(v))
	if err := c.Decode(payload, at.Interface()); err != nil {
		return nil
	}
	return at.Elem().Interface()
}
