package tandem_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestReplaceLines runs the commands that getting-started gives for a module of one's own, beside a clone, and builds the README's program there.
func TestReplaceLines(t *testing.T) {
	guide, err := os.ReadFile("docs/getting-started.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile("(?s)```sh\n(go mod edit -replace .*?)```").FindSubmatch(guide)
	if commands == nil {
		t.Fatal("docs/getting-started.md has no replace lines")
	}
	clone, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(clone, filepath.Join(dir, "tandem")); err != nil {
		t.Fatal(err)
	}
	mine := filepath.Join(dir, "mine")
	if err := os.Mkdir(mine, 0o755); err != nil {
		t.Fatal(err)
	}
	program, _ := readmeProgram(t)
	for name, code := range map[string][]byte{
		"main.go": program,
		"feed.go": []byte("package main\n\nimport _ \"github.com/tandem-cache/tandem/cdc/postgres\"\n"),
	} {
		if err := os.WriteFile(filepath.Join(mine, name), code, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-euc", "go mod init example.com/mine\n"+string(commands[1])+"go mod tidy\ngo build -o program .")
	cmd.Dir, cmd.Env = mine, append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestReadmeExample compiles and runs the README's first program and compares what it prints.
func TestReadmeExample(t *testing.T) {
	code, want := readmeProgram(t)
	program := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(program, code, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "run", program)
	cmd.Stderr = os.Stderr
	got, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("the README's program prints something else (-README +program):\n%s", diff)
	}
}

// readmeProgram returns the README's first program, and what it prints.
func readmeProgram(t *testing.T) (code, output []byte) {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```go\n(package main.*?)```.*?```text\n(.*?)```").FindSubmatch(readme)
	if blocks == nil {
		t.Fatal("README.md has no Go program followed by its output")
	}
	return blocks[1], blocks[2]
}
