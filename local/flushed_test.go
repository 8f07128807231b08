package local_test

import (
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tandem-cache/tandem/local"
)

// As TestAppliedMeansDead, for flushes: an entry born before a flush that has returned is dead. Storing the flush after its
// number makes it fail.
func TestFlushedMeansDead(t *testing.T) {
	g := local.NewGuard(16)
	var started, finished atomic.Uint64
	var current atomic.Pointer[local.Entry]
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				least := finished.Load()
				if e := current.Load(); e != nil && g.Check(e) == local.Valid {
					if got := e.Value.(uint64); got < least {
						t.Errorf("valid, born before flush %d, after flush %d had returned", got+1, least)
						return
					}
					continue
				}
				born := g.Number()
				current.Store(local.NewEntry(0, "id", started.Load(), born, []local.Name{local.NewName("k:a", 1)}))
			}
		})
	}
	for range 200_000 {
		n := started.Add(1)
		g.Flush()
		finished.Store(n)
	}
	close(stop)
	readers.Wait()
}

// A pod counts the tick of every invalidation that it hears of: the counter must never give out a lower one.
func TestAppliedTickIsHeard(t *testing.T) {
	g := local.NewGuard(16)
	for _, step := range []struct{ tick, want uint64 }{{7, 7}, {5, 7}, {9, 9}} {
		g.Apply([]string{"k:a"}, step.tick)
		if got := g.Heard(); got != step.want {
			t.Errorf("after tick %d: heard %d; want %d", step.tick, got, step.want)
		}
	}
}

// An entry that was outdated stays dead, whatever check runs beside it. The entry has many names, so that the check takes a while.
func TestOutdatedEntryStaysDead(t *testing.T) {
	g := local.NewGuard(16)
	g.Flush()
	names := make([]local.Name, 20_000)
	for i := range names {
		names[i] = local.NewName(strconv.Itoa(i), 1<<60)
	}
	for range 200 {
		e := local.NewEntry(0, "a", 1, g.Number(), names)
		g.Apply([]string{"b"}, g.Heard()+1) // so that a check has something to store
		checking := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			close(checking)
			g.Check(e)
		})
		<-checking
		for range rand.IntN(20_000) {
			runtime.KeepAlive(e)
		}
		e.Outdate()
		wg.Wait()
		if g.Check(e) == local.Valid {
			t.Fatal("a check has brought the entry back")
		}
	}
}
