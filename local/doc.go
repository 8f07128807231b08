// Package local is the first tier of the cache: decoded values in the memory of one pod, and the guards that keep them true.
//
// A [Guard] knows which names were invalidated, a [Store] holds entries. The two never wait for each other: an entry is
// stored without asking whether it is still valid, and judged each time it is read.
//
//	g := local.NewGuard(local.DefaultTableSize)
//	born := g.Number()                                 // before the source is read
//	e := local.NewEntry(space, id, value, born, names) // after it was read
//	g.Apply([]string{"k:orders:account:acc_001"}, tick)
//	g.Check(e) // Dead
//
// # Promises
//
//   - An entry whose name was invalidated after the entry's number was noted is never valid again, whatever the order in
//     which the store shows sets and deletes, and whoever stores it late.
//   - A valid entry costs one comparison while nothing was invalidated, however many names it stands on.
//   - Invalidating other names leaves an entry valid, though it may cost it a look at the table.
//   - Everything has a fixed size: the stripes, the table of recent names, the store's cost.
//   - All methods may be called from any goroutine.
//
// # What it does not do
//
// It does not load, decode, expire by itself or talk to anything outside the process.
package local
