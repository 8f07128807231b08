package cdctest

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/cdc"
)

// Defaults of Rig.
const (
	DefaultFlood    = 20_000
	DefaultPause    = 2 * time.Second
	DefaultPatience = 20 * time.Second
	DefaultQuiet    = 300 * time.Millisecond
)

// Rig is a source under test, with the means to change rows on its server and to
// give it faults. The functions are called from the goroutine of the test that the
// rig was made for, and fail that test themselves; each returns when what it does
// has happened. Each is required, unless Lacks says why there is none.
type Rig struct {
	// Source is new: nothing has been acknowledged to its server. Required.
	Source cdc.Source
	// MaxBatch is what the source was told of the events of a batch. Required;
	// 50 or so, and at least 2.
	MaxBatch int
	// Entity is the Event.Entity of the rows that change, and Column the column of
	// a Row that identifies one. Required.
	Entity, Column string
	// ID returns how row n, from 1, is identified. Nil: in decimal.
	ID func(n int) string
	// Remembers says that Open without a position goes on where the source was last
	// acknowledged. Otherwise its first batch must be Lost every time.
	Remembers bool
	// Secrets must not occur in errors.
	Secrets []string
	// Config is all that a process of its own needs to make the source, for Kill.
	Config string

	Change    func(ids ...string) // changes these rows, which may be new, once each, in one transaction
	Whole     func()              // makes a change of Entity that can't be attributed to rows: a truncate, a payload that can't be decoded
	Unrelated func()              // makes the source's position move without a change that concerns anybody, if time alone doesn't
	Lose      func()              // makes every position so far one that the source can't start at; no stream is open
	Cut       func()              // breaks the connections of the streams that are open; new ones are let in
	Down, Up  func()              // ends the server, and brings it back with all its data
	// Revoke makes the credentials worthless for whoever connects from now on, and
	// Grant takes that back.
	Revoke, Grant func()
	// Freeze makes the server, or the way to it, silent without breaking
	// connections, and Thaw takes that back.
	Freeze, Thaw func()

	// Lacks says in a sentence why a fault can't be given, by the name of the
	// function that is nil ("Down" and "Up": "Down"). Checks that need it are
	// reported as not applicable.
	Lacks map[string]string

	Flood    int           // rows that are more than the source and the network hold in buffers; 0: DefaultFlood
	Pause    time.Duration // how long a slow consumer does nothing; longer than the server waits for a sign of life; 0: DefaultPause
	Patience time.Duration // how long what must happen may take; 0: DefaultPatience
	Quiet    time.Duration // how long something that must not happen is given; 0: DefaultQuiet
}

// withDefaults fails the test of a rig that is incomplete.
func (r Rig) withDefaults(t testing.TB) Rig {
	t.Helper()
	if r.Source == nil || r.Entity == "" || r.Column == "" || r.MaxBatch < 2 {
		t.Fatal("cdctest: Rig.Source, Rig.Entity and Rig.Column are required, and a Rig.MaxBatch of 2 or more")
	}
	for name, nothing := range r.faults() {
		if why := r.Lacks[name]; nothing && why == "" {
			t.Fatalf("cdctest: Rig.%s is required, or Rig.Lacks[%q] says why the source has none", name, name)
		}
	}
	if r.ID == nil {
		r.ID = strconv.Itoa
	}
	r.Flood = cmp.Or(r.Flood, DefaultFlood)
	r.Pause = cmp.Or(r.Pause, DefaultPause)
	r.Patience = cmp.Or(r.Patience, DefaultPatience)
	r.Quiet = cmp.Or(r.Quiet, DefaultQuiet)
	return r
}

// faults says which functions are missing, by their names in Lacks.
func (r Rig) faults() map[string]bool {
	return map[string]bool{
		"Change": r.Change == nil, "Whole": r.Whole == nil, "Unrelated": r.Unrelated == nil, "Lose": r.Lose == nil, "Cut": r.Cut == nil,
		"Down": r.Down == nil || r.Up == nil, "Revoke": r.Revoke == nil || r.Grant == nil, "Freeze": r.Freeze == nil || r.Thaw == nil,
	}
}

// missing is why the rig can't run a check that needs these faults; "": it can.
func (r Rig) missing(needs []string) string {
	faults := r.faults()
	i := slices.IndexFunc(needs, func(name string) bool { return faults[name] })
	if i < 0 {
		return ""
	}
	return fmt.Sprintf("Rig.%s: %s", needs[i], r.Lacks[needs[i]])
}
