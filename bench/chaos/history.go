package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A history is a file of lines, one an event, that one process writes. The last line of a process that was killed may be
// torn; what it had not flushed is gone, which loses evidence and never makes any.
//
//	R first last end count tier key id=version,…   reads that got the same: begin of the first and the last, end of the first
//	T begin id=version,…                               an invalidation is about to be sent
//	E begin end ok id=version,…                    … and has returned
//	F begin end position id=version,…                     the follower's checkpoint has moved past these
//	C begin end id=version,…                       a commit
//	L begin end key                                a load
//	X at                                           a call of Redis failed
type history struct {
	mu   sync.Mutex // guards the fields below
	file *os.File
	buf  *bufio.Writer
}

func newHistory(path string) (*history, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	return &history{file: f, buf: bufio.NewWriterSize(f, 64<<10)}, nil
}

// write adds a line. flush hands everything to the system, where it survives the process.
func (h *history) write(flush bool, fields ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, _ = fmt.Fprintln(h.buf, fields...) // bufio keeps the error for Flush
	if flush {
		h.flushLocked()
	}
}

func (h *history) flush() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.flushLocked()
}

func (h *history) flushLocked() {
	if err := h.buf.Flush(); err != nil {
		panic(fmt.Errorf("history: %w", err)) // a run without its history proves nothing
	}
}

func (h *history) close() error {
	h.flush()
	return h.file.Close()
}

// versions are rows with what they were found or raised to.
type versions []rowVersion

type rowVersion struct {
	id      int
	version int64
}

func (v versions) String() string {
	if len(v) == 0 {
		return "-"
	}
	var b strings.Builder
	for i, r := range v {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%d=%d", r.id, r.version)
	}
	return b.String()
}

func (v versions) equal(w versions) bool {
	if len(v) != len(w) {
		return false
	}
	for i := range v {
		if v[i] != w[i] {
			return false
		}
	}
	return true
}

func parseVersions(text string) (v versions, err error) {
	if text == "-" {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		id, version, _ := strings.Cut(part, "=")
		i, err1 := strconv.Atoi(id)
		n, err2 := strconv.ParseInt(version, 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		v = append(v, rowVersion{i, n})
	}
	return v, nil
}

// reads is a line of reads that got the same.
type reads struct {
	pod              string // the process
	first, last, end instant
	count            int
	tier, key        string
	got              versions
}

// call is an invalidation, a commit or a load.
type call struct {
	pod        string
	begin, end instant // end is 0 when it never returned
	ok         bool
	key        string // of a load
	rows       versions
}

// moved is an advance of the checkpoint.
type moved struct {
	begin, end instant
	position   uint64 // the place in the log
	timeline   uint64
	rows       versions
}

// histories is what all processes wrote, but for the reads, which are many: eachRead goes over them.
type histories struct {
	dir     string
	pods    []string // the processes that read
	calls   []call
	commits []call
	loads   []call
	moves   []moved
	errors  map[string][]instant // of Redis, by process
	readsOf map[string]int
}

const historyExt = ".history"

func readHistories(dir string) (*histories, error) {
	h := &histories{dir: dir, errors: make(map[string][]instant), readsOf: make(map[string]int)}
	files, err := filepath.Glob(filepath.Join(dir, "*"+historyExt))
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), historyExt)
		open := make(map[instant]int) // calls that have not returned
		err := eachLine(f, func(kind string, fields []string) error { return h.take(name, kind, fields, open) })
		if err != nil {
			return nil, err
		}
		if h.readsOf[name] > 0 {
			h.pods = append(h.pods, name)
		}
	}
	return h, nil
}

func (h *histories) take(name, kind string, f []string, open map[instant]int) error {
	var p parser
	switch kind {
	case "R":
		h.readsOf[name]++
	case "T":
		c := call{pod: name, begin: p.instant(f[0]), rows: p.versions(f[1])}
		open[c.begin] = len(h.calls)
		h.calls = append(h.calls, c)
	case "E":
		c := call{pod: name, begin: p.instant(f[0]), end: p.instant(f[1]), ok: f[2] == "true", rows: p.versions(f[3])}
		if i, ok := open[c.begin]; ok {
			h.calls[i] = c
		}
	case "F":
		position, timeline := p.position(f[2])
		h.moves = append(h.moves, moved{p.instant(f[0]), p.instant(f[1]), position, timeline, p.versions(f[3])})
	case "C":
		h.commits = append(h.commits, call{pod: name, begin: p.instant(f[0]), end: p.instant(f[1]), rows: p.versions(f[2])})
	case "L":
		h.loads = append(h.loads, call{pod: name, begin: p.instant(f[0]), end: p.instant(f[1]), key: f[2]})
	case "X":
		h.errors[name] = append(h.errors[name], p.instant(f[0]))
	default:
		return fmt.Errorf("a line of kind %q", kind)
	}
	return p.err
}

// eachRead goes over the reads of one process in the order in which they were written.
func (h *histories) eachRead(pod string, do func(reads)) error {
	return eachLine(filepath.Join(h.dir, pod+historyExt), func(kind string, f []string) error {
		if kind != "R" {
			return nil
		}
		var p parser
		r := reads{
			pod: pod, first: p.instant(f[0]), last: p.instant(f[1]), end: p.instant(f[2]), count: int(p.instant(f[3])),
			tier: f[4], key: f[5], got: p.versions(f[6]),
		}
		if p.err == nil {
			do(r)
		}
		return p.err
	})
}

// lineFields is how many fields a line of a kind has; one with fewer is torn.
var lineFields = map[string]int{"R": 7, "T": 2, "E": 4, "F": 4, "C": 3, "L": 3, "X": 1}

func eachLine(path string, do func(kind string, fields []string) error) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	in := bufio.NewReaderSize(f, 1<<20)
	for n := 1; ; n++ {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil //nolint:nilerr // the end, or what a killed process left of its last line
		}
		fields := strings.Fields(line)
		if len(fields) == 0 || len(fields)-1 != lineFields[fields[0]] {
			return fmt.Errorf("%s:%d: %.80q", path, n, line)
		}
		if err := do(fields[0], fields[1:]); err != nil {
			return fmt.Errorf("%s:%d: %w", path, n, err)
		}
	}
}

// A parser keeps its first error.
type parser struct{ err error }

func (p *parser) instant(text string) instant {
	n, err := strconv.ParseInt(text, 10, 64)
	p.err = errors.Join(p.err, err)
	return instant(n)
}

func (p *parser) versions(text string) versions {
	v, err := parseVersions(text)
	p.err = errors.Join(p.err, err)
	return v
}

// position reads "7312345678901234567/2@30001/16/B374D848+9f3ab2c1", a position of the source, as the place in the log and the timeline.
func (p *parser) position(text string) (lsn, timeline uint64) {
	place, _, _ := strings.Cut(text, "+")
	parts := strings.Split(place, "/")
	if len(parts) != 4 {
		p.err = errors.Join(p.err, fmt.Errorf("position %q", text))
		return 0, 0
	}
	number, _, _ := strings.Cut(parts[1], "@")
	timeline, err := strconv.ParseUint(number, 10, 32)
	p.err = errors.Join(p.err, err)
	return p.lsn(parts[2] + "/" + parts[3]), timeline
}

// lsn reads "16/B374D848".
func (p *parser) lsn(text string) uint64 {
	left, right, _ := strings.Cut(text, "/")
	high, err1 := strconv.ParseUint(left, 16, 32)
	low, err2 := strconv.ParseUint(right, 16, 32)
	p.err = errors.Join(p.err, err1, err2)
	return high<<32 | low
}

// flushEvery bounds what a killed process takes along.
const flushEvery = 100 * time.Millisecond
