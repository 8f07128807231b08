package cdc

import (
	"errors"
	"fmt"
	"strings"
)

// template is a name with places for the values of columns.
type template struct {
	pieces []templatePiece
	tail   string // after the last piece; all of a name without places
}

// templatePiece is what precedes a place, and the column whose value goes there.
type templatePiece struct{ text, column string }

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
		t.pieces = append(t.pieces, templatePiece{text, column})
		rest = after
	}
}

// String returns the template as it was written.
func (t *template) String() string {
	var b strings.Builder
	for _, p := range t.pieces {
		b.WriteString(p.text + "{" + p.column + "}")
	}
	return b.String() + t.tail
}

// appendEscaped appends the name that the row gives, which has all columns, with its values as tier.ID writes them. differs: they read
// otherwise as they are.
func (t *template) appendEscaped(b []byte, row Row) (_ []byte, differs bool) {
	for i := range t.pieces {
		p := &t.pieces[i]
		value := row[p.column]
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
		b = append(b, t.pieces[i].text...)
		b = append(b, row[t.pieces[i].column]...)
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
