package servertest_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/internal/servertest"
)

func TestMissingBinary(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := servertest.NewRedis(t.TempDir()); err == nil || !strings.Contains(err.Error(), "apt-get install redis-server") {
		t.Errorf("redis-server: got %v; want what to install", err)
	}
	for _, name := range []string{"postgres", "pgbench"} {
		_, err := servertest.PostgresTool(filepath.Join(t.TempDir(), "*/bin"), name)
		if err == nil || !strings.Contains(err.Error(), "apt-get install postgresql") {
			t.Errorf("%s: got %v; want what to install", name, err)
		}
	}
}

func TestHighestPostgresWins(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	root := t.TempDir()
	for _, v := range []string{"9", "15", "17"} {
		bin := filepath.Join(root, v, "bin")
		if err := os.MkdirAll(bin, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"postgres", "pgbench"} {
			if err := os.WriteFile(filepath.Join(bin, name), nil, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := filepath.Join(root, "17", "bin", "pgbench")
	if got, err := servertest.PostgresTool(filepath.Join(root, "*/bin"), "pgbench"); got != want || err != nil {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

func TestUnreachableDirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root hands its directory to another user")
	}
	closed := filepath.Join(openDir(t), "closed")
	if err := os.MkdirAll(filepath.Join(closed, "pg"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := servertest.NewPostgres(filepath.Join(closed, "pg"))
	if err == nil || !strings.Contains(err.Error(), closed) {
		t.Errorf("got %v; want an error that names %s", err, closed)
	}
}

// TestNothingOutlives kills this test binary, run again as a child with a server
// of each kind, and expects the servers to follow.
func TestNothingOutlives(t *testing.T) {
	if dir := os.Getenv("SERVERTEST_CHILD"); dir != "" {
		hold(t, dir)
		return
	}
	dir := openDir(t)
	child := exec.Command(os.Args[0], "-test.run=^TestNothingOutlives$")
	child.Env = append(os.Environ(), "SERVERTEST_CHILD="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var redis, postgres int
	if _, err := fmt.Fscanf(out, "%d %d\n", &redis, &postgres); err != nil {
		t.Fatal(err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // killed
	for _, pid := range []int{redis, postgres} {
		awaitGone(t, pid)
	}
}

// hold starts one server of each kind, prints their process ids and waits to be
// killed.
func hold(t *testing.T, dir string) {
	rdsDir, pgDir := filepath.Join(dir, "redis"), filepath.Join(dir, "pg")
	for _, d := range []string{rdsDir, pgDir} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	rds, err := servertest.NewRedis(rdsDir)
	if err != nil {
		t.Fatal(err)
	}
	pg, err := servertest.NewPostgres(pgDir)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(servertest.PID(rds.Server), servertest.PID(pg.Server))
	select {}
}

// awaitGone gives the process a minute. Ended but not reaped counts as gone: in a
// container the first process may not reap what it inherits.
func awaitGone(t *testing.T, pid int) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for alive(pid) {
		if time.Now().After(deadline) {
			t.Errorf("process %d lives on", pid)
			_ = syscall.Kill(pid, syscall.SIGKILL)
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z")
}

// openDir is a t.TempDir that other users may enter.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "servertest") //nolint:usetesting // t.TempDir is closed to others
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
