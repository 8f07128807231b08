package postgres_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A follower that is killed between any two of its steps, and started again,
// leaves nothing stale. In a child process it kills itself.
func TestCrash(t *testing.T) {
	if config := os.Getenv(crashEnv); config != "" {
		follow(t, config)
		return
	}
	w := newCrashWorld(t)
	for i, at := range []string{
		"before tick", "after tick",
		"before deletes", "after deletes",
		"before table", "after table",
		"before publish", "after publish",
		"before checkpoint", "after checkpoint",
		"before ack", "after ack",
	} {
		ok := t.Run(at, func(t *testing.T) {
			l := w.outlive(t, doom{Name: fmt.Sprintf("crash_%d", i), At: at}, rightOrder)
			if slices.Contains(l.done, "publish") {
				l.settle(l.pods[:2], outdated)
			} else if diff := cmp.Diff(every(2, outdated), l.stale(l.pods[:2], outdated)); diff != "" {
				t.Errorf("nobody was told, and yet this is stale (-want +got):\n%s", diff)
			}

			l.restart()
			l.settle(l.pods, outdated)
			l.untouched()
			events := 3
			if slices.Contains(l.done, "checkpoint") {
				events = 0
			}
			l.goesOn(events)
			l.current()
		})
		if !ok {
			return // the others would only wait for the same
		}
	}
	// Were the steps in another order, this test would see it.
	t.Run("wrong order", func(t *testing.T) {
		l := w.outlive(t, doom{Name: "crash_wrong", At: "before tick", Wrong: true}, wrongOrder)
		l.restart()
		l.goesOn(0) // so that whatever was to come has come
		if diff := cmp.Diff(every(4, outdated), l.stale(l.pods, outdated)); diff != "" {
			t.Errorf("the follower forgot a batch, and yet this is stale (-want +got):\n%s", diff)
		}
	})
}

// every lists keys in each of the first n pods, as stale does.
func every(n int, keys []string) (list []string) {
	for i := range n {
		for _, key := range keys {
			list = append(list, fmt.Sprintf("pod %d: %s", i+1, key))
		}
	}
	return list
}

// child is a doomed process.
type child struct {
	t      *testing.T
	cmd    *exec.Cmd
	trace  *bufio.Scanner
	output bytes.Buffer // for when it fails; complete when it has ended
}

func (l *life) spawn() *child {
	l.t.Helper()
	config, err := json.Marshal(l.doom)
	if err != nil {
		l.t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		l.t.Fatal(err)
	}
	_ = r.SetReadDeadline(time.Now().Add(patience))
	c := &child{t: l.t, cmd: exec.Command(os.Args[0], "-test.run=^TestCrash$"), trace: bufio.NewScanner(r)}
	c.cmd.Env = append(os.Environ(), crashEnv+"="+string(config))
	c.cmd.ExtraFiles = []*os.File{w} // traceFD
	c.cmd.Stdout, c.cmd.Stderr = &c.output, &c.output
	_, err = c.cmd.StdinPipe() // open while we live
	if err == nil {
		err = c.cmd.Start()
	}
	_ = w.Close()
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		c.end()
		_ = r.Close()
	})
	return c
}

// end waits for the child's end, and makes it if need be.
func (c *child) end() {
	if c.cmd.ProcessState == nil {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait() // its end is in ProcessState
	}
}

func (c *child) expect(line string) {
	c.t.Helper()
	if !c.trace.Scan() || c.trace.Text() != line {
		c.end()
		c.t.Fatalf("got %q, %v; want %q\n%s", c.trace.Text(), c.trace.Err(), line, &c.output)
	}
}

// wait returns what the child traced until it ended.
func (c *child) wait() (lines []string) {
	c.t.Helper()
	for c.trace.Scan() {
		lines = append(lines, c.trace.Text())
	}
	if err := c.trace.Err(); err != nil {
		c.end()
		c.t.Fatalf("it lives on after %q: %v\n%s", lines, err, &c.output)
	}
	_ = c.cmd.Wait() // its end is in ProcessState
	return lines
}
