package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tandem-cache/tandem/internal/servertest"
)

// TestGuide starts the program, runs every command that it prints, and stops it.
func TestGuide(t *testing.T) {
	testGuide(t, config{}, nil)
}

func testGuide(t *testing.T, cfg config, env []string) {
	t.Helper()
	cfg.host, cfg.pods, cfg.log = "127.0.0.1", 3, quiet()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, cfg, writer)
		_ = writer.Close()
		ended <- err
	}()

	lines := bufio.NewScanner(reader)
	commands := readGuide(t, lines)
	statuses := 0
	for _, command := range commands {
		out := shell(t, command, env)
		for _, status := range regexp.MustCompile(`(?m)^HTTP/1.1 (\d+)`).FindAllStringSubmatch(out, -1) {
			statuses++
			if status[1] > "299" {
				t.Errorf("%s\nanswers %s", command, out)
			}
		}
	}
	if statuses < 15 {
		t.Errorf("the commands made %d requests; want at least 15", statuses)
	}

	cancel()
	var rest []string
	for lines.Scan() {
		rest = append(rest, lines.Text())
	}
	if err := <-ended; err != nil {
		t.Errorf("run: %v", err)
	}
	if n := len(rest); n == 0 || rest[n-1] != "Stopped." {
		t.Errorf("the program ended with %q", rest)
	}
}

// readGuide returns the commands of the guide, which are indented and follow a comment.
func readGuide(t *testing.T, lines *bufio.Scanner) (commands []string) {
	t.Helper()
	comment := false
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "Ctrl-C") {
			return commands
		}
		if strings.HasPrefix(line, "Serving, but") {
			t.Error(line)
		}
		if comment {
			commands = append(commands, strings.TrimSpace(line))
		}
		comment = strings.HasPrefix(line, "  # ")
	}
	t.Fatal("the program ended before its guide did")
	return nil
}

// shell runs a command as somebody would who pastes it.
func shell(t *testing.T, command string, env []string) string {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Fatal("curl is missing: install it (apt-get install curl)")
	}
	psql, err := servertest.Tool("psql")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", command)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":"+filepath.Dir(psql))
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}
