package tandem_test

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// A table is one of a Markdown file: its heads, and its rows by their first cell.
type table struct {
	heads []string
	rows  map[string][]string
	order []string // of the rows' first cells
}

// readTable returns the first table of a file under docs whose heads begin with heads. A cell keeps its backticks.
func readTable(t *testing.T, file string, heads ...string) table {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	tab := table{rows: make(map[string][]string)}
	for line := range strings.Lines(string(text)) {
		cells, ok := cellsOf(line)
		switch {
		case !ok && tab.heads != nil:
			return tab
		case !ok:
		case tab.heads == nil && len(cells) >= len(heads) && slices.Equal(cells[:len(heads)], heads):
			tab.heads = cells
		case tab.heads == nil || strings.HasPrefix(cells[0], "---"):
		case len(cells) != len(tab.heads):
			t.Errorf("%s: a row of %d cells; want %d: %s", file, len(cells), len(tab.heads), line)
		case tab.rows[cells[0]] != nil:
			t.Errorf("%s: %s has two rows", file, cells[0])
		default:
			tab.rows[cells[0]] = cells
			tab.order = append(tab.order, cells[0])
		}
	}
	if tab.heads == nil {
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
