package local

// A Finding is what a guard has to say of an entry to who asks why.
type Finding struct {
	Verdict Verdict
	Flushed bool // Dead, by a flush of everything, and not for one of its names
}

// Look is [Guard.Check] without a trace: it leaves the entry as it is and counts nothing.
func (g *Guard) Look(e *Entry) Finding {
	v := e.Verified()
	switch {
	case v == g.number.Load():
		return Finding{Verdict: Valid}
	case v < g.flushed.Load():
		return Finding{Verdict: Dead, Flushed: true}
	case g.moved(e.Names, v):
		return Finding{Verdict: g.table.judgeSince(e.Names, v)}
	}
	return Finding{Verdict: Valid}
}

// Ticks returns the highest tick that is known of each name's invalidations; 0: of none. Names that share a hash share it.
func (g *Guard) Ticks(names []Name) []uint64 {
	g.table.mu.RLock()
	defer g.table.mu.RUnlock()
	ticks := make([]uint64, len(names))
	for i, n := range names {
		ticks[i] = g.table.setOf(n.hash).tick(n.hash)
	}
	return ticks
}
