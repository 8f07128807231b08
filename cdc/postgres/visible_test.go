package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A commit that waits for a synchronous standby is in the stream before any
// reader sees it. '*' would match the follower's own connection too.
func TestVisibility(t *testing.T) {
	for _, names := range []string{"nobody", "*"} {
		t.Run(names, func(t *testing.T) { testVisibility(t, names) })
	}
}

func testVisibility(t *testing.T, names string) {
	db := start(t, "synchronous_commit=local")
	db.exec(`CREATE TABLE orders (id int PRIMARY KEY, n int)`, `INSERT INTO orders VALUES (1, 1)`)
	st, _ := begin(t, db.source("public.orders"))
	db.Set("synchronous_standby_names", names)
	db.await(`SELECT (current_setting('synchronous_standby_names') <> '')::text`)

	writer := session(t, db.URL)
	committed := make(chan error, 1)
	go func() {
		_, err := writer.Exec(context.Background(), `SET synchronous_commit = on; UPDATE orders SET n = 2`)
		committed <- err
	}()
	db.await(`SELECT (count(*) = 1)::text FROM pg_stat_activity WHERE wait_event = 'SyncRep'`)

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // statuses go out meanwhile
	defer cancel()
	for {
		b, err := st.Next(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			break
		}
		if err != nil || len(b.Events) > 0 {
			t.Fatalf("got %+v, %v while a reader sees n = %s", b, err, db.text(`SELECT n::text FROM orders`))
		}
		ack(t, st, b.Position)
	}
	if n := db.text(`SELECT n::text FROM orders`); n != "1" {
		t.Fatalf("a reader sees n = %s; want 1: the commit did not wait", n)
	}
	select {
	case err := <-committed:
		t.Fatalf("the commit ended (%v) without a standby", err)
	default:
	}

	db.Set("synchronous_standby_names", "")
	got, _ := events(t, st, 1)
	if n := db.text(`SELECT n::text FROM orders`); n != "2" {
		t.Errorf("a reader sees n = %s after the event; want 2", n)
	}
	if diff := cmp.Diff([]string{"update public.orders {id=1 n=2}"}, short(got, "id", "n")); diff != "" {
		t.Error(diff)
	}
	if err := <-committed; err != nil {
		t.Error(err)
	}
}
