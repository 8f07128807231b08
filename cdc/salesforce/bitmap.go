package salesforce

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// field is a field of a record in its writer schema. Its place among the others is
// its number in a bitmap.
type field struct {
	name  string
	parts []string // the fields of its record, in their order; nil: it isn't compound
}

// changedFields decodes one of the header's lists of fields. Its first element may be a bitmap over
// fields, "0x" and hexadecimal digits, whose bit 0 is the last digit's lowest, and stands for the first
// field. The others are each a bitmap over the parts of one compound field, "4-0x1": the field's number, and
// the same again. A part reads "field.part", and a field whose parts are all there reads as the field.
//
// Anything else, and a bit that stands for no field of the body, is an error: the caller then takes it
// that any field may have changed, which a list with one missing would not say.
func changedFields(fields []field, masks []string) ([]string, error) {
	var names []string
	for i, mask := range masks {
		var more []string
		var err error
		if digits, ok := strings.CutPrefix(mask, "0x"); ok && i == 0 {
			more, err = wholeFields(fields, digits)
		} else {
			more, err = partsOf(fields, mask)
		}
		if err != nil {
			return nil, err
		}
		if names = append(names, more...); len(names) > maxFields {
			return nil, fmt.Errorf("salesforce: bitmaps name more than %d fields", maxFields)
		}
	}
	return names, nil
}

func wholeFields(fields []field, digits string) ([]string, error) {
	set, err := bits(digits, len(fields))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, i := range set {
		if fields[i].name == headerField {
			return nil, errors.New("salesforce: a bitmap names the event's header as a field")
		}
		names = append(names, fields[i].name)
	}
	return names, nil
}

func partsOf(fields []field, mask string) ([]string, error) {
	number, digits, ok := strings.Cut(mask, "-0x")
	parent, err := strconv.ParseUint(number, 10, 16)
	if !ok || err != nil || int(parent) >= len(fields) || len(fields[parent].parts) == 0 {
		return nil, errors.New("salesforce: a bitmap is of no compound field")
	}
	f := fields[parent]
	set, err := bits(digits, len(f.parts))
	if err != nil {
		return nil, err
	}
	if len(set) == len(f.parts) {
		return []string{f.name}, nil
	}
	var names []string
	for _, i := range set {
		names = append(names, f.name+"."+f.parts[i])
	}
	return names, nil
}

// bits returns the numbers of the bits that are set, lowest first, each below n.
func bits(digits string, n int) ([]int, error) {
	if digits == "" {
		return nil, errors.New("salesforce: a bitmap is empty")
	}
	var set []int
	for i := range len(digits) {
		nibble, err := strconv.ParseUint(digits[len(digits)-1-i:len(digits)-i], 16, 8)
		if err != nil {
			return nil, errors.New("salesforce: a bitmap isn't hexadecimal")
		}
		for bit := range 4 {
			if nibble>>bit&1 == 0 {
				continue
			}
			if 4*i+bit >= n {
				return nil, fmt.Errorf("salesforce: a bitmap has bit %d set, of %d fields", 4*i+bit, n)
			}
			set = append(set, 4*i+bit)
		}
	}
	return set, nil
}
