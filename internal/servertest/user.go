package servertest

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// unprivileged returns who runs a server that refuses root: nil, ourselves,
// unless we are root. It gives dir to that user.
func unprivileged(dir string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, fmt.Errorf("servertest: PostgreSQL refuses root: %w", err)
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	if err := os.Chown(dir, int(uid), int(gid)); err != nil {
		return nil, fmt.Errorf("servertest: %w", err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, reachable(dir, u.Username)
}

// reachable says which of dir's parents keeps other users out.
func reachable(dir, who string) error {
	for parent := filepath.Dir(dir); ; parent = filepath.Dir(parent) {
		info, err := os.Stat(parent)
		if err != nil {
			return fmt.Errorf("servertest: %w", err)
		}
		if info.Mode()&1 == 0 {
			return fmt.Errorf("servertest: user %s, who runs PostgreSQL for root, cannot enter %s: set TMPDIR to a directory that all may enter", who, parent)
		}
		if parent == filepath.Dir(parent) {
			return nil
		}
	}
}
