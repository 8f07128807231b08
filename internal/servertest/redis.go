package servertest

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// RedisServer is a running redis-server.
type RedisServer struct {
	*Server
	Addr string // host:port
}

// NewRedis starts redis-server in dir, which must exist. It persists nothing
// unless args say so; they follow the defaults and so override them
// ("--appendonly", "yes"). The caller ends it with Stop or Kill.
func NewRedis(dir string, args ...string) (*RedisServer, error) {
	return newRedis(freePort, dir, args...)
}

func newRedis(ports func() (int, error), dir string, args ...string) (*RedisServer, error) {
	path, err := redisServer()
	if err != nil {
		return nil, err
	}
	srv, err := newServer(ports, kind{
		dir: dir,
		command: func(port int) *exec.Cmd {
			return exec.Command(path, slices.Concat([]string{
				"--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", dir,
				"--save", "", "--appendonly", "no",
			}, args, userArgs())...)
		},
		ready: redisReady,
		stop:  syscall.SIGTERM,
		kill:  syscall.SIGKILL,
	})
	if err != nil {
		return nil, err
	}
	return &RedisServer{Server: srv, Addr: address(srv.port)}, nil
}

// Freeze stops the process without closing anything: connections stay open, new
// ones are accepted by the kernel, nobody answers.
func (r *RedisServer) Freeze() error { return r.signal(syscall.SIGSTOP) }

// Thaw ends Freeze.
func (r *RedisServer) Thaw() error { return r.signal(syscall.SIGCONT) }

// redisReady asks for a PONG, and for the process id, because on a port that was
// taken meanwhile somebody else's Redis would answer. One that wants a password
// first is taken as it is.
func redisReady(pid, port int) (bool, error) {
	conn, err := net.DialTimeout("tcp", address(port), time.Second)
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return false, err
	}
	if _, err := io.WriteString(conn, "PING\r\nINFO server\r\nQUIT\r\n"); err != nil {
		return false, err
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return false, err
	}
	ours := bytes.Contains(answer, fmt.Appendf(nil, "\r\nprocess_id:%d\r\n", pid))
	if bytes.HasPrefix(answer, []byte("-NOAUTH")) || bytes.HasPrefix(answer, []byte("+PONG")) && ours {
		return true, nil
	}
	return false, fmt.Errorf("answered %.60q", answer)
}

// Redis is a redis-server that belongs to a test. Its methods fail the test
// instead of returning errors; call them from the test's own goroutine.
type Redis struct {
	daemon
	Addr string // host:port

	srv *RedisServer
}

// StartRedis starts redis-server in a directory of its own and stops it when the
// test ends. See [NewRedis] for args.
func StartRedis(t testing.TB, args ...string) *Redis {
	t.Helper()
	srv, err := NewRedis(t.TempDir(), args...)
	if err != nil {
		t.Fatal(err)
	}
	d := newDaemon(t, srv.Server)
	return &Redis{daemon: d, Addr: srv.Addr, srv: srv}
}

// Freeze stops the process without closing anything: connections stay open, new
// ones are accepted by the kernel, nobody answers.
func (r *Redis) Freeze() { r.t.Helper(); r.must(r.srv.Freeze()) }

// Thaw ends Freeze.
func (r *Redis) Thaw() { r.t.Helper(); r.must(r.srv.Thaw()) }
