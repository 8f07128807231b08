package local_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tandem-cache/tandem/local"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func entry(g *local.Guard, tick uint64, names ...string) *local.Entry {
	ns := make([]local.Name, len(names))
	for i, n := range names {
		ns[i] = local.NewName(n, tick)
	}
	return local.NewEntry(0, "id", nil, g.Number(), ns)
}

func TestInvalidatedEntriesAreDead(t *testing.T) {
	g := local.NewGuard(16)
	e, other := entry(g, 1, "k:a", "t:b"), entry(g, 1, "k:c")
	g.Apply([]string{"t:b"}, 2)
	for range 2 {
		if got := g.Check(e); got != local.Dead {
			t.Errorf("one of its names was invalidated: got %v; want Dead", got)
		}
		if got := g.Check(other); got != local.Valid {
			t.Errorf("another name was: got %v; want Valid", got)
		}
	}
	if got := g.Check(entry(g, 2, "k:a", "t:b")); got != local.Valid {
		t.Errorf("read after: got %v; want Valid", got)
	}
}

// A fill that raced an invalidation is dead on arrival, whenever it is stored.
func TestEntryBornBeforeIsDeadWhenStoredAfter(t *testing.T) {
	g := local.NewGuard(16)
	born, tick := g.Number(), g.Heard()
	g.Apply([]string{"k:a"}, tick+1)
	e := local.NewEntry(0, "id", nil, born, []local.Name{local.NewName("k:a", tick)})
	if got := g.Check(e); got != local.Dead {
		t.Errorf("got %v; want Dead", got)
	}
}

// The message of an invalidation may come after that of a later one, by which the value was already read anew.
func TestLateMessageSparesNewerValue(t *testing.T) {
	g := local.NewGuard(16)
	e := entry(g, 7, "k:a")
	g.Apply([]string{"k:a"}, 5)
	if got := g.Check(e); got != local.Valid {
		t.Errorf("got %v; want Valid: the value reflects tick 5", got)
	}
}

func TestFlush(t *testing.T) {
	g := local.NewGuard(16)
	checked, late := entry(g, 1, "k:a"), entry(g, 1, "k:b")
	if got := g.Check(checked); got != local.Valid {
		t.Fatalf("got %v; want Valid", got)
	}
	g.Flush()
	for _, e := range []*local.Entry{checked, late} {
		if got := g.Check(e); got != local.Dead {
			t.Errorf("born before the flush: got %v; want Dead", got)
		}
	}
	if got := g.Check(entry(g, 1, "k:a")); got != local.Valid {
		t.Errorf("born after: got %v; want Valid", got)
	}
}

// Names that share a stripe do not outdate each other: the table knows them apart.
func TestSharedStripesAreToldApart(t *testing.T) {
	g := local.NewGuard(1 << 18)
	var entries []*local.Entry
	for i := range 20 {
		entries = append(entries, entry(g, 1, fmt.Sprint("k:", i)))
	}
	for i := range 1 << 16 { // as many names as stripes
		g.Apply([]string{fmt.Sprint("k:other", i)}, uint64(i)+2)
	}
	for _, e := range entries {
		if got := g.Check(e); got != local.Valid {
			t.Errorf("got %v; want Valid", got)
		}
	}
	if g.Collisions() == 0 {
		t.Error("no stripe was shared: the test shows nothing")
	}
}

func TestFullTableKnowsNothingBelowItsFloor(t *testing.T) {
	g := local.NewGuard(16)
	names := []local.Name{local.NewName("k:a", 1)}
	g.Apply([]string{"k:a"}, 2)
	for i := range 15 {
		g.Apply([]string{fmt.Sprint("k:other", i)}, uint64(i)+3)
	}
	if got := g.Judge(names); got != local.Dead {
		t.Errorf("remembered: got %v; want Dead", got)
	}
	g.Apply([]string{"k:one too many"}, 20)
	if got := g.Judge(names); got != local.Unknown {
		t.Errorf("forgotten: got %v; want Unknown", got)
	}
	if got := g.Judge([]local.Name{local.NewName("k:a", 10)}); got != local.Valid {
		t.Errorf("newer than everything forgotten: got %v; want Valid", got)
	}
}

// An entry that is read while others are invalidated stays, however many they are: what was applied since it was last found
// valid is known.
func TestEntryInUseOutlivesTheTable(t *testing.T) {
	g := local.NewGuard(64)
	used, idle := entry(g, 5, "k:used", "t:busy"), entry(g, 5, "k:idle", "t:busy")
	for i := range uint64(1000) {
		g.Apply([]string{fmt.Sprint("k:", i)}, i+10) // fills the table
		g.Apply([]string{"t:busy"}, 2)               // a late message: moves a stripe of both, and outdates neither
		if got := g.Check(used); got != local.Valid {
			t.Fatalf("after %d invalidations: got %v; want Valid", i, got)
		}
	}
	if got := g.Judge(used.Names); got != local.Unknown {
		t.Errorf("the same names from elsewhere: got %v; want Unknown: the test shows nothing", got)
	}
	if got := g.Check(idle); got != local.Unknown {
		t.Errorf("not asked for since the table was full: got %v; want Unknown", got)
	}
	g.Apply([]string{"k:used"}, 6)
	if got := g.Check(used); got != local.Dead {
		t.Errorf("invalidated: got %v; want Dead", got)
	}
}

// The table is filled by other names between an entry's check and the next: what it forgot in between it must not take for nothing.
func TestForgottenSinceTheCheckIsUnknown(t *testing.T) {
	g := local.NewGuard(16)
	g.Apply([]string{"k:a"}, 2)
	e := entry(g, 3, "k:a")
	for i := range 15 {
		g.Apply([]string{fmt.Sprint("k:other", i)}, uint64(i)+3)
	}
	if got := g.Check(e); got != local.Valid {
		t.Fatalf("other names were invalidated: got %v; want Valid", got)
	}
	g.Apply([]string{"k:a"}, 20) // e is outdated
	for i := range 15 {
		g.Apply([]string{fmt.Sprint("k:more", i)}, uint64(i)+21)
	}
	if got := g.Check(e); got != local.Dead {
		t.Errorf("15 of 16 places were renewed: got %v; want Dead, the name was invalidated later than the others", got)
	}
	g.Apply([]string{"k:one too many"}, 40)
	if got := g.Check(e); got != local.Unknown {
		t.Errorf("all places were renewed: got %v; want Unknown", got)
	}
}

// A name invalidated again and again stays known.
func TestTableKeepsTheHighestTick(t *testing.T) {
	g := local.NewGuard(8)
	for i := range 20 {
		g.Apply([]string{"k:hot"}, uint64(i)+1)
	}
	g.Apply([]string{"k:hot"}, 3) // late
	if got := g.Judge([]local.Name{local.NewName("k:hot", 19)}); got != local.Dead {
		t.Errorf("got %v; want Dead", got)
	}
	if got := g.Judge([]local.Name{local.NewName("k:cold", 0)}); got != local.Valid {
		t.Errorf("an untouched name: got %v; want Valid: nothing was forgotten", got)
	}
}

func TestRaisedFloor(t *testing.T) {
	g := local.NewGuard(8)
	g.Apply([]string{"k:a"}, 3)
	g.RaiseFloor(5)
	for tick, want := range map[uint64]local.Verdict{2: local.Dead, 4: local.Unknown, 5: local.Valid} {
		if got := g.Judge([]local.Name{local.NewName("k:a", tick)}); got != want {
			t.Errorf("tick %d: got %v; want %v", tick, got, want)
		}
	}
	if g.Heard() != 5 {
		t.Errorf("heard %d; want 5", g.Heard())
	}
}

// Readers of entries born before an Apply that has returned must find them dead, whatever other readers and appliers do.
// Taking away the order of stores in Apply, or the lock, or reading the number after the stripes, makes it fail.
func TestAppliedMeansDead(t *testing.T) {
	g := local.NewGuard(1 << 12)
	const names = 8
	var version, applied [names]atomic.Uint64 // of the source; applied here
	var current [names]atomic.Pointer[local.Entry]
	var ticks atomic.Uint64
	text := func(i int) string { return fmt.Sprint("k:", i) }
	read := func(i int) *local.Entry {
		born, tick := g.Number(), g.Heard()
		e := local.NewEntry(0, "id", version[i].Load(), born, []local.Name{local.NewName(text(i), tick)})
		current[i].Store(e)
		return e
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	enough := time.Now().Add(5 * time.Second) // the race detector makes it slow
	for w := range 2 {
		wg.Go(func() {
			for n := range 60_000 {
				if n%100 == 0 && time.Now().After(enough) {
					return
				}
				i := (n*7 + w) % names
				v := version[i].Add(1)
				g.Apply([]string{text(i)}, ticks.Add(1))
				for old := applied[i].Load(); old < v && !applied[i].CompareAndSwap(old, v); old = applied[i].Load() {
				}
			}
		})
	}
	var readers sync.WaitGroup
	for r := range 2 {
		readers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				i := (n*3 + r) % names
				least := applied[i].Load()
				e := current[i].Load()
				if e == nil || g.Check(e) != local.Valid {
					read(i)
					continue
				}
				if got := e.Value.(uint64); got < least {
					t.Errorf("valid, with version %d, after the invalidation of version %d had been applied", got, least)
					return
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	readers.Wait()
}
