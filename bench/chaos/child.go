package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	startTimeout = 2 * time.Minute // for a child to say that it is ready
	endTimeout   = time.Minute     // for a child to end after its input has
)

// A child is a process of the fleet that can be killed and started again. Its methods are called by one goroutine at a time,
// but for counts.
type child struct {
	name   string // pod-1, follower-2
	role   string // the hidden command
	config childConfig
	log    *os.File
	proxy  *proxy // before Redis
	source *proxy // before PostgreSQL; nil: none

	lives int
	proc  *process
	counts
}

// counts are what a child says of itself each second, of all its lives.
type counts struct {
	reads, errors, loads, writes atomic.Int64
}

// childConfig is the first line that a child gets.
type childConfig struct {
	Name     string   `json:"name"`
	Number   int      `json:"number"`
	Redis    string   `json:"redis"`
	Postgres string   `json:"postgres"`
	History  string   `json:"history"`
	Seed     uint64   `json:"seed"`
	Sabotage []string `json:"sabotage"`
}

// process is a running child.
type process struct {
	cmd   *exec.Cmd
	in    io.Closer
	ready chan struct{}
	gone  chan struct{} // closed when it was reaped
	err   error         // set before gone is closed
}

// start starts the process and waits until it is ready.
func (c *child) start(dir string) error {
	if err := c.launch(dir); err != nil {
		return err
	}
	select {
	case <-c.proc.ready:
		return nil
	case <-c.proc.gone:
		return fmt.Errorf("%s ended: %w", c.name, c.proc.err)
	case <-time.After(startTimeout):
		return fmt.Errorf("%s is not ready after %s", c.name, startTimeout)
	}
}

// launch starts the process, with a history of its own for each life.
func (c *child) launch(dir string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c.lives++
	c.config.Name = c.name + "." + strconv.Itoa(c.lives)
	c.config.History = filepath.Join(dir, c.config.Name+historyExt)
	c.config.Seed++
	cmd := exec.Command(self, c.role)
	cmd.Stderr = c.log
	cmd.SysProcAttr = dying()
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	p := &process{cmd: cmd, in: in, ready: make(chan struct{}), gone: make(chan struct{})}
	started := make(chan error, 1)
	go c.own(p, out, started)
	if err := <-started; err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	c.proc = p
	if err := json.NewEncoder(in).Encode(c.config); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}

// own starts the process, hears what it says and reaps it. The death signal is tied to this goroutine's thread.
func (c *child) own(p *process, out io.Reader, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	defer close(p.gone)
	lines := bufio.NewScanner(out)
	for said := 0; lines.Scan(); said++ {
		if said == 0 {
			close(p.ready)
			continue
		}
		var reads, errs, loads, writes int64
		if _, err := fmt.Sscan(lines.Text(), &reads, &errs, &loads, &writes); err == nil {
			c.reads.Add(reads)
			c.errors.Add(errs)
			c.loads.Add(loads)
			c.writes.Add(writes)
		}
	}
	p.err = p.cmd.Wait()
}

func (c *child) signal(s syscall.Signal) error {
	if err := c.proc.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("%s: signal %v: %w", c.name, s, err)
	}
	return nil
}

// kill ends the process as a crash would.
func (c *child) kill() error {
	err := c.signal(syscall.SIGKILL)
	<-c.proc.gone
	return err
}

// stop lets the process end; one that died by itself is an error, since what it was to prove is missing.
func (c *child) stop() error {
	if c.proc == nil {
		return nil
	}
	_ = c.proc.in.Close()
	select {
	case <-c.proc.gone:
	case <-time.After(endTimeout):
		return errors.Join(fmt.Errorf("%s did not end in %s", c.name, endTimeout), c.kill())
	}
	if c.proc.err != nil {
		return fmt.Errorf("%s: %w\n%s", c.name, c.proc.err, c.trouble())
	}
	return nil
}

// trouble is what the fleet's log has of a data race or a panic, or its end.
func (c *child) trouble() []byte {
	const enough = 6000
	text, err := os.ReadFile(c.log.Name())
	if err != nil {
		return []byte(err.Error())
	}
	for _, sign := range []string{"WARNING: DATA RACE", "panic: ", "fatal error: "} {
		if i := bytes.Index(text, []byte(sign)); i >= 0 {
			text = text[i:]
			return text[:min(len(text), enough)]
		}
	}
	return text[max(0, len(text)-enough):]
}
