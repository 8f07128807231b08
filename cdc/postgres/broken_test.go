package postgres_test

import (
	"context"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/tandem-cache/tandem/cdc/postgres"
)

// A forwarder is the network between a stream and its server, until it is cut.
type forwarder struct {
	net.Listener
	to string

	mu    sync.Mutex // guards the fields below
	cut   bool
	conns []net.Conn
}

func (f *forwarder) run() {
	for {
		in, err := f.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", f.to)
		if err != nil {
			_ = in.Close()
			continue
		}
		f.mu.Lock()
		f.conns = append(f.conns, in, out)
		cut := f.cut
		f.mu.Unlock()
		if cut {
			f.sever()
		}
		go func() { _, _ = io.Copy(in, out) }()
		go func() { _, _ = io.Copy(out, in) }()
	}
}

func (f *forwarder) sever() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut = true
	_ = f.Close()
	for _, c := range f.conns {
		_ = c.Close()
	}
}

// A stream whose connection breaks ends with an error, and nothing is sent on the connection any more: pgx closes it in a goroutine of
// its own. The race detector watches.
func TestBrokenConnection(t *testing.T) {
	db := start(t)
	db.exec(`CREATE TABLE orders (id int PRIMARY KEY)`)
	closeStream(t, first(begin(t, db.source("public.orders"))))
	for range 10 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address, err := url.Parse(db.URL)
		if err != nil {
			t.Fatal(err)
		}
		f := &forwarder{Listener: listener, to: address.Host}
		go f.run()
		address.Host = listener.Addr().String()
		src := db.sourceOf(postgres.Config{ConnString: address.String(), Tables: []string{"public.orders"}})
		db.await(`SELECT (NOT active)::text FROM pg_replication_slots WHERE slot_name = 'tandem'`) // the server notices a cut somewhat later
		st := open(t, src, "")
		f.sever()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		for err == nil {
			_, err = st.Next(ctx)
		}
		if ctx.Err() != nil {
			t.Errorf("got %v; want the stream to break", err)
		}
		cancel()
		closeStream(t, st)
	}
}

func first[A, B any](a A, _ B) A { return a }
