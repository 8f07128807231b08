package main

const guardFile = "local/guard.go"

// pause lets other goroutines run between two steps that a rule orders, as the scheduler may: the window is a few nanoseconds.
const pause = "\t{\n\t\tc := make(chan struct{})\n\t\tgo close(c)\n\t\t<-c\n\t}\n"

// guardMutations are the rules of a pod's numbers, stripes and table of recent names.
var guardMutations = []mutation{
	{
		name: "guard-stripes-ignored", rule: "an entry one of whose stripes moved is not taken as valid unseen",
		file: guardFile, old: `g.stripe(names[i].hash).Load() > v`, new: `g.stripe(names[i].hash).Load() > v && false`,
		pkg: "local", run: "^TestInvalidatedEntriesAreDead$", seed: 1,
	},
	{
		name: "guard-table-not-asked", rule: "where a stripe moved the exact table decides, so that shared stripes don't drain L1",
		file: guardFile, old: `verdict := g.table.judgeSince(e.Names, v); verdict != Valid`, new: `verdict := Dead; verdict != Valid`,
		pkg: "local", run: "^TestSharedStripesAreToldApart$",
	},
	{
		name: "guard-number-before-stripes", rule: "an applier stores the number after the stripes",
		file: guardFile,
		old:  "\tfor _, hash := range g.hashes {\n\t\tg.stripe(hash).Store(n)\n\t}\n\tg.number.Store(n)\n}",
		new:  "\tg.number.Store(n)\n" + pause + "\tfor _, hash := range g.hashes {\n\t\tg.stripe(hash).Store(n)\n\t}\n}",
		pkg:  "local", run: "^TestAppliedMeansDead$", count: 10,
	},
	{
		name: "guard-number-before-table", rule: "an applier stores the number after the table",
		file: guardFile,
		old:  "\tg.table.put(g.hashes, tick, n)\n\tfor _, hash := range g.hashes {\n\t\tg.stripe(hash).Store(n)\n\t}\n\tg.number.Store(n)\n",
		new:  "\tfor _, hash := range g.hashes {\n\t\tg.stripe(hash).Store(n)\n\t}\n\tg.number.Store(n)\n" + pause + "\tg.table.put(g.hashes, tick, n)\n",
		pkg:  "local", run: "^TestAppliedMeansDead$", count: 10,
	},
	{
		name: "guard-two-appliers", rule: "one invalidation is applied at a time",
		file: guardFile,
		old:  "\tg.applying.Lock()\n\tdefer g.applying.Unlock()\n\tg.applyLocked(names, tick)\n\tg.Hear(tick)\n",
		new: `	hashes := make([]uint64, 0, len(names))
	for _, name := range names {
		hashes = append(hashes, xxhash.Sum64String(name))
	}
	n := g.number.Load() + 1
	for range 3000 { // a pause, so that two do meet
		g.Hear(0)
	}
	g.table.put(hashes, tick, n)
	for _, hash := range hashes {
		g.stripe(hash).Store(n)
	}
	g.number.Store(n)
	g.Hear(tick)
`,
		pkg: "local", run: "^TestAppliedMeansDead$", count: 10,
	},
	{
		name: "guard-number-read-late", rule: "a check reads the number before the stripes",
		file: guardFile,
		old:  "\te.verified.CompareAndSwap(v, n) // not Store: it would bring back an entry that was outdated meanwhile\n",
		new:  pause + "\te.verified.Store(g.number.Load())\n",

		pkg: "local", run: "^TestAppliedMeansDead$", count: 10,
	},
	{
		name: "guard-flush-forgotten", rule: "what was born before a flush is dead",
		file: guardFile, old: `if v < g.flushed.Load() {`, new: `if v < g.flushed.Load() && false {`,
		pkg: "local", run: "^TestFlush$",
	},
	{
		name: "guard-flush-after-number", rule: "a flush is stored before its number",
		file: guardFile,
		old:  "\tg.flushed.Store(n) // before number, as Guard says\n\tg.number.Store(n)\n",
		new:  "\tg.number.Store(n)\n" + pause + "\tg.flushed.Store(n)\n",
		pkg:  "local", run: "^TestFlushedMeansDead$", count: 10,
	},
	{
		name: "guard-applied-not-heard", rule: "the tick of an applied invalidation counts as heard",
		file: guardFile, old: "\tg.applyLocked(names, tick)\n\tg.Hear(tick)\n", new: "\tg.applyLocked(names, tick)\n",
		pkg: "local", run: "^TestAppliedTickIsHeard$",
	},
	{
		name: "guard-floor-not-heard", rule: "the counter read at a resync counts as heard",
		file: guardFile, old: "\tg.table.raise(tick)\n\tg.Hear(tick)\n", new: "\tg.table.raise(tick)\n",
		pkg: "local", run: "^TestRaisedFloor$",
	},
	{
		name: "guard-floor-not-raised", rule: "of what was read before the floor, this pod knows nothing",
		file: guardFile, old: "\tg.table.raise(tick)\n", new: "",
		pkg: "local", run: "^TestRaisedFloor$",
	},
	{
		name: "names-tick-ignored", rule: "a name in the table with a tick above the entry's is death",
		file: "local/table.go", old: `return tick > n.Tick //`, new: `return tick > n.Tick && false //`,
		pkg: "local", run: "^TestInvalidatedEntriesAreDead$",
	},
	{
		name: "names-floor-ignored", rule: "an entry below the floor is not valid by the pod's table",
		file: "local/table.go", old: `if n.Tick < max(t.floor, s.floor) && !complete(s) {`, new: `if n.Tick < max(t.floor, s.floor) && !complete(s) && false {`,
		pkg: "local", run: "^TestFullTableKnowsNothingBelowItsFloor$",
	},
	{
		name: "names-forgotten-silently", rule: "a name that leaves a full set raises its floor",
		file: "local/table.go", old: "\ts.floor = max(s.floor, s.ticks[oldest]&^dropped+s.ticks[oldest]>>63)", new: "",
		pkg: "local", run: "^TestFullTableKnowsNothingBelowItsFloor$",
	},
	{
		name: "names-lower-tick-kept", rule: "a late message does not lower the tick of a name",
		file: "local/table.go", old: `if s.ticks[i]&^dropped < tick&^dropped ||`, new: `if true ||`,
		pkg: "local", run: "^TestTableKeepsTheHighestTick$",
	},
	{
		name: "names-hot-name-forgotten", rule: "the name that was invalidated longest ago leaves a full set",
		file: "local/table.go", old: `if s.numbers[i] < s.numbers[oldest] {`, new: `if s.numbers[oldest] != 0 && s.numbers[i] == 0 {`,
		pkg: "local", run: "^TestForgottenSinceTheCheckIsUnknown$",
	},
	{
		name: "names-number-of-the-first", rule: "a name has the number of the invalidation that gave it its tick",
		file: "local/table.go", old: `s.ticks[i], s.numbers[i] = tick, number`, new: `s.ticks[i] = tick`,
		pkg: "local", run: "^TestForgottenSinceTheCheckIsUnknown$",
	},
	{
		name: "names-number-forgotten", rule: "an entry found valid lately needs only what was applied since",
		file: "local/table.go", old: `return number >= s.left`, new: `return false`,
		pkg: "local", run: "^TestEntryInUseOutlivesTheTable$",
	},
	{
		name: "names-number-not-raised", rule: "an entry not asked for since its set was renewed is in doubt",
		file: "local/table.go", old: "\ts.left = s.numbers[oldest]\n", new: "",
		pkg: "local", run: "^TestEntryInUseOutlivesTheTable$",
	},
	{
		name: "names-elsewhere-by-number", rule: "numbers say nothing of a value from elsewhere",
		file: "local/table.go", old: `func(*set) bool { return false }`, new: `func(*set) bool { return true }`,
		pkg: "local", run: "^TestFullTableKnowsNothingBelowItsFloor$",
	},
}
