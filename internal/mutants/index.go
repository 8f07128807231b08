package main

import "time"

// indexMutations are the rules of the index of dependents: it costs no value that is good, holds nobody, and is bounded.
var indexMutations = []mutation{
	{
		name: "index-late-note-wins", rule: "the note of an earlier fill does not lower an entry's place in the index (ZADD GT)",
		file: "remote/lua/index_add.lua", old: `index, 'GT', ARGV`, new: `index, ARGV`,
		pkg: "remote", run: "^TestLateNoteIsIgnored$",
	},
	{
		name: "index-unbounded", rule: "an index has a bounded size",
		file: "remote/lua/index_add.lua", old: `if over > 0 then`, new: `if false then`,
		pkg: "remote", run: "^TestFullIndexForgetsTheOldest$",
	},
	{
		name: "index-dies-early", rule: "an index lives as long as the longest of its entries",
		file: "remote/lua/index_add.lua", old: `math.max(redis.call('PTTL', index), keep)`, new: `keep`,
		pkg: "remote", run: "^TestIndexLivesAsLongAsItsEntries$",
	},
	{
		name: "index-for-ever", rule: "an index ends a day after its last note",
		file: "remote/lua/index_add.lua", old: `  redis.call('PEXPIRE', index, left)
`, new: `  if life > 0 then redis.call('PEXPIRE', index, left) end
`,
		pkg: "remote", run: "^TestIndexOfEntriesThatWentIsGone$", limit: 30 * time.Second,
	},
	{
		name: "index-keeps-expired", rule: "an index that is noted in drops entries that have expired",
		file: "remote/lua/index_add.lua", old: `if #gone > 0 then`, new: `if false then`,
		pkg: "remote", run: "^TestExpiredEntriesLeaveAHotIndex$",
	},
	{
		name: "index-outlives-its-entries", rule: "an index of entries with a TTL expires",
		file: "tier/index.go", old: `Key: fill.Key, Life: fill.Life}`, new: `Key: fill.Key}`,
		pkg: "tier", run: "^TestIndexExpiresWithItsEntries$",
	},
	{
		name: "index-notes-one-by-one", rule: "notes that wait share a call",
		file: "tier/index_note.go", old: `if count > 0 && tags`, new: `if count > 0 || tags`,
		pkg: "tier", run: "^TestNotesShareCalls$",
	},
	{
		name: "index-notes-unbounded", rule: "the queue of notes is bounded, and what does not fit is counted",
		file: "tier/index_note.go", old: `case n.closed, n.tags > 0 && n.tags+len(entry.Tags) > n.capacity:`, new: `case n.closed:`,
		pkg: "tier", run: "^TestFullNoteQueueIsCounted$", limit: 90 * time.Second,
	},
	{
		name: "index-notes-lost-at-close", rule: "Close notes what waits",
		file: "tier/index_note.go", old: "	n.closed = true\n", new: "	n.closed = true\n	n.waiting = nil\n",
		pkg: "tier", run: "^TestCloseNotesWhatWaits$",
	},
	{
		name: "sweep-takes-fresh", rule: "a sweep leaves in the index what was filled since",
		file: "remote/lua/index_take.lua", old: `'(' .. ARGV[1]`, new: `'+inf'`,
		pkg: "remote", run: "^TestSweepTakesInSteps$",
	},
	{
		name: "sweep-deletes-fresh", rule: "a sweep deletes only what stands on the object below the invalidation's tick, as it is there now",
		file: "remote/lua/index_drop.lua", old: `stood and stood < tick`, new: `stood`,
		pkg: "remote", run: "^TestRefillAmidASweepStays$",
	},
	{
		name: "sweep-by-the-value", rule: "a sweep compares the tick of the name, not that of the value",
		file: "remote/lua/index_drop.lua", old: `return own + diff / 2`, new: `return own`,
		pkg: "remote", run: "^TestSweepDeletesWhatIsOutdated$",
	},
	{
		name: "sweep-deletes-markers", rule: "a sweep deletes values, no markers",
		file: "remote/lua/index_drop.lua", old: `string.sub(bytes, 1, 2) ~= 'V\1' then break end`, new: `false then break end
    if string.sub(bytes, 1, 1) == 'M' then deleted = deleted + redis.call('UNLINK', entry) break end`,
		pkg: "remote", run: "^TestRefillAmidASweepStays$",
	},
	{
		name: "sweep-before-broadcast", rule: "a sweep begins after its invalidation was broadcast",
		file: "tier/invalidate.go",
		old:  "\tif err = c.publish(ctx, origin, names, tick); err == nil {\n",
		new:  "\tc.sweeper.offer(names, tick)\n\ttime.Sleep(50 * time.Millisecond)\n\tif err = c.publish(ctx, origin, names, tick); err == nil {\n",
		pkg:  "tier", run: "^TestSweepComesLast$",
	},
	{
		name: "sweep-unacknowledged", rule: "an invalidation that failed is not swept",
		file: "tier/invalidate.go", old: `err = c.publish(ctx, origin, names, tick); err == nil {`, new: `err = c.publish(ctx, origin, names, tick); true {`,
		pkg: "tier", run: "^TestSweepComesLast$",
	},
	{
		name: "sweep-holds-invalidations", rule: "an invalidation does not wait for the sweep, though its queue is full",
		file: "tier/index_sweep.go", old: "	case s.jobs <- tags:\n	default:\n		s.drop(len(tags))\n", new: "	case s.jobs <- tags:\n",
		pkg: "tier", run: "^TestFullSweepQueueIsCounted$", limit: 20 * time.Second,
	},
	{
		name: "sweep-during-invalidation", rule: "what dependents cost is not part of their invalidation",
		file: "tier/index_sweep.go", old: "	case s.jobs <- tags:\n", new: `	case s.jobs <- tags:
		for s.queued.Load() > 0 {
			time.Sleep(time.Millisecond)
		}
`,
		pkg: "tier", run: "^TestManyDependentsCostTheInvalidationNothing$",
	},
}
