package salesforcetest

import (
	"fmt"
	"time"
)

// Type is what a field holds. The zero value is Text.
type Type uint8

// The types of fields. Dates and times are Time; picklists, references and ids are Text.
const (
	Text       Type = iota
	Double          // numbers, currencies, percentages
	Int             // whole numbers of 32 bits
	Boolean         // check boxes
	Time            // milliseconds since 1970; a change may give a time.Time
	Address         // compound: Street, City, State, PostalCode, Country, Latitude, Longitude, GeocodeAccuracy
	PersonName      // compound: Salutation, FirstName, LastName, MiddleName, Suffix
	SwitchName      // Text, or a PersonName
)

// Field is a field of an entity. Its place among the others is its number in bitmaps.
type Field struct {
	Name string
	Type Type
}

// compound is a record that fields share.
type compound struct {
	record string
	parts  []Field
}

func (t Type) compound() *compound {
	switch t {
	case Address:
		return &compound{"Address", []Field{
			{Name: "Street"},
			{Name: "City"},
			{Name: "State"},
			{Name: "PostalCode"},
			{Name: "Country"},
			{"Latitude", Double},
			{"Longitude", Double},
			{Name: "GeocodeAccuracy"},
		}}
	case PersonName, SwitchName:
		record := "PersonName"
		if t == SwitchName {
			record = "Switchable_PersonName"
		}
		return &compound{record, []Field{
			{Name: "Salutation"}, {Name: "FirstName"}, {Name: "LastName"}, {Name: "MiddleName"}, {Name: "Suffix"},
		}}
	default:
		return nil
	}
}

func (t Type) valid() bool { return t <= SwitchName }

// value makes of v what Avro writes for a field of type t.
func (t Type) value(v any) (any, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil //nolint:nilnil // null is a value
	case string:
		if t == Text || t == SwitchName {
			return v, nil
		}
	case bool:
		if t == Boolean {
			return v, nil
		}
	case time.Time:
		if t == Time {
			return v.UnixMilli(), nil
		}
	case int:
		return t.number(int64(v))
	case int32:
		return t.number(int64(v))
	case int64:
		return t.number(v)
	case float64:
		if t == Double {
			return v, nil
		}
	case float32:
		return Double.value(float64(v))
	}
	return nil, fmt.Errorf("a %T", v)
}

func (t Type) number(n int64) (any, error) {
	switch {
	case t == Double:
		return float64(n), nil
	case t == Time:
		return n, nil
	case t == Int && int64(int32(n)) == n:
		return int32(n), nil
	default:
		return nil, fmt.Errorf("the number %d", n)
	}
}
