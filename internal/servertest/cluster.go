package servertest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
)

// A cluster is a database cluster as initdb leaves it, in memory. initdb computes for about a second, a copy is written in a tenth of
// it. In memory, so that nothing has to be removed when the process ends.
type cluster struct {
	dirs  []string // relative, parents first
	files []clusterFile
}

type clusterFile struct {
	path string // relative
	size int64
	text []byte // without the zeros at the end of a large file: half of a cluster is room for the log
}

var pristine struct {
	mu      sync.Mutex // guards cluster, and that initdb runs once
	cluster *cluster
}

// makeCluster makes a database cluster in data, which must not exist. Its system identifier is its own.
func makeCluster(data string, cred *syscall.Credential) error {
	c, err := pristineCluster(data, cred)
	if c == nil || err != nil {
		return err
	}
	if err := c.write(data, cred); err != nil {
		return fmt.Errorf("servertest: copy a database cluster: %w", err)
	}
	return nil
}

// pristineCluster returns what to copy. It is nil when data was made by initdb itself, which the first call does.
func pristineCluster(data string, cred *syscall.Credential) (*cluster, error) {
	pristine.mu.Lock()
	defer pristine.mu.Unlock()
	if pristine.cluster != nil {
		return pristine.cluster, nil
	}
	if err := initdb(data, cred); err != nil {
		return nil, err
	}
	c, err := readCluster(data)
	if err != nil {
		return nil, fmt.Errorf("servertest: read a database cluster: %w", err)
	}
	pristine.cluster = c
	return nil, nil
}

func initdb(data string, cred *syscall.Credential) error {
	path, err := Tool("initdb")
	if err != nil {
		return err
	}
	cmd := exec.Command(path, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
	cmd.Dir = filepath.Dir(data)
	cmd.Env = postgresEnv
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("servertest: initdb: %w\n%s", err, out)
	}
	return nil
}

func readCluster(data string) (*cluster, error) {
	c := &cluster{}
	err := filepath.WalkDir(data, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(data, path)
		if err != nil {
			return err
		}
		if e.IsDir() {
			c.dirs = append(c.dirs, relative)
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		c.files = append(c.files, clusterFile{relative, int64(len(text)), withoutRoom(text)})
		return nil
	})
	return c, err
}

// withoutRoom cuts the zeros at the end of a large file. (Those of a small one may be part of a number.)
func withoutRoom(text []byte) []byte {
	const large = 1 << 20
	if len(text) < large {
		return text
	}
	return bytes.Clone(bytes.TrimRight(text, "\x00"))
}

// write writes a copy that belongs to the server's user.
func (c *cluster) write(data string, cred *syscall.Credential) error {
	own := func(path string) error {
		if cred == nil {
			return nil
		}
		return os.Chown(path, int(cred.Uid), int(cred.Gid))
	}
	for _, dir := range c.dirs {
		path := filepath.Join(data, dir)
		if err := errors.Join(os.Mkdir(path, 0o700), own(path)); err != nil {
			return err
		}
	}
	id := rand.Uint64() >> 1 // PostgreSQL shows it as a signed number
	for _, f := range c.files {
		text, err := f.identified(id)
		if err != nil {
			return err
		}
		path := filepath.Join(data, f.path)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return err
		}
		if err := errors.Join(os.Truncate(path, f.size), own(path)); err != nil {
			return err
		}
	}
	return nil
}

// logIdentifier is where a segment of the log has the system identifier: behind the header that each of its pages has.
const logIdentifier = 24

// identified returns the file with another system identifier, which stands in the control file and in each segment of the log.
func (f clusterFile) identified(id uint64) ([]byte, error) {
	switch {
	case f.path == filepath.Join("global", "pg_control"):
		return identifiedControl(f.text, id)
	case filepath.Dir(f.path) == "pg_wal" && len(f.text) >= logIdentifier+8:
		text := bytes.Clone(f.text)
		binary.NativeEndian.PutUint64(text[logIdentifier:], id)
		return text, nil
	}
	return f.text, nil
}

// identifiedControl changes the control file. It begins with the identifier and ends with a checksum of what precedes, whose place
// differs from version to version.
func identifiedControl(text []byte, id uint64) ([]byte, error) {
	table := crc32.MakeTable(crc32.Castagnoli)
	for at := 8; at+4 <= len(text); at += 4 {
		if binary.NativeEndian.Uint32(text[at:]) != crc32.Checksum(text[:at], table) {
			continue
		}
		text = bytes.Clone(text)
		binary.NativeEndian.PutUint64(text, id)
		binary.NativeEndian.PutUint32(text[at:], crc32.Checksum(text[:at], table))
		return text, nil
	}
	return nil, errors.New("the control file has no checksum")
}
