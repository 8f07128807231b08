package main

const entryFile = "tier/entry.go"

// entryMutations are the rules of what a read is told about its value.
var entryMutations = []mutation{
	{
		name: "entry-stale-unsaid", rule: "an entry that was outdated while it was read says so",
		file: entryFile, old: `stale = left <= 0 || c.guard.Look(e).Verdict != local.Valid && c.guard.Judge(e.Names) != local.Valid`, new: `stale = left <= 0`,
		pkg: "tier", run: "^TestEntryOfALoadThatWasOutdated$/^L1$",
	},
	{
		name: "entry-expired-unsaid", rule: "an entry that has expired while it was read says so",
		file: sourceFile, old: `case r.unstable, errors.Is(err, errTooMany):`, new: `case r.unstable, true:`,
		pkg: "tier", run: "^TestEntryThatExpiresWhileItIsLoaded$",
	},
	{
		name: "entry-nested", rule: "Entry inside a loader hands over what its entry stands on",
		file: entryFile, old: `if sp.cache.inLoad(ctx) {`, new: `if false {`,
		pkg: "tier", run: "^TestNestedEntryHandsOver$",
	},
	{
		name: "explain-judges-alone", rule: "Explain asks Redis's table where a read would",
		file: "tier/explain_tiers.go", old: `valid = valid && floor != 0 && n.Tick >= floor && n.Tick >= x.known[n.Text]`, new: `_ = floor`,
		pkg: "tier", run: "^TestExplainJudgesAsAReadDoes$",
	},
}
