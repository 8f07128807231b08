package tandem_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestReadmeExample compiles and runs the README's first program and compares what it prints.
func TestReadmeExample(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```go\n(package main.*?)```.*?```text\n(.*?)```").FindSubmatch(readme)
	if blocks == nil {
		t.Fatal("README.md has no Go program followed by its output")
	}
	program := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(program, blocks[1], 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "run", program)
	cmd.Stderr = os.Stderr
	got, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(blocks[2]), string(got)); diff != "" {
		t.Errorf("the README's program prints something else (-README +program):\n%s", diff)
	}
}
