package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// copied are the directories that the mutated packages and their tests are built from, besides the files at the root.
var copied = []string{
	"local", "remote", "bus", "tier", "cdc", filepath.Join("internal", "episode"), filepath.Join("internal", "script"),
	filepath.Join("internal", "servertest"), filepath.Join("internal", "doctable"), filepath.FromSlash(simulation),
}

// moduleRoot is the directory of the module that the working directory belongs to.
func moduleRoot() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tandem-cache/tandem").Output()
	if err != nil {
		return "", fmt.Errorf("where is the module: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// copyTree copies what is needed of the module at root to a new directory.
func copyTree(root, to string) error {
	for _, name := range []string{"go.mod", "go.sum"} {
		if err := copyFile(filepath.Join(root, name), filepath.Join(to, name)); err != nil {
			return err
		}
	}
	for _, dir := range copied {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() {
				return nil
			}
			rel, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			return copyFile(path, filepath.Join(to, rel))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o644)
}

// apply changes the mutation's file in the tree at dir, and returns what restores it.
func (m mutation) apply(dir string) (restore func() error, err error) {
	path := filepath.Join(dir, filepath.FromSlash(m.file))
	whole, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if n := strings.Count(string(whole), m.old); n != 1 {
		return nil, fmt.Errorf("its text occurs %d times in %s", n, m.file)
	}
	changed := strings.Replace(string(whole), m.old, m.new, 1)
	if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
		return nil, err
	}
	return func() error { return os.WriteFile(path, whole, 0o644) }, nil
}

// packages are the directories whose tests are run, each once.
func packages(all []mutation) []string {
	var dirs []string
	for _, m := range all {
		if !slices.Contains(dirs, m.pkg) {
			dirs = append(dirs, m.pkg)
		}
	}
	return dirs
}
