package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// testTimeout bounds one run of a test binary.
const testTimeout = 120 * time.Second

// A tree is a copy of the module in which one mutation at a time is tried.
type tree struct{ dir string }

// build makes the test binary of pkg. Its error shows what the compiler said.
func (t tree) build(ctx context.Context, pkg, name string) (binary string, err error) {
	binary = filepath.Join(t.dir, name)
	// Paths are trimmed so that all copies share what the build cache has.
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-trimpath", "-ldflags=-s -w", "-o", binary)
	cmd.Dir = filepath.Join(t.dir, pkg)
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("does not compile: %w\n%s", err, out)
	}
	return binary, nil
}

// A result is what a run of tests gave.
type result struct {
	failed []string // the tests that failed, outermost first; of one that hung, its name and "(timeout)"
	ran    bool     // some test matched
}

// test runs the tests of a binary that match run.
func (t tree) test(ctx context.Context, binary, pkg, run string, count int, limit time.Duration, flags ...string) (result, error) {
	limit = cmp.Or(limit, testTimeout)
	ctx, cancel := context.WithTimeout(ctx, limit+30*time.Second)
	defer cancel()
	args := append([]string{
		"-test.v", "-test.run=" + run, fmt.Sprintf("-test.count=%d", cmp.Or(count, 1)), "-test.timeout=" + limit.String(),
	}, flags...)
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = filepath.Join(t.dir, pkg)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		return result{}, errors.Join(err, ctx.Err())
	}
	r := result{failed: failures(out), ran: bytes.Contains(out, []byte("=== RUN"))}
	if err != nil && len(r.failed) == 0 {
		return r, fmt.Errorf("ended without naming a test: %w\n%s", err, out[max(0, len(out)-2000):])
	}
	return r, nil
}

var (
	failLine = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)
	runLine  = regexp.MustCompile(`(?m)^=== RUN\s+(\S+)`)
)

// failures are the tests that out, of a verbose run, says have failed: by their verdict, or by the end of the process.
func failures(out []byte) []string {
	var tests []string
	for _, match := range failLine.FindAllSubmatch(out, -1) {
		tests = append(tests, string(match[1]))
	}
	how := ""
	switch {
	case len(tests) > 0:
		return tests
	case bytes.Contains(out, []byte("panic: test timed out")):
		how = " (timeout)"
	case bytes.Contains(out, []byte("\npanic: ")), bytes.Contains(out, []byte("fatal error: ")):
		how = " (panic)"
	default:
		return nil
	}
	if running := runLine.FindAllSubmatch(out, -1); len(running) > 0 {
		tests = append(tests, string(running[len(running)-1][1])+how)
	}
	return tests
}

// innermost is the most telling of the failed tests: the first one's first failed subtest, if it has one.
func innermost(failed []string) string {
	found := failed[0]
	for _, test := range failed[1:] {
		if strings.HasPrefix(test, found+"/") {
			found = test
		}
	}
	return found
}
