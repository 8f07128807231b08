package postgres_test

import (
	"testing"
	"time"

	"github.com/tandem-cache/tandem/cdc/postgres"
)

// Inside a transaction a keepalive says nothing about what has been pushed.
func TestKeepaliveInsideTransaction(t *testing.T) {
	if got := postgres.IdleAfterKeepalive(7, true); got != 0 {
		t.Errorf("inside: got %d; want 0", got)
	}
	if got := postgres.IdleAfterKeepalive(7, false); got != 7 {
		t.Errorf("outside: got %d; want 7", got)
	}
}

func TestProgress(t *testing.T) {
	start := time.Now()
	at := func(second int) time.Time { return start.Add(time.Duration(second) * time.Second) }
	var p postgres.Progress
	want := func(second, lag int, known bool) {
		t.Helper()
		got, ok := p.Lag(at(second))
		if ok != known || got != time.Duration(lag)*time.Second {
			t.Errorf("after %d s: got lag %s, known %t; want %d s, %t", second, got, ok, lag, known)
		}
	}
	p.Hand(5, time.Time{})
	want(0, 0, false)
	p.Mark(at(0), 10)
	want(1, 0, false)
	p.Hand(7, at(-60)) // catching up, a minute behind
	want(1, 61, true)
	p.Hand(10, at(-1))
	want(1, 0, true)
	p.Mark(at(1), 10)
	p.Mark(at(2), 20)
	p.Mark(at(3), 30)
	want(3, 2, true)
	p.Hand(25, at(2))
	want(3, 1, true)
	p.Hand(30, at(3))
	want(4, 0, true)
	want(9, 6, true) // the marks have stopped: nothing is proven since
	for i := range 1000 {
		p.Mark(at(10+i), uint64(100+i))
	}
	if n := p.Waiting(); n > 128 {
		t.Errorf("got %d marks waiting; want at most 128", n)
	}
	p.Hand(600, at(500)) // the mark of second 510
	if got, _ := p.Lag(at(1010)); got < 500*time.Second || got > 530*time.Second {
		t.Errorf("got lag %s; want 500 s or little more", got)
	}
	p.Hand(1099, at(1000))
	want(1010, 0, true)
}
