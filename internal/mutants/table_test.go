package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A mutation whose text is gone proves nothing: who changes the code changes the table.
func TestTableFitsTheCode(t *testing.T) {
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, m := range mutations() {
		if seen[m.name] {
			t.Errorf("%s is there twice", m.name)
		}
		seen[m.name] = true
		code, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(m.file)))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(code), m.old); n != 1 {
			t.Errorf("%s: its text occurs %d times in %s; want 1: %q", m.name, n, m.file, m.old)
		}
		if m.old == m.new || m.rule == "" || m.pkg == "" || m.run == "" {
			t.Errorf("%s changes nothing, or has no rule or no test", m.name)
		}
	}
}

// A test that was renamed notices nothing any more.
func TestTestsExist(t *testing.T) {
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	for _, pkg := range packages(mutations()) {
		files, err := filepath.Glob(filepath.Join(root, pkg, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		var code strings.Builder
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			code.Write(b)
		}
		for _, m := range mutations() {
			if m.pkg != pkg {
				continue
			}
			for test := range strings.SplitSeq(m.run, "|") {
				outer, _, _ := strings.Cut(test, "/")
				name := strings.Trim(outer, "^$")
				if !strings.Contains(code.String(), "\nfunc "+name+"(t *testing.T)") {
					t.Errorf("%s: there is no %s in %s", m.name, name, pkg)
				}
			}
		}
	}
}

// A copy that lacks a package of ours does not compile, whatever the mutation.
func TestTheCopyIsWhole(t *testing.T) {
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	list := exec.Command("go", "list", "-deps", "-test", "-f", "{{.ImportPath}} {{.Dir}}")
	for _, pkg := range append(packages(mutations()), simulation) {
		list.Args = append(list.Args, "./"+pkg)
	}
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		_, dir, _ := strings.Cut(strings.TrimSpace(line), " ")
		rel, err := filepath.Rel(root, dir)
		if dir == "" || err != nil || !filepath.IsLocal(rel) {
			continue // not ours
		}
		if !slices.ContainsFunc(copied, func(c string) bool { return rel == c || strings.HasPrefix(rel, c+string(filepath.Separator)) }) {
			t.Errorf("%s is not among the directories that are copied", rel)
		}
	}
}

// The table in docs/mutants.md is what -list prints.
func TestDocsHaveTheTable(t *testing.T) {
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "mutants.md"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), table(mutations())) {
		t.Error("docs/mutants.md does not have the table of `go run ./internal/mutants -list`: paste it there")
	}
}

func TestChooseRefuses(t *testing.T) {
	for _, pattern := range []string{"(", "no such mutation"} {
		if _, err := choose(pattern); err == nil {
			t.Errorf("%q: no error", pattern)
		}
	}
}

func TestVerdicts(t *testing.T) {
	for out, want := range map[string]string{
		"=== RUN   TestA\n--- PASS: TestA (0.00s)\nPASS\n":                                                   "",
		"=== RUN   TestA\n--- FAIL: TestA (0.00s)\n    --- FAIL: TestA/redis (0.00s)\n    --- FAIL: TestA/b": "TestA/redis",
		"=== RUN   TestA\n=== RUN   TestA/x\npanic: test timed out after 1s\n":                               "TestA/x (timeout)",
		"=== RUN   TestA\nfatal error: all goroutines are asleep\n":                                          "TestA (panic)",
	} {
		got := ""
		if failed := failures([]byte(out)); len(failed) > 0 {
			got = innermost(failed)
		}
		if got != want {
			t.Errorf("got %q; want %q of:\n%s", got, want, out)
		}
	}
}
