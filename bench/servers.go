package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tandem-cache/tandem/internal/servertest"
)

// servers are what a run started itself.
type servers struct {
	dir  string
	stop []func() error
}

// newServers makes the directory that the servers live in.
func newServers() (*servers, error) {
	dir, err := os.MkdirTemp("", "tandem-bench-")
	if err != nil {
		return nil, err
	}
	s := &servers{dir: dir}
	if err := os.Chmod(dir, 0o755); err != nil { // PostgreSQL runs as another user where we are root
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *servers) sub(name string) (string, error) {
	dir := filepath.Join(s.dir, name)
	return dir, os.Mkdir(dir, 0o755)
}

// redis returns addr, or the address of a server of our own where addr is "auto", or "" where it is "none".
func (s *servers) redis(addr string) (string, error) {
	switch addr {
	case "auto":
	case "none":
		return "", nil
	default:
		return addr, nil
	}
	dir, err := s.sub("redis")
	if err != nil {
		return "", err
	}
	server, err := servertest.NewRedis(dir)
	if err != nil {
		return "", err
	}
	s.stop = append(s.stop, server.Kill)
	return server.Addr, nil
}

// postgres returns url, or that of a server of our own where url is "auto".
func (s *servers) postgres(url string) (string, error) {
	if url != "auto" {
		return url, nil
	}
	dir, err := s.sub("postgres")
	if err != nil {
		return "", err
	}
	server, err := servertest.NewPostgres(dir)
	if err != nil {
		return "", err
	}
	s.stop = append(s.stop, server.Kill)
	return server.URL, nil
}

// close stops the servers and removes their directory.
func (s *servers) close() error {
	var errs []error
	for _, stop := range s.stop {
		errs = append(errs, stop())
	}
	errs = append(errs, os.RemoveAll(s.dir))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("stop the servers: %w", err)
	}
	return nil
}
