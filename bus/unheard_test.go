package bus_test

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/internal/servertest"
)

// mute is a network on which subscriptions are confirmed and then bring no message.
type mute struct {
	net.Conn
	on    *atomic.Bool
	pongs bool // pings are answered: else all is lost but the confirmation
}

func (c *mute) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		text := string(b[:n])
		lost := strings.Contains(text, "$7\r\nmessage\r\n") || !c.pongs && strings.Contains(text, "pong")
		if err != nil || !c.on.Load() || !lost {
			return n, err
		}
	}
}

// logText is a log that can be read while it is written.
type logText struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// count returns how many lines have all parts.
func (l *logText) count(parts ...string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		all := true
		for _, part := range parts {
			all = all && strings.Contains(line, part)
		}
		if all {
			n++
		}
	}
	return n
}

// Pub/sub that brings nothing while the journal makes up for it is told, from the first message on, once; so is its end. Whether pings are
// answered is no matter, nor that each new subscription is confirmed.
func TestPubSubThatBringsNothingIsTold(t *testing.T) {
	for name, pongs := range map[string]bool{"pings are answered": true, "frozen again and again": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it waits
			server := servertest.StartRedis(t)
			var on atomic.Bool
			var log logText
			r := newRecorder()
			cfg := config(dialing(t, server.Addr, func(c net.Conn) net.Conn { return &mute{Conn: c, on: &on, pongs: pongs} }), r)
			cfg.MaxStaleness = time.Second
			cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
			b := openWith(t, cfg)
			r.await(t, "resync")
			eventually(t, "subscribed", func() bool { return b.Stats().Subscriptions == 1 })
			tick := uint64(0)
			publishing := func(ok func() bool) func() bool {
				return func() bool {
					tick++
					publish(t, b, tick)
					time.Sleep(20 * time.Millisecond)
					return ok()
				}
			}
			eventually(t, "heard", publishing(func() bool { return b.Stats().Heard > 10 }))
			if since, _ := b.Unheard(); !since.IsZero() {
				t.Errorf("not heard since %s", since)
			}
			began := time.Now()
			on.Store(true)
			eventually(t, "told", publishing(func() bool { since, _ := b.Unheard(); return !since.IsZero() }))
			if since, n := b.Unheard(); since.Before(began) || time.Since(since) < 2*cfg.MaxStaleness || n < 3 {
				t.Errorf("told: %d messages since %s, which began %s ago; want since it began, for %s", n, time.Since(since), time.Since(began), 2*cfg.MaxStaleness)
			}
			if n := log.count("level=WARN", "pub/sub brings nothing"); n != 1 {
				t.Errorf("%d lines about the beginning; want 1:\n%s", n, &log.text)
			}
			on.Store(false)
			eventually(t, "heard again", publishing(func() bool { since, _ := b.Unheard(); return since.IsZero() }))
			if n := log.count("level=INFO", "pub/sub is heard again", "for=", "messages="); n != 1 {
				t.Errorf("%d lines about the end; want 1:\n%s", n, &log.text)
			}
			if got := b.Stats().Resyncs; got != 1 {
				t.Errorf("%d resyncs; want the first alone", got)
			}
		})
	}
}

// late is a network on which messages take their time; all else is as fast as ever.
type late struct {
	net.Conn
	delay time.Duration
}

func (c late) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if strings.Contains(string(b[:n]), "$7\r\nmessage\r\n") {
		time.Sleep(c.delay)
	}
	return n, err
}

// Messages that come after the journal has brought them and others after them come too late: the journal alone is of use. One that comes after
// the journal has brought that one is heard: the journal was looked at while it was on its way.
func TestLatePubSubIsTold(t *testing.T) {
	t.Parallel() // it waits
	server := servertest.StartRedis(t)
	r := newRecorder()
	cfg := config(dialing(t, server.Addr, func(c net.Conn) net.Conn { return late{c, 800 * time.Millisecond} }), r)
	cfg.MaxStaleness = time.Second // the journal is looked at each 333 ms
	b := openWith(t, cfg)
	r.await(t, "resync")
	eventually(t, "subscribed", func() bool { return b.Stats().Subscriptions == 1 })
	tick := uint64(0)
	for range 5 {
		tick++
		publish(t, b, tick)
		eventually(t, "replayed", func() bool { return b.Stats().Replayed == tick })
		time.Sleep(cfg.MaxStaleness) // pub/sub brings it meanwhile
		if since, n := b.Unheard(); !since.IsZero() {
			t.Fatalf("%d messages not heard for %s, of those that came one by one", n, time.Since(since))
		}
	}
	eventually(t, "told", func() bool {
		tick++
		publish(t, b, tick)
		time.Sleep(20 * time.Millisecond)
		since, _ := b.Unheard()
		return !since.IsZero()
	})
}

// A pub/sub that loses messages and brings others is not accused, however many the journal makes up for.
func TestPubSubThatLosesSomeIsNotAccused(t *testing.T) {
	t.Parallel() // it waits
	server := servertest.StartRedis(t)
	r := newRecorder()
	cfg := config(connect(t, server.Addr), r)
	cfg.MaxStaleness = time.Second
	b := openWith(t, cfg)
	r.await(t, "resync")
	eventually(t, "subscribed", func() bool { return b.Stats().Subscriptions == 1 })
	client, tick := connect(t, server.Addr), uint64(0)
	for range 10 {
		tick++
		loseMessage(t, client, tick)
		eventually(t, "replayed", func() bool { return b.Stats().Replayed >= tick/2 && len(r.all()) == 1+int(tick) })
		tick++
		publish(t, b, tick)
		eventually(t, "heard, or replayed", func() bool { return len(r.all()) == 1+int(tick) })
		if since, n := b.Unheard(); !since.IsZero() {
			t.Fatalf("%d messages not heard for %s", n, time.Since(since))
		}
	}
}
