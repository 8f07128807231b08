package tier

import "github.com/tandem-cache/tandem/local"

const (
	keeperQueue = 1 << 16
	keeperBatch = 1 << 10 // far below what ristretto queues, so that it drops none
)

// A keeper is the only writer of L1: one goroutine, so that a Set is never taken away by a Delete meant for the entry before it.
// It batches: ristretto is asked to catch up once for many sets, and only then do their flights leave the table.
type keeper struct {
	cache *Cache
	jobs  chan keeperJob // full: an entry is not stored, a delete not done
	stop  chan struct{}
	done  chan struct{}

	set map[flightKey]struct{} // keys set since ristretto last caught up
}

// A keeperJob stores a flight's entry or, without one, deletes the entry of a key that was invalidated.
type keeperJob struct {
	flight *flight
	space  uint32
	id     string
}

func newKeeper(c *Cache) *keeper {
	k := &keeper{cache: c, jobs: make(chan keeperJob, keeperQueue), stop: make(chan struct{}), done: make(chan struct{}), set: make(map[flightKey]struct{})}
	go k.run()
	return k
}

// offer hands over a job if there is room.
func (k *keeper) offer(job keeperJob) bool {
	select {
	case k.jobs <- job:
		return true
	default:
		k.cache.stats.keeperFull.Add(1)
		return false
	}
}

// close ends the keeper. What is still queued is forgotten.
func (k *keeper) close() {
	close(k.stop)
	<-k.done
}

func (k *keeper) run() {
	defer close(k.done)
	stored := make([]*flight, 0, keeperBatch)
	for {
		select {
		case <-k.stop:
			return
		case job := <-k.jobs:
			k.batch(stored[:0], job)
		}
	}
}

// batch does job and what else is queued, and lets the flights go whose entries L1 has shown or dropped.
func (k *keeper) batch(stored []*flight, job keeperJob) {
	stored = k.do(stored, job)
	for len(stored) < keeperBatch && len(k.jobs) > 0 {
		stored = k.do(stored, <-k.jobs)
	}
	if len(stored) == 0 {
		return
	}
	k.catchUp()
	for _, f := range stored {
		k.cache.flights.forget(f)
	}
	clear(stored) // hold no entry while idle
}

// catchUp waits until every Set is shown or dropped.
func (k *keeper) catchUp() {
	k.cache.store.Wait()
	clear(k.set)
}

func (k *keeper) do(stored []*flight, job keeperJob) []*flight {
	c := k.cache
	if f := job.flight; f != nil {
		key := flightKey{f.space.number, f.id}
		if _, again := k.set[key]; again { // of two new sets in its queue ristretto drops the second, which is the fresh one
			k.catchUp()
		}
		k.set[key] = struct{}{}
		c.store.Set(f.entry)
		return append(stored, f)
	}
	if e := c.store.Get(job.space, job.id); e != nil && c.guard.Check(e) == local.Dead {
		c.store.Delete(job.space, job.id)
	}
	return stored
}
