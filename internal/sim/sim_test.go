package sim

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
)

var (
	first   = flag.Uint64("first", 1, "the first seed")
	seeds   = flag.Uint64("seeds", defaultSeeds, "how many seeds")
	every   = flag.Uint64("every", 1, "from one seed to the next: for several processes at once")
	verbose = flag.Bool("verbose", false, "print the history of each seed")
	eager   = flag.Bool("eager", false, "a fault that must be seen: the source hands over changes before they are visible")
)

// quietly is the logger of go-redis: what fails here fails on purpose.
type quietly struct{}

func (quietly) Printf(context.Context, string, ...any) {}

func TestMain(m *testing.M) {
	flag.Parse()
	redis.SetLogger(quietly{})
	os.Exit(m.Run())
}

func TestSeeds(t *testing.T) {
	began := time.Now()
	var reads, faults int
	for i := range *seeds {
		seed := *first + i**every
		w := simulate(t, seed, *eager)
		reads += w.reads
		faults += w.faults
		if *verbose {
			fmt.Println(w.tail(4000))
		}
		if w.broken != "" {
			t.Fatalf("seed %d: %s\n\n%s\n\ngo test ./internal/sim -run TestSeeds -args -first %d -seeds 1 -verbose", seed, w.broken, w.tail(60), seed)
		}
	}
	fmt.Printf("%d seeds from %d on: %d reads checked, %d faults, no promise broken, %s\n", *seeds, *first, reads, faults,
		time.Since(began).Round(time.Millisecond))
}

// simulate runs a seed. So that it comes out the same again, one goroutine runs at a time, and no garbage collector, whose workers would
// come between them.
func simulate(t *testing.T, seed uint64, eager bool) (w *world) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	synctest.Test(t, func(*testing.T) {
		w = newWorld(seed, eager)
		w.run()
	})
	return w
}
