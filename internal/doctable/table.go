// Package doctable reads the tables of the docs, for the tests that compare them with the code.
package doctable

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// A Table is one of a Markdown file.
type Table struct {
	Rows  map[string][]string // by their first cell; cells keep their backticks
	Order []string            // of the first cells
}

// Read returns the first table of a file whose heads begin with heads. A row that has not as many cells as there are heads, or the first
// cell of another, fails the test.
func Read(t *testing.T, file string, heads ...string) Table {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	tab, width := Table{Rows: make(map[string][]string)}, 0
	for line := range strings.Lines(string(text)) {
		cells, ok := cellsOf(line)
		switch {
		case !ok && width > 0:
			return tab
		case !ok:
		case width == 0 && len(cells) >= len(heads) && slices.Equal(cells[:len(heads)], heads):
			width = len(cells)
		case width == 0 || strings.HasPrefix(cells[0], "---"):
		case len(cells) != width:
			t.Errorf("%s: a row of %d cells; want %d: %s", file, len(cells), width, line)
		case tab.Rows[cells[0]] != nil:
			t.Errorf("%s: %s has two rows", file, cells[0])
		default:
			tab.Rows[cells[0]] = cells
			tab.Order = append(tab.Order, cells[0])
		}
	}
	if width == 0 {
		t.Fatalf("%s has no table that begins with %q", file, heads)
	}
	return tab
}

// cellsOf splits a line of a table, in which no cell holds a bar.
func cellsOf(line string) ([]string, bool) {
	line = strings.TrimSpace(line)
	if !strings.HasPrefix(line, "|") || !strings.HasSuffix(line, "|") {
		return nil, false
	}
	cells := strings.Split(strings.Trim(line, "|"), "|")
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	return cells, true
}
