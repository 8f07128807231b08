package main

const setStoreFile = "tier/set_store.go"

// setMutations are the rules of Set, and of the invalidations beside it.
var setMutations = []mutation{
	{
		name: "set-snapshot-late", rule: "the tick of a Set is from before its write",
		file: "tier/set.go",
		old:  "\tr := s.deps.seal(loaded{",
		new:  "\ttick, _ := s.space.cache.lastTick(ctx)\n\ts.began = s.space.cache.beginReading(tick)\n\tr := s.deps.seal(loaded{",
		pkg:  "tier", run: "^TestSetBesideAnInvalidation$/^the.other.first$", seed: 1,
	},
	{
		name: "set-claim-ignored", rule: "a Set whose key was invalidated since its snapshot stores nothing",
		file: setStoreFile, old: "\tcase !clean:\n", new: "\tcase false && !clean:\n",
		pkg: "tier", run: "^TestSetBesideAnInvalidation$/^the.other.first$",
	},
	{
		name: "set-own-table-not-asked", rule: "also one whose own pod has applied an invalidation that Redis's table does not know",
		file: setStoreFile, old: `if c.guard.Check(o.entry) != local.Valid {`, new: `if false {`,
		pkg: "tier", run: "^TestSetBesideAFailedInvalidation$",
	},
	{
		name: "set-refused-forgotten", rule: "a Set that stores nothing invalidates anew",
		file: setStoreFile, old: `return false, c.invalidateRemote(ctx, originAPI, names)`, new: "c.apply(names, tick)\n\t\treturn false, c.publish(ctx, originAPI, names, tick)",
		pkg: "tier", run: "^TestSetBesideASet$",
	},
	{
		name: "set-one-tick", rule: "an invalidation that finds its tick overtaken takes one more",
		file: "tier/invalidate.go", old: "\tif !news {\n", new: "\tif false && !news {\n",
		pkg: "tier", run: "^TestSetBesideAnInvalidation$/^the.Set.first",
	},
	{
		name: "set-second-tick-not-touched", rule: "the table learns the second tick",
		file: "tier/invalidate.go", old: "\t_, err = c.touch(ctx, names, second)\n", new: "",
		pkg: "tier", run: "^TestSetBesideAnInvalidation$/^the.Set.first$",
	},
	{
		name: "set-second-tick-not-published", rule: "the pods learn the second tick",
		file: "tier/invalidate.go", old: `if tick, err = c.overtake(`, new: `if _, err = c.overtake(`,
		pkg: "tier", run: "^TestSetBesideAnInvalidation$/^the.Set.first$",
	},
	{
		name: "set-missing-bucket-is-news", rule: "an invalidation that finds no bucket may be overtaken",
		file: "remote/table.go", old: `return lowest == noteNews, `, new: `return lowest != noteBehind, `,
		pkg: "tier", run: "^TestSetBesideAnInvalidation$/^the.Set.first,.and.forgotten$",
	},
	{
		name: "set-key-at-snapshot", rule: "a Set's value outlives the Set's own invalidation",
		file: setStoreFile, old: "\to.entry.Names[0] = local.NewName(o.name(), tick)\n", new: "",
		pkg: "tier", run: "^TestSetIsAHit$",
	},
	{
		name: "set-tags-at-its-tick", rule: "a Set's value in L2 stands on its tags at the snapshot's tick",
		file: setStoreFile, old: "\to.env.Tick = tick\n", new: "\to.env.Tick = tick\n\tfor i := range o.env.Names {\n\t\to.env.Names[i].Tick = tick\n\t}\n",
		pkg: "tier", run: "^TestSetBesideATag$",
	},
	{
		name: "set-space-at-its-tick", rule: "and so on its space and its feed",
		file: setStoreFile, old: "o.env.Names = append(o.env.Names, remote.Name{Text: n.Text, Tick: n.Tick})", new: "_ = n",
		pkg: "tier", run: "^TestSetBesideATag$",
	},
	{
		name: "set-alone-claim-ignored", rule: "with L1 alone, a Set whose entry was invalidated since its snapshot stores nothing",
		file: setStoreFile, old: `stored = c.guard.Check(o.entry) == local.Valid`, new: `stored = c.guard.Check(o.entry) == local.Valid || true`,
		pkg: "tier", run: "^TestSetStandsOnAllElseAtItsSnapshot$/^Invalidate$/^L1$",
	},
	{
		name: "set-alone-out-of-order", rule: "with L1 alone, ticks are applied in the order in which they were taken",
		file: "tier/invalidate.go",
		old:  "\t\tc.apply(names, c.guard.Heard()+1)\n\t\tc.history.note(c.guard.Heard(), origin)\n\t\tc.alone.Unlock()\n",
		new:  "\t\ttick := c.guard.Heard() + 1\n\t\tc.guard.Hear(tick)\n\t\tc.alone.Unlock()\n\t\ttime.Sleep(10 * time.Microsecond)\n\t\tc.apply(names, tick)\n",
		pkg:  "tier", run: "^TestSetUnderLoad$/^L1$", count: 5,
	},
	{
		name: "set-blind", rule: "a Set whose snapshot could not read the counter stores nothing",
		file: "tier/set.go", old: "\tcase s.blind:\n", new: "\tcase false && s.blind:\n",
		pkg: "tier", run: "^TestSetWhileRedisIsDown$",
	},
	{
		name: "set-failed-write-forgotten", rule: "a write that failed invalidates: it may have happened",
		file: "tier/set.go", old: `shown(s.key()), err), s.invalidate(after))`, new: `shown(s.key()), err))`,
		pkg: "tier", run: "^TestFailingWriteInvalidates$",
	},
	{
		name: "set-caller-gone", rule: "a write that is done is announced though its caller has left",
		file: "tier/set.go", old: `after := context.WithoutCancel(ctx)`, new: `after := ctx`,
		pkg: "tier", run: "^TestSetGoesOnWithoutItsCaller$",
	},
	{
		name: "set-own-pod-waits", rule: "a Set is applied in its own pod, also after an error",
		file: setStoreFile, old: "\tdefer c.apply(names, tick)\n", new: "",
		pkg: "tier", run: "^TestSetFailsHalfWay$",
	},
	{
		name: "set-waits-for-an-old-load", rule: "a Set's value is there at once, though a load from before it is under way",
		file: setStoreFile, old: "\t\tbefore.set = e\n", new: "",
		pkg: "tier", run: "^TestOldLoaderReturnsAfterSet$/^L1$",
	},
}
