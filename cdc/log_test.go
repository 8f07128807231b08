package cdc_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// written is an io.Writer of lines.
type written struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (w *written) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.Write(b)
}

func (w *written) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.buf.Reset()
	return strings.Split(strings.TrimSuffix(w.buf.String(), "\n"), "\n")
}

func (w *written) logger() *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// namedFeed tells its names, as that of tier does.
type namedFeed struct{ feed }

func (namedFeed) Name() string      { return "orders" }
func (namedFeed) CacheName() string { return "shop" }

func holding(lines []string, texts ...string) (n int) {
	for _, line := range lines {
		has := true
		for _, text := range texts {
			has = has && strings.Contains(line, text)
		}
		if has {
			n++
		}
	}
	return n
}

// A cache that is away is a line when that begins, one each 30 s, and one when it is over. Each names the feed and the cache.
func TestLinesOfAnOutage(t *testing.T) {
	for name, broken := range map[string]struct{ hook, begins, ends string }{
		"the checkpoint can't be read": {"checkpoint", "can't read the checkpoint", "reads the checkpoint again"},
		"no batch is taken":            {"invalidate", "holds a batch", "has taken the batch"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log written
				w := newWorld(t, batch("a"))
				cfg := w.config()
				cfg.Feed, cfg.Logger = namedFeed{feed{w}}, log.logger()
				_, stop := run(t, cfg)
				defer stop()
				nap(2 * time.Second)
				log.take()
				w.set(func() { w.hook = failing(broken.hook, errDown) })
				w.set(func() { w.batches = append(w.batches, batch("b")) })
				nap(45 * time.Second)
				w.set(func() { w.hook = nil })
				nap(30 * time.Second)
				lines := log.take()
				if holding(lines, "level=WARN", broken.begins, "feed=orders", "cache=shop") != 2 || holding(lines, "level=INFO", broken.ends, "for=") != 1 || len(lines) > 4 {
					t.Errorf("got\n%s", strings.Join(lines, "\n"))
				}
			})
		})
	}
}

// One that stands by logs no error of what the active one sees, too; and a feed that begins has lost nothing.
func TestLinesOfAStandby(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var active, standby written
		w := newWorld(t, batch("a"))
		w.shared, w.bare, w.lostBelow = true, true, 1
		first := w.config()
		first.Logger = active.logger()
		_, stopFirst := run(t, first)
		defer stopFirst()
		nap(2 * time.Second)
		if lines := active.take(); holding(lines, "level=WARN") > 0 || holding(lines, "level=INFO", "the feed begins") != 1 {
			t.Errorf("a first start: got\n%s", strings.Join(lines, "\n"))
		}
		second := w.config()
		second.Logger = standby.logger()
		_, stopSecond := run(t, second)
		defer stopSecond()
		nap(2 * time.Second)
		w.set(func() { w.hook = failing("lead", errDown) })
		nap(time.Minute)
		if lines := standby.take(); holding(lines, "level=ERROR")+holding(lines, "level=WARN") > 0 || len(lines) > 5 {
			t.Errorf("stands by: got\n%s", strings.Join(lines, "\n"))
		}
	})
}
