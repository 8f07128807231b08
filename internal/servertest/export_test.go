package servertest

import "testing"

var (
	PostgresTool = postgresTool // looks where pattern says instead of where Debian does
	NewRedisOn   = newRedis     // takes its ports from a function
)

// PID returns the process id of a running server.
func PID(s *Server) int { return s.proc.cmd.Process.Pid }

// Server returns the server under a test's Redis.
func (r *Redis) Server() *Server { return r.srv.Server }

// Port returns the port that the server listens on.
func (r *Redis) Port() int { return r.srv.port }

// FreePort is freePort for a test.
func FreePort(t *testing.T) int {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}
