package servertest_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/internal/servertest"
)

func TestRedisAnswers(t *testing.T) {
	rds := servertest.StartRedis(t)
	if got := ask(t, rds.Addr, "PING"); got != "+PONG" {
		t.Errorf("PING answered %q; want +PONG", got)
	}
	if got := ask(t, rds.Addr, "CONFIG GET save"); got != "*2" {
		t.Errorf("CONFIG GET save answered %q; want *2", got)
	}
}

func TestRedisKeepsAddressAndData(t *testing.T) {
	rds := servertest.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	ask(t, rds.Addr, "SET k v")
	for name, end := range map[string]func(){"stop": rds.Stop, "kill": rds.Kill} {
		end()
		if conn, err := net.Dial("tcp", rds.Addr); err == nil {
			_ = conn.Close()
			t.Errorf("%s: somebody still accepts connections", name)
		}
		rds.Start()
		if got := ask(t, rds.Addr, "GET k"); got != "$1" {
			t.Errorf("%s: GET k answered %q; want $1", name, got)
		}
	}
}

func TestRedisFrozenAnswersAfterThaw(t *testing.T) {
	rds := servertest.StartRedis(t)
	conn := dial(t, rds.Addr)
	rds.Freeze()
	if _, err := io.WriteString(conn, "PING\r\n"); err != nil {
		t.Fatal(err)
	}
	answer := bufio.NewReader(conn)
	if err := conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if line, err := answer.ReadString('\n'); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("frozen: got %q, %v; want a timeout", line, err)
	}
	rds.Thaw()
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if line, err := answer.ReadString('\n'); err != nil || line != "+PONG\r\n" {
		t.Errorf("thawed: got %q, %v; want +PONG", line, err)
	}
}

func TestFrozenRedisStops(t *testing.T) {
	rds := servertest.StartRedis(t)
	rds.Freeze()
	rds.Stop()
	rds.Start()
	if got := ask(t, rds.Addr, "PING"); got != "+PONG" {
		t.Errorf("PING answered %q; want +PONG", got)
	}
}

// TestTakenPort: somebody else's Redis answers on the port that was free a moment
// ago. It must not pass for ours.
func TestTakenPort(t *testing.T) {
	taken := servertest.StartRedis(t)
	ports := []int{taken.Port(), servertest.FreePort(t)}
	tried := 0
	rds, err := servertest.NewRedisOn(func() (int, error) {
		tried++
		return ports[tried-1], nil
	}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rds.Kill() })
	if tried != 2 || rds.Addr == taken.Addr {
		t.Errorf("tried %d ports and got %s; want 2 and another one than %s", tried, rds.Addr, taken.Addr)
	}
}

func TestStartOnTakenPort(t *testing.T) {
	rds := servertest.StartRedis(t)
	rds.Stop()
	l, err := net.Listen("tcp", rds.Addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := rds.Server().Start(); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("got %v; want an error about the address in use", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	rds.Start()
}

func TestRedisBadOption(t *testing.T) {
	_, err := servertest.NewRedis(t.TempDir(), "--no-such-option", "1")
	if err == nil || !strings.Contains(err.Error(), "no-such-option") {
		t.Errorf("got %v; want the server's own words about no-such-option", err)
	}
}

func TestDeadRedisCannotBeFrozen(t *testing.T) {
	rds, err := servertest.NewRedis(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := rds.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := rds.Freeze(); err == nil {
		t.Error("froze a dead server; want an error")
	}
}

// ask sends one command and returns the first line of the answer.
func ask(t *testing.T, addr, command string) string {
	t.Helper()
	conn := dial(t, addr)
	if _, err := io.WriteString(conn, command+"\r\n"); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
