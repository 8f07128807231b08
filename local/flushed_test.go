package local_test

import (
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
