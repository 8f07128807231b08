package servertest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// NewStandby makes a standby of p inside dir, which must exist: a base backup that follows p by streaming. The caller ends it with Stop
// or Kill. Settings override those of p, which the backup has. A standby has none of p's replication slots; see CopySlot.
func (p *PostgresServer) NewStandby(dir string, settings ...string) (*PostgresServer, error) {
	path, err := postgresServer(debianPostgres)
	if err != nil {
		return nil, err
	}
	cred, err := unprivileged(dir)
	if err != nil {
		return nil, err
	}
	s := &PostgresServer{Dir: filepath.Join(dir, "data")}
	if err := p.baseBackup(s.Dir, cred); err != nil {
		return nil, err
	}
	own := append([]string{"unix_socket_directories=" + dir}, settings...)
	if err := s.configure(own...); err != nil {
		return nil, err
	}
	if err := s.launch(dir, path, cred); err != nil {
		return nil, err
	}
	return s, nil
}

// baseBackup copies p, with the log that the copy needs, and has the copy follow p.
func (p *PostgresServer) baseBackup(data string, cred *syscall.Credential) error {
	path, err := Tool("pg_basebackup")
	if err != nil {
		return err
	}
	cmd := exec.Command(path, "-d", p.URL, "-D", data, "-X", "stream", "-c", "fast", "-R", "--no-sync")
	cmd.Dir = filepath.Dir(data)
	cmd.Env = postgresEnv
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("servertest: pg_basebackup: %w\n%s", err, out)
	}
	return nil
}

// Follow makes a standby stream from of, or from nobody if of is nil. A standby that runs notices within a moment.
func (p *PostgresServer) Follow(of *PostgresServer) error {
	conninfo := "primary_conninfo="
	if of != nil {
		conninfo = fmt.Sprintf("primary_conninfo=host=127.0.0.1 port=%d user=postgres sslmode=disable", of.port)
	}
	if err := p.configure(conninfo); err != nil || !p.runs() {
		return err
	}
	return p.signal(syscall.SIGHUP)
}

// CopySlot gives the stopped server p the replication slot of a server, as that one has it on its disk, and as tools do which keep slots
// across a failover.
func (p *PostgresServer) CopySlot(from *PostgresServer, slot string) error {
	if p.runs() {
		return fmt.Errorf("servertest: copy slot %s: the server that gets it must be stopped", slot)
	}
	state, err := os.ReadFile(filepath.Join(from.Dir, "pg_replslot", slot, "state"))
	if err != nil {
		return fmt.Errorf("servertest: copy slot %s: %w", slot, err)
	}
	dir := filepath.Join(p.Dir, "pg_replslot", slot)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("servertest: copy slot %s: %w", slot, err)
	}
	file := filepath.Join(dir, "state")
	if err := os.WriteFile(file, state, 0o600); err != nil {
		return fmt.Errorf("servertest: copy slot %s: %w", slot, err)
	}
	if err := p.own(dir, file); err != nil {
		return fmt.Errorf("servertest: copy slot %s: %w", slot, err)
	}
	return nil
}

// CopyLog gives the stopped server p what from still has of the log before p's own, as an archive does: a slot that lags may need log from
// before the base backup.
func (p *PostgresServer) CopyLog(from *PostgresServer) error {
	if p.runs() {
		return errors.New("servertest: copy log: the server that gets it must be stopped")
	}
	own, err := p.segments()
	if err != nil {
		return err
	}
	all, err := from.segments()
	if err != nil {
		return err
	}
	for _, name := range all {
		if len(own) > 0 && name >= own[0] { // recycled ones have names of the future
			break
		}
		text, err := os.ReadFile(filepath.Join(from.Dir, "pg_wal", name))
		if err != nil {
			return fmt.Errorf("servertest: copy log: %w", err)
		}
		file := filepath.Join(p.Dir, "pg_wal", name)
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return fmt.Errorf("servertest: copy log: %w", err)
		}
		if err := p.own(file); err != nil {
			return fmt.Errorf("servertest: copy log: %w", err)
		}
	}
	return nil
}

// segments returns the names of the files of p's log, sorted.
func (p *PostgresServer) segments() (names []string, err error) {
	entries, err := os.ReadDir(filepath.Join(p.Dir, "pg_wal"))
	if err != nil {
		return nil, fmt.Errorf("servertest: copy log: %w", err)
	}
	for _, e := range entries {
		if len(e.Name()) == len("000000010000000000000001") && !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// own gives files to the user that the server runs as.
func (p *PostgresServer) own(paths ...string) error {
	cred := p.kind.cred
	if cred == nil {
		return nil
	}
	for _, path := range paths {
		if err := os.Chown(path, int(cred.Uid), int(cred.Gid)); err != nil {
			return err
		}
	}
	return nil
}

// Promote makes a running standby a primary, with a timeline of its own, and waits until it takes writes.
func (p *PostgresServer) Promote() error {
	path, err := Tool("psql")
	if err != nil {
		return err
	}
	cmd := exec.Command(path, "--no-psqlrc", "-qtA", "-c", "SELECT pg_promote(true, "+strconv.Itoa(int(startTimeout.Seconds()))+")", p.URL)
	cmd.Env = postgresEnv
	out, err := cmd.CombinedOutput()
	if err != nil || string(bytes.TrimSpace(out)) != "t" {
		return fmt.Errorf("servertest: promote: %w\n%s", err, out)
	}
	return nil
}

// Standby starts a standby of p in a directory of its own and stops it when the test ends. See [PostgresServer.NewStandby].
func (p *Postgres) Standby(settings ...string) *Postgres {
	p.t.Helper()
	dir := openTemp(p.t)
	srv, err := p.srv.NewStandby(dir, settings...)
	if err != nil {
		p.t.Fatal(err)
	}
	return newPostgres(p.t, srv)
}

// Follow makes a standby stream from of, or from nobody if of is nil.
func (p *Postgres) Follow(of *Postgres) {
	p.t.Helper()
	var srv *PostgresServer
	if of != nil {
		srv = of.srv
	}
	p.must(p.srv.Follow(srv))
}

// CopySlot gives the stopped server p the slot that from has on its disk.
func (p *Postgres) CopySlot(from *Postgres, slot string) {
	p.t.Helper()
	p.must(p.srv.CopySlot(from.srv, slot))
}

// Promote makes a running standby a primary and waits until it takes writes.
func (p *Postgres) Promote() { p.t.Helper(); p.must(p.srv.Promote()) }

func newPostgres(t testing.TB, srv *PostgresServer) *Postgres {
	return &Postgres{daemon: newDaemon(t, srv.Server), URL: srv.URL, Dir: srv.Dir, srv: srv}
}

// openTemp makes a directory that goes with the test. The server's user cannot enter t.TempDir.
func openTemp(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "servertest") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
