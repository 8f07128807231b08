package servertest

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
)

// debianPostgres is where Debian and Ubuntu keep the server's programs, which
// they don't put on the PATH.
const debianPostgres = "/usr/lib/postgresql/*/bin"

// Tool returns the path of one of PostgreSQL's programs, such as pgbench or
// psql, of the same version as the server that StartPostgres starts.
func Tool(name string) (string, error) {
	return postgresTool(debianPostgres, name)
}

// postgresTool looks for name beside the server, then on the PATH. Beside the
// server first: Debian's /usr/bin/pgbench is a slow wrapper.
func postgresTool(pattern, name string) (string, error) {
	server, err := postgresServer(pattern)
	if err != nil {
		return "", err
	}
	beside := filepath.Join(filepath.Dir(server), name)
	if path, err := exec.LookPath(beside); err == nil {
		return path, nil
	}
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return "", missing(name, "postgresql")
}

// postgresServer finds the server on the PATH, or else in the directory of the
// highest version that pattern matches.
func postgresServer(pattern string) (string, error) {
	if path, err := exec.LookPath("postgres"); err == nil {
		return filepath.EvalSymlinks(path)
	}
	dirs, err := filepath.Glob(pattern)
	if err != nil {
		return "", err
	}
	slices.SortFunc(dirs, func(a, b string) int { return version(b) - version(a) })
	for _, dir := range dirs {
		if path, err := exec.LookPath(filepath.Join(dir, "postgres")); err == nil {
			return path, nil
		}
	}
	return "", missing("postgres", "postgresql")
}

// version reads 15 from …/15/bin; 0 if there is no number.
func version(dir string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
	return n
}

func redisServer() (string, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return "", missing("redis-server", "redis-server")
	}
	return path, nil
}

func missing(program, pkg string) error {
	return fmt.Errorf("servertest: %s not found: apt-get install %s (or: make servers)", program, pkg)
}
