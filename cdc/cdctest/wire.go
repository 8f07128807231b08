package cdctest

import (
	"encoding/gob"
	"errors"
	"net"
	"sync"
)

// remoteBook is the book of a follower in another process than the ledger's.
type remoteBook struct {
	mu  sync.Mutex // one step at a time; guards the fields below
	enc *gob.Encoder
	dec *gob.Decoder
}

func newRemoteBook(conn net.Conn) *remoteBook {
	return &remoteBook{enc: gob.NewEncoder(conn), dec: gob.NewDecoder(conn)}
}

// result is an answer on its way.
type result struct {
	Answer answer
	Err    string // "": none
}

func (b *remoteBook) enter(e entry) (answer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.enc.Encode(e); err != nil {
		return answer{}, err
	}
	var r result
	if err := b.dec.Decode(&r); err != nil {
		return answer{}, err
	}
	if r.Err != "" {
		return r.Answer, errors.New(r.Err)
	}
	return r.Answer, nil
}

// serveBook takes the steps that come over a connection, until it ends. A step that
// was on its way when its process died has its effect all the same, as on a server.
func serveBook(conn net.Conn, b book) {
	enc, dec := gob.NewEncoder(conn), gob.NewDecoder(conn)
	for {
		var e entry
		if err := dec.Decode(&e); err != nil {
			return
		}
		a, err := b.enter(e)
		r := result{Answer: a}
		if err != nil {
			r.Err = err.Error()
		}
		if err := enc.Encode(r); err != nil {
			return
		}
	}
}
