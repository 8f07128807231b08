package servertest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	startTimeout = 60 * time.Second // until a server answers
	stopTimeout  = 30 * time.Second // until a server is killed that should stop
	pollEvery    = 5 * time.Millisecond
	bindAttempts = 10 // ports tried by the first start
)

var errBind = errors.New("address already in use")

// kind is what differs from server to server.
type kind struct {
	dir     string                            // the server's own
	command func(port int) *exec.Cmd          // runs it in the foreground
	ready   func(pid, port int) (bool, error) // whether this very process answers
	stop    syscall.Signal                    // ends it in order
	kill    syscall.Signal                    // ends it at once; also sent when we die
	cred    *syscall.Credential               // nil: our own user
}

// Server is a server process that can be stopped and started again on the same
// address and directory. Its methods may be called from several goroutines.
type Server struct {
	kind kind
	port int // fixed by the first start

	mu   sync.Mutex // guards proc
	proc *process   // nil: not running
}

// newServer starts a server on the first of ports that nobody has taken by then.
func newServer(ports func() (int, error), k kind) (*Server, error) {
	var err error
	for range bindAttempts {
		s := &Server{kind: k}
		if s.port, err = ports(); err != nil {
			return nil, err
		}
		if s.proc, err = s.run(); err == nil {
			return s, nil
		}
		if !errors.Is(err, errBind) {
			return nil, err
		}
	}
	return nil, err
}

// Start starts a stopped or killed server again and waits until it answers. A
// running one is left alone.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc != nil && !s.proc.exited() {
		return nil
	}
	proc, err := s.run()
	if err != nil {
		return err
	}
	s.proc = proc
	return nil
}

// Stop ends the server in its own orderly way and waits until it is gone.
func (s *Server) Stop() error { return s.end(s.kind.stop) }

// Kill ends the server at once, as a crash would, and waits until it is gone.
func (s *Server) Kill() error { return s.end(s.kind.kill) }

// Restart is Stop and Start.
func (s *Server) Restart() error {
	if err := s.Stop(); err != nil {
		return err
	}
	return s.Start()
}

func (s *Server) end(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return nil
	}
	proc := s.proc
	s.proc = nil
	return proc.end(sig)
}

func (s *Server) runs() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc != nil && !s.proc.exited()
}

// signal fails when the server does not run: a test that freezes a dead server
// proves nothing.
func (s *Server) signal(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil || s.proc.exited() {
		return fmt.Errorf("servertest: signal %v: the server on port %d does not run", sig, s.port)
	}
	return s.proc.signal(sig)
}

// run starts the process and waits until it answers.
func (s *Server) run() (*process, error) {
	log, err := os.Create(s.logFile())
	if err != nil {
		return nil, fmt.Errorf("servertest: %w", err)
	}
	defer func() { _ = log.Close() }() // ours; the child has its own
	cmd := s.kind.command(s.port)
	cmd.Dir = s.kind.dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = procAttr(s.kind.kill, s.kind.cred)
	proc, err := launch(cmd)
	if err != nil {
		return nil, fmt.Errorf("servertest: %w", err)
	}
	if err := s.await(proc); err != nil {
		_ = proc.end(s.kind.kill)
		return nil, fmt.Errorf("servertest: start %s on port %d: %w\n%s", cmd.Path, s.port, err, s.logTail())
	}
	return proc, nil
}

func (s *Server) await(proc *process) error {
	timeout := time.After(startTimeout)
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		ok, err := s.kind.ready(proc.cmd.Process.Pid, s.port)
		if ok {
			return nil
		}
		select {
		case <-poll.C:
		case <-timeout:
			return fmt.Errorf("not ready after %v: %w", startTimeout, err)
		case <-proc.done:
			if bytes.Contains(s.logTail(), []byte("Address already in use")) {
				return errBind
			}
			return errors.New("it ended by itself")
		}
	}
}

func (s *Server) logFile() string { return filepath.Join(s.kind.dir, "server.log") }

// logTail returns the end of what the server said since its last start.
func (s *Server) logTail() []byte {
	const limit = 2000
	text, _ := os.ReadFile(s.logFile())
	return text[max(0, len(text)-limit):]
}
