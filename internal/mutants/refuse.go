package main

// refuseMutations are the rules of what a pod does when Redis refuses.
var refuseMutations = []mutation{
	{
		name: "refused-not-dropped", rule: "an invalidation that got no tick is dropped in its own pod",
		file: "tier/invalidate.go", old: "\t\tc.drop(names)\n\t\treturn err\n", new: "\t\treturn err\n",
		pkg: "tier", run: "^TestFailedInvalidationIsDroppedHere$|^TestJoinerAfterFailedInvalidationLoadsAgain$",
	},
	{
		name: "refused-rest-not-dropped", rule: "so are the names that were not tried after it",
		file: "tier/invalidate.go", old: "c.drop(names[n:]) //", new: "//",
		pkg: "tier", run: "^TestUnsentInvalidationIsDroppedHere$",
	},
	{
		name: "refused-set-not-dropped", rule: "so is the key of a Set that got no tick",
		file: setStoreFile, old: "\t\tc.drop(names)\n", new: "",
		pkg: "tier", run: "^TestFailedSetIsDroppedHere$",
	},
	{
		name: "dropped-at-the-next-tick", rule: "no tick is made up for a dropped name",
		file: guardFile, old: `g.applyLocked(names, g.Heard()|dropped)`, new: "g.Hear(g.Heard() + 1)\n\tg.applyLocked(names, g.Heard())",
		pkg: "local", run: "^TestDropped$",
	},
	{
		name: "dropped-value-comes-back", rule: "a value of L2 at the tick of a dropped name is not taken back",
		file: "local/table.go", old: `return tick&^dropped >= n.Tick`, new: `return tick&^dropped > n.Tick`,
		pkg: "tier", run: "^TestFailedInvalidationIsDroppedHere$",
	},
	{
		name: "dropped-and-loaded-again", rule: "what was read from the source after a drop is valid at the tick heard before",
		file: "local/table.go", old: `} else if number < s.numbers[i] {`, new: `} else if true {`,
		pkg: "local", run: "^TestDropped$",
	},
	{
		name: "dropped-and-forgotten", rule: "a dropped name that leaves a full set raises the floor above the highest tick heard",
		file: "local/table.go", old: `&^dropped+s.ticks[oldest]>>63)`, new: `&^dropped)`,
		pkg: "local", run: "^TestDroppedAndForgotten$",
	},
	{
		name: "dropped-replaced-by-a-late-message", rule: "a message that comes late does not undo a drop",
		file: "local/table.go", old: `if s.ticks[i]&^dropped < tick&^dropped ||`, new: `if s.ticks[i]&dropped != 0 || s.ticks[i] < tick ||`,
		pkg: "local", run: "^TestDroppedValueFromElsewhere$",
	},
	{
		name: "refused-no-trial", rule: "a pod whose invalidations fail finds out by itself that they work again",
		file: "tier/cache.go", old: "\tc.stats.failing.begun = c.trial.failed\n", new: "",
		pkg: "tier", run: "^TestHealthNamesRefusedWrites$",
	},
	{
		name: "refused-report-unheard", rule: "a report that Redis refuses is sent as a notice",
		file: "tier/feed.go", old: "\t_ = c.bus.Notify(limited, bus.Message{Kind: bus.Feed, Status: &status}) //", new: "\t//",
		pkg: "tier", run: "^TestRefusedReportsAreHeard$",
	},
	{
		name: "refused-report-connected", rule: "such a notice does not say that the feed is connected",
		file: "tier/feed.go", old: `status.Connected, status.Problem = false, cmp.Or`, new: `status.Problem = cmp.Or`,
		pkg: "tier", run: "^TestRefusedReportsAreHeard$",
	},
	{
		name: "check-without-a-right", rule: "Check tries each right that the cache uses",
		file: "remote/check.go", old: "\t{command: \"xadd\", args: []any{scratch, \"NOMKSTREAM\", \"*\", \"f\", \"v\"}},\n", new: "",
		pkg: "tier", run: "^TestCheckFindsEachMissingRight$",
	},
	{
		name: "check-leaves-a-key", rule: "Check leaves nothing in Redis",
		file: "remote/check.go", old: `"NOMKSTREAM", `, new: ``,
		pkg: "tier", run: "^TestSmallestACLSuffices$",
	},
	{
		name: "held-batch-untold", rule: "a follower whose batch the cache can't take says so",
		file: "cdc/report.go", old: `cmp.Or(st.Problem, st.Holding)`, new: `cmp.Or(st.Problem, "")`,
		pkg: "cdc", run: "^TestHeldBatchIsTold$",
	},
}
