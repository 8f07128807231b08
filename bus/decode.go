package bus

import "encoding/binary"

// decodeInvalidation reads an invalidation as [Publish] writes it. Anything else is left to msgpack, which allocates each name: a
// pod may hear a hundred thousand a second. Here all names of a message are parts of one string.
func decodeInvalidation(payload []byte) (m Message, ok bool) {
	r := wireReader{rest: string(payload)}
	if r.array() != 5 || r.uint() != uint64(Invalidate) {
		return Message{}, false
	}
	m = Message{Kind: Invalidate, Tick: r.uint(), Origin: r.text()}
	count := r.array()
	if count < 1 || count > len(r.rest) {
		return Message{}, false
	}
	m.Names = make([]string, count)
	for i := range m.Names {
		m.Names[i] = r.text()
	}
	const null = "\xc0"
	return m, !r.failed && r.rest == null
}

// A wireReader reads the msgpack that an invalidation consists of. After a failure it reads zeros.
type wireReader struct {
	rest   string
	failed bool
}

func (r *wireReader) take(n int) string {
	if n > len(r.rest) {
		r.failed, r.rest = true, ""
		return ""
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

// bigEndian reads a number of 1, 2, 4 or 8 bytes.
func (r *wireReader) bigEndian(size int) uint64 {
	var padded [8]byte
	copy(padded[8-size:], r.take(size))
	return binary.BigEndian.Uint64(padded[:])
}

// code reads the byte that says what follows.
func (r *wireReader) code() byte { return byte(r.bigEndian(1)) }

func (r *wireReader) uint() uint64 {
	switch c := r.code(); {
	case c < 0x80:
		return uint64(c)
	case c >= 0xcc && c <= 0xcf:
		return r.bigEndian(1 << (c - 0xcc))
	}
	r.failed = true
	return 0
}

func (r *wireReader) array() int {
	switch c := r.code(); {
	case c&0xf0 == 0x90:
		return int(c & 0x0f)
	case c == 0xdc:
		return int(r.bigEndian(2))
	}
	r.failed = true
	return 0
}

func (r *wireReader) text() string {
	switch c := r.code(); {
	case c&0xe0 == 0xa0:
		return r.take(int(c & 0x1f))
	case c == 0xd9, c == 0xda:
		return r.take(int(r.bigEndian(1 << (c - 0xd9))))
	}
	r.failed = true
	return ""
}
