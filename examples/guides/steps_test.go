package guides_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/internal/servertest"
)

// patience is for what must happen, the compiler's work included.
const patience = 2 * time.Minute

// A step is a command of a guide, and what it prints there.
type step struct{ command, output string }

// stepsOf returns what the blocks that begin with a prompt say.
func stepsOf(text string) (steps []step) {
	for _, block := range blocksOf(text, "") {
		for _, line := range strings.SplitAfter(block, "\n") {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				steps = append(steps, step{command: strings.TrimSpace(command)})
			} else if n := len(steps); n > 0 {
				steps[n-1].output += line
			}
		}
	}
	return steps
}

// TestGettingStarted runs the commands of docs/getting-started.md, in their order, in one shell, and compares what they print: "…" stands for
// anything. The servers are this machine's, with the settings of the compose file; so the commands of docker are left out. Addresses are
// exchanged for free ones.
func TestGettingStarted(t *testing.T) {
	compose := readCompose(t)
	rds := servertest.StartRedis(t, compose.arguments(t, "cache")...)
	pg := servertest.StartPostgres(t, settings(compose.arguments(t, "postgres"))...)
	sh := startShell(t, strings.NewReplacer(
		"127.0.0.1:6379", rds.Addr,
		"127.0.0.1:5432", hostOf(pg.URL),
		"127.0.0.1:8080", freeAddr(t),
		"127.0.0.1:8090", freeAddr(t),
	))
	sh.run(`psql "`+pg.URL+`" -q -c "CREATE ROLE shop LOGIN SUPERUSER" -c "CREATE DATABASE shop OWNER shop"`, "") // as the image does

	steps := stepsOf(readFile(t, filepath.Join(root, "docs", "getting-started.md")))
	if len(steps) < 20 {
		t.Fatalf("the guide has %d commands; want 20 at least", len(steps))
	}
	for _, s := range steps {
		switch {
		case strings.HasPrefix(s.command, "docker "):
		case strings.HasSuffix(s.command, "&"):
			sh.start(s.command)
		case strings.Contains(s.command, "pg_drop_replication_slot"):
			sh.stopAll()
			sh.run(s.command, s.output)
		default:
			sh.run(s.command, s.output)
		}
	}
}

// settings are those of "-c name=value".
func settings(args []string) (set []string) {
	for _, arg := range args {
		if arg != "-c" {
			set = append(set, arg)
		}
	}
	return set
}

// A shell runs commands as somebody would who pastes them; what is exported stays.
type shell struct {
	t     *testing.T
	local *strings.Replacer
	env   []string
	pods  []*exec.Cmd
}

func startShell(t *testing.T, local *strings.Replacer) *shell {
	t.Helper()
	psql, err := servertest.Tool("psql")
	if err != nil {
		t.Fatal(err)
	}
	sh := &shell{t: t, local: local, env: append(os.Environ(), "PATH="+os.Getenv("PATH")+":"+filepath.Dir(psql))}
	t.Cleanup(sh.stopAll)
	return sh
}

func (sh *shell) command(command string) *exec.Cmd {
	cmd := exec.Command("bash", "-ec", sh.local.Replace(command))
	cmd.Dir, cmd.Env = root, sh.env
	return cmd
}

// run runs a command until it prints what is wanted: the feed may need a moment.
func (sh *shell) run(command, want string) {
	sh.t.Helper()
	if assignment, ok := strings.CutPrefix(command, "export "); ok {
		sh.env = append(sh.env, sh.local.Replace(assignment))
		return
	}
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		cmd := sh.command(command)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		again := strings.HasPrefix(command, "curl ") && time.Since(began) < patience
		switch {
		case err == nil && prints(string(out), want):
			return
		case !again:
			sh.t.Fatalf("$ %s\n%s%s%v\nwant:\n%s", command, out, stderr.String(), err, want)
		}
	}
}

// prints compares an output with the guide's.
func prints(got, want string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(want)), "…", "(?s:.*)")
	return regexp.MustCompile("^" + pattern + "$").MatchString(strings.TrimSpace(got))
}

// start starts what runs in the background, and waits until it serves.
func (sh *shell) start(command string) {
	sh.t.Helper()
	cmd := sh.command(strings.TrimSuffix(command, "&"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // with what "go run" starts
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		sh.t.Fatal(err)
	}
	sh.t.Cleanup(func() {
		if sh.t.Failed() {
			sh.t.Logf("$ %s\n%s", command, log.String())
		}
	})
	sh.pods = append(sh.pods, cmd)
	addr := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(command)
	sh.run(fmt.Sprintf("curl -s http://%s/health/cdc/shop-feed", addr), `…"connected":true…`)
}

// stopAll ends what runs in the background, as Ctrl-C does.
func (sh *shell) stopAll() {
	for _, cmd := range sh.pods {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		_ = cmd.Wait()
	}
	sh.pods = nil
}

func hostOf(url string) string {
	return regexp.MustCompile(`[^/@]+:\d+`).FindString(url)
}

func freeAddr(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func TestPrints(t *testing.T) {
	for _, c := range []struct {
		got, want string
		same      bool
	}{
		{"a b\n", "a b", true},
		{"a b", "a …", true},
		{"x\ny\nz", "x\n…", true},
		{"a.b", "a…c", false},
		{"acb", "a.b", false},
		{"a b c", "a b", false},
	} {
		if got := prints(c.got, c.want); got != c.same {
			t.Errorf("prints(%q, %q) is %t", c.got, c.want, got)
		}
	}
}
