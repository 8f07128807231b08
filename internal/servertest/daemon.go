package servertest

import "testing"

// daemon is a Server that belongs to a test.
type daemon struct {
	t   testing.TB
	srv *Server
}

func newDaemon(t testing.TB, srv *Server) daemon {
	d := daemon{t: t, srv: srv}
	t.Cleanup(func() { d.must(srv.Kill()) })
	return d
}

// Start starts a stopped or killed server again, on the same address and
// directory, and waits until it answers.
func (d daemon) Start() { d.t.Helper(); d.must(d.srv.Start()) }

// Stop ends the server in its own orderly way and waits until it is gone.
func (d daemon) Stop() { d.t.Helper(); d.must(d.srv.Stop()) }

// Kill ends the server at once, as a crash would, and waits until it is gone.
func (d daemon) Kill() { d.t.Helper(); d.must(d.srv.Kill()) }

// Restart is Stop and Start.
func (d daemon) Restart() { d.t.Helper(); d.must(d.srv.Restart()) }

func (d daemon) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}
