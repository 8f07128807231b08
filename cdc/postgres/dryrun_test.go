package postgres_test

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/cdc/postgres"
)

// printed is an io.Writer that may be read meanwhile.
type printed struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.buf.Write(b)
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.buf.String()
}

// A dry run reads from a temporary slot, and leaves nothing behind.
func TestDryRun(t *testing.T) {
	db := start(t)
	db.exec(`CREATE TABLE orders (id int PRIMARY KEY, account text)`)
	routes := cdc.Routes{"public.orders": {Rules: []cdc.Rule{{Names: []string{"order:{id}"}}}, All: []string{"all"}}}
	src := db.sourceOf(postgres.Config{Slot: "dry", Publication: "tandem", Tables: []string{"public.orders"}, Temporary: true})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out printed
	ended := make(chan error, 1)
	go func() { ended <- cdc.DryRun(ctx, src, routes, &out) }()
	await := func(want string) {
		t.Helper()
		for began := time.Now(); !strings.Contains(out.String(), want); time.Sleep(10 * time.Millisecond) {
			if time.Since(began) > patience {
				t.Fatalf("it printed\n%s\nwant %q", out.String(), want)
			}
		}
	}
	await("changes before this may be missing")
	db.exec(`INSERT INTO orders VALUES (7, 'a')`)
	await("insert of public.orders\n  order:7\n    Rules[0]: for every change\n")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	db.await(`SELECT (count(*) = 0)::text FROM pg_replication_slots`)
}

// One that would have to make a lasting slot says so, and makes none.
func TestDryRunMakesNoSlot(t *testing.T) {
	db := start(t)
	db.exec(`CREATE TABLE orders (id int PRIMARY KEY)`)
	err := cdc.DryRun(t.Context(), db.source("public.orders"), cdc.Routes{"public.orders": {All: []string{"all"}}}, new(printed))
	if err == nil || !strings.Contains(err.Error(), "the stream begins when its first batch is acknowledged") {
		t.Errorf("got %v; want an error that says why", err)
	}
	db.await(`SELECT (count(*) = 0)::text FROM pg_replication_slots`)
}
