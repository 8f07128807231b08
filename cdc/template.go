package cdc

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// template is a name with places for the values of columns.
type template struct {
	pieces []templatePiece
	tail   string // after the last piece; all of a name without places
}

// templatePiece is what precedes a place, the column whose value goes there, and what is made of the value.
type templatePiece struct {
	text, column string
	place        string // as it was written, the column and its filters
	filters      []func(string) string
}

// filters are what {column|filter} may ask for.
var filters = map[string]func(string) string{
	"trim":  strings.TrimSpace,
	"lower": strings.ToLower,
	"upper": strings.ToUpper,
}

// value is that of the row's column, filtered.
func (p *templatePiece) value(row Row) string {
	v := row[p.column]
	for _, f := range p.filters {
		v = f(v)
	}
	return v
}

func parseTemplate(name string) (template, error) {
	var t template
	switch {
	case name == "":
		return t, errors.New("an empty name")
	case strings.Contains(name, "%7B"), strings.Contains(name, "%7D"):
		return t, fmt.Errorf("%q has escaped braces: write {column} without tier.ID, the values are escaped later", name)
	}
	rest := name
	for {
		text, after, found := strings.Cut(rest, "{")
		if strings.Contains(text, "}") {
			return t, fmt.Errorf("%q closes a brace that is not open", name)
		}
		if !found {
			t.tail = text
			return t, nil
		}
		column, after, found := strings.Cut(after, "}")
		switch {
		case !found, strings.Contains(column, "{"):
			return t, fmt.Errorf("%q opens a brace and does not close it", name)
		case column == "":
			return t, fmt.Errorf("%q has empty braces: name the column", name)
		}
		piece, err := parsePlace(text, column)
		if err != nil {
			return t, fmt.Errorf("%q: %w", name, err)
		}
		t.pieces = append(t.pieces, piece)
		rest = after
	}
}

// String returns the template as it was written.
func (t *template) String() string {
	var b strings.Builder
	for _, p := range t.pieces {
		b.WriteString(p.text + "{" + p.place + "}")
	}
	return b.String() + t.tail
}

// parsePlace reads what stands between braces: a column, and its filters in their order.
func parsePlace(text, place string) (templatePiece, error) {
	names := strings.Split(place, "|")
	p := templatePiece{text: text, column: names[0], place: place}
	if p.column == "" {
		return p, fmt.Errorf("{%s} names no column", place)
	}
	for _, name := range names[1:] {
		f, ok := filters[name]
		if !ok {
			return p, fmt.Errorf("{%s} has the filter %q: want one of %s", place, name, strings.Join(slices.Sorted(maps.Keys(filters)), ", "))
		}
		p.filters = append(p.filters, f)
	}
	return p, nil
}

// appendEscaped appends the name that the row gives, which has all columns, with its values as tier.ID writes them. differs: they read
// otherwise as they are.
func (t *template) appendEscaped(b []byte, row Row) (_ []byte, differs bool) {
	for i := range t.pieces {
		p := &t.pieces[i]
		value := p.value(row)
		b = append(b, p.text...)
		n := len(b) + len(value)
		b = appendEscaped(b, value)
		differs = differs || len(b) != n
	}
	return append(b, t.tail...), differs
}

// appendRaw does it with the values as they are.
func (t *template) appendRaw(b []byte, row Row) []byte {
	for i := range t.pieces {
		p := &t.pieces[i]
		b = append(b, p.text...)
		b = append(b, p.value(row)...)
	}
	return append(b, t.tail...)
}

// appendEscaped appends value as a part of a tier.ID: a test compares the two.
func appendEscaped(b []byte, value string) []byte {
	const hex = "0123456789ABCDEF"
	from := 0
	for i := range len(value) {
		switch c := value[i]; {
		case c <= ' ', c == 0x7f, c == ':', c == '%', c == '{', c == '}':
			b = append(b, value[from:i]...)
			b = append(b, '%', hex[c>>4], hex[c&15])
			from = i + 1
		}
	}
	return append(b, value[from:]...)
}
