package postgres_test

import (
	"testing"
	"time"
)

// The end of an idle stream doesn't wait for the next status, which is a second away.
func TestCloseWhileIdle(t *testing.T) {
	db := start(t)
	db.exec(`CREATE TABLE orders (id int PRIMARY KEY)`)
	src := db.source("public.orders")
	st, position := begin(t, src)
	var took time.Duration
	const times = 10
	for range times {
		silent(t, st) // the reader waits for the server
		began := time.Now()
		closeStream(t, st)
		took += time.Since(began)
		st = open(t, src, position)
	}
	if took > 3*time.Second {
		t.Errorf("%d streams took %s to close", times, took)
	}
}
