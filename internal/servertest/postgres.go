package servertest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// postgresDefaults suit tests: logical decoding, nothing that writes or works by
// itself, and no waiting for the disk (a killed server keeps its data all the
// same: the operating system lives on).
var postgresDefaults = []string{
	"listen_addresses=127.0.0.1",
	"wal_level=logical",
	"max_wal_senders=10",
	"max_replication_slots=10",
	"shared_buffers=16MB",
	"fsync=off",
	"full_page_writes=off",
	"autovacuum=off",
	"jit=off",
	"timezone=UTC",
}

// PostgresServer is a running PostgreSQL.
type PostgresServer struct {
	*Server
	URL string // superuser, database postgres, no password, no TLS
	Dir string // the data directory
}

// NewPostgres makes a database cluster inside dir, which must exist, and starts
// it. Settings ("wal_sender_timeout=1s") override the defaults. The caller ends
// it with Stop or Kill.
//
// The server refuses to run as root: root runs it as postgres, or else nobody,
// and dir is given to that user. Every cluster is new, with a system identifier
// of its own.
func NewPostgres(dir string, settings ...string) (*PostgresServer, error) {
	path, err := postgresServer(debianPostgres)
	if err != nil {
		return nil, err
	}
	cred, err := unprivileged(dir)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	if err := makeCluster(data, cred); err != nil {
		return nil, err
	}
	pg := &PostgresServer{Dir: data}
	own := []string{"unix_socket_directories=" + dir}
	if err := pg.configure(slices.Concat(postgresDefaults, own, settings)...); err != nil {
		return nil, err
	}
	if err := pg.launch(dir, path, cred); err != nil {
		return nil, err
	}
	return pg, nil
}

// launch starts the server at path with the data of p, on a free port.
func (p *PostgresServer) launch(dir, path string, cred *syscall.Credential) (err error) {
	p.Server, err = newServer(freePort, kind{
		dir: dir,
		command: func(port int) *exec.Cmd {
			cmd := exec.Command(path, "-D", p.Dir, "-p", strconv.Itoa(port))
			cmd.Env = postgresEnv
			return cmd
		},
		ready: func(pid, _ int) (bool, error) { return postgresReady(p.Dir, pid) },
		stop:  syscall.SIGINT,
		kill:  syscall.SIGQUIT,
		cred:  cred,
	})
	if err != nil {
		return err
	}
	p.URL = fmt.Sprintf("postgres://postgres@%s/postgres?sslmode=disable", address(p.port))
	return nil
}

// postgresEnv keeps the caller's PG… variables and locale out of the server.
var postgresEnv = []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH")}

// postgresReady reads what the server notes in its lock file: its process id in
// the first line, its state in the eighth.
func postgresReady(data string, pid int) (bool, error) {
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return false, err
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) < 8 || lines[0] != strconv.Itoa(pid) {
		return false, fmt.Errorf("its lock file is not written yet")
	}
	state := strings.TrimSpace(lines[7])
	return state == "ready" || state == "standby", fmt.Errorf("it is %s", state)
}

// Set changes a setting of the running server and makes it read its settings
// again. It does not wait for that, and sessions see it before their next
// statement; what needs a restart needs Restart.
func (p *PostgresServer) Set(name, value string) error {
	if err := p.configure(name + "=" + value); err != nil {
		return err
	}
	return p.signal(syscall.SIGHUP)
}

// configure appends to the settings; of two lines for one name the later wins.
func (p *PostgresServer) configure(settings ...string) error {
	var lines strings.Builder
	for _, setting := range settings {
		name, value, ok := strings.Cut(setting, "=")
		if !ok {
			return fmt.Errorf("servertest: setting %q: want name=value", setting)
		}
		fmt.Fprintf(&lines, "\n%s = '%s'\n", name, strings.ReplaceAll(value, "'", "''"))
	}
	f, err := os.OpenFile(filepath.Join(p.Dir, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("servertest: %w", err)
	}
	_, err = f.WriteString(lines.String())
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("servertest: %w", err)
	}
	return nil
}

// Postgres is a PostgreSQL that belongs to a test. Its methods fail the test
// instead of returning errors; call them from the test's own goroutine.
type Postgres struct {
	daemon
	URL string // superuser, database postgres, no password, no TLS
	Dir string // the data directory

	srv *PostgresServer
}

// StartPostgres starts PostgreSQL in a directory of its own and stops it when
// the test ends. See [NewPostgres] for settings.
func StartPostgres(t testing.TB, settings ...string) *Postgres {
	t.Helper()
	srv, err := NewPostgres(openTemp(t), settings...)
	if err != nil {
		t.Fatal(err)
	}
	return newPostgres(t, srv)
}

// Set changes a setting of the running server and makes it read its settings
// again. It does not wait for that, and sessions see it before their next
// statement; what needs a restart needs Restart.
func (p *Postgres) Set(name, value string) { p.t.Helper(); p.must(p.srv.Set(name, value)) }
