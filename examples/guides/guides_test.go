package guides_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// root is the repository, from this directory.
const root = "../.."

// guides are the ones whose code is looked for.
var guides = []string{"getting-started.md", "new-service.md", "keys.md", "strategies.md", "best-practices.md"}

// TestCodeOfGuides looks for each block of Go of the guides in the sources of the repository, all of which are compiled and tested. A line
// with "…" alone stands for whatever was left out.
func TestCodeOfGuides(t *testing.T) {
	sources := readSources(t)
	for _, guide := range guides {
		text := readFile(t, filepath.Join(root, "docs", guide))
		for _, block := range blocksOf(text, "go") {
			for _, part := range regexp.MustCompile(`(?m)^\s*(// )?…\s*$`).Split(block, -1) {
				part = flush(part)
				if !anyContains(sources, part) {
					t.Errorf("docs/%s has code that is nowhere in examples or tier's tests:\n%s", guide, part)
				}
			}
		}
	}
}

// TestOutputsOfGuides looks for each text that code of the guides prints among the outputs of examples.
func TestOutputsOfGuides(t *testing.T) {
	sources := readSources(t)
	for _, guide := range guides {
		for _, block := range blocksOf(readFile(t, filepath.Join(root, "docs", guide)), "text") {
			output := regexp.MustCompile(`(?m)^`).ReplaceAllString(strings.TrimSpace(block), "// ")
			if !anyContains(sources, "// Output:\n"+output) && !anyContains(sources, "// Output: "+strings.TrimSpace(block)) {
				t.Errorf("docs/%s has an output that no example prints:\n%s", guide, block)
			}
		}
	}
}

// readSources returns the code that guides may quote, without indentation.
func readSources(t *testing.T) (sources []string) {
	t.Helper()
	for _, dir := range []string{"examples", "tier"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(name string, _ fs.DirEntry, err error) error {
			if err == nil && (dir == "examples" && strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "example_test.go")) {
				sources = append(sources, flush(readFile(t, name)))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return sources
}

func anyContains(sources []string, part string) bool {
	for _, source := range sources {
		if strings.Contains("\n"+source+"\n", "\n"+part+"\n") {
			return true
		}
	}
	return false
}

// flush takes the indentation off.
func flush(code string) string {
	return strings.TrimSpace(regexp.MustCompile(`(?m)^[\t ]+`).ReplaceAllString(code, ""))
}

// blocksOf returns the fenced blocks of a language; "" are those without one.
func blocksOf(text, language string) (blocks []string) {
	for _, found := range regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		if found[1] == language {
			blocks = append(blocks, found[2])
		}
	}
	return blocks
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// TestLinksOfGuides follows the links that stay in the repository.
func TestLinksOfGuides(t *testing.T) {
	for _, guide := range append(guides, "../README.md") {
		text := readFile(t, filepath.Join(root, "docs", guide))
		for _, found := range regexp.MustCompile(`\]\(([^):#]+)(#[^)]*)?\)`).FindAllStringSubmatch(text, -1) {
			target := filepath.Join(root, "docs", filepath.Dir(guide), found[1])
			if _, err := os.Stat(target); err != nil {
				t.Errorf("docs/%s links to %s: %v", guide, found[1], err)
			}
		}
	}
}
