package main

const dependFile = "tier/depend.go"

// nestMutations are the rules of reads inside loads, and of what is not there.
var nestMutations = []mutation{
	{
		name: "nested-tick", rule: "a nested entry hands over its names with its own ticks",
		file: dependFile, old: `d.putLocked(n.Text, n.Tick)`, new: `d.putLocked(n.Text, d.tick)`,
		pkg: "tier", run: "^TestNestedEntryKeepsItsTick$",
	},
	{
		name: "nested-names", rule: "a nested entry hands over all that it stands on",
		file: dependFile, old: `d.putLocked(n.Text, n.Tick)`, new: `_ = n`,
		pkg: "tier", run: "^TestNestedEntriesGoStaleAtEveryLevel$/^tag$",
	},
	{
		name: "nested-key", rule: "a nested entry hands over its own key",
		file: dependFile, old: `d.putLocked(n.Text, n.Tick)`, new: "if n.Text[:2] != keyName {\n\t\t\td.putLocked(n.Text, n.Tick)\n\t\t}",
		pkg: "tier", run: "^TestNestedEntriesGoStaleAtEveryLevel$/^key$", seed: 2,
	},
	{
		name: "nested-life", rule: "an entry lives no longer than what it is made from",
		file: sourceFile, old: "\te.Expires = min(e.Expires, r.expires)\n", new: "",
		pkg: "tier", run: "^TestNestedLife$",
	},
	{
		name: "nested-failure", rule: "what is made from a failure is not stored",
		file: dependFile, old: `d.destabilize() //`, new: `//`,
		pkg: "tier", run: "^TestMadeFromAFailureIsNotStored$",
	},
	{
		name: "nested-feed", rule: "the feed that covers what an entry is made from covers the entry",
		file: "tier/feed.go", old: "for _, feed := range also {\n\t\tfresh = fresh && feed.isFresh(now)", new: "for _, feed := range also {\n\t\t_ = feed",
		pkg: "tier", run: "^TestSilentFeedOfANestedEntryFallsBack$",
	},
	{
		name: "nested-cycle", rule: "a load that would wait for itself is refused",
		file: "tier/cycle.go", old: `path != nil {
		return fmt`, new: `path != nil && false {
		return fmt`,
		pkg: "tier", run: "^TestCycleOfLoaders$",
	},
	{
		name: "nested-patience", rule: "a nested load waits half as long for another pod's",
		file: "tier/load.go", old: `wait /= 2`, new: `wait += 0`,
		pkg: "tier", run: "^TestCycleThroughTwoPods$",
	},
	{
		name: "place-after-lease", rule: "a load that waits for a place holds no lease",
		file: "tier/lease.go",
		old:  "\t\trelease, err := c.takePlace(waiting, f, func() bool {\n",
		new:  "\t\tc.desk.acquire(ctx, remote.Ask{Hold: hold, Dead: dead, Life: remote.MaxLease})\n\t\tc.renew(ctx, []*lease{{space: f.space, hold: hold, asked: time.Now()}}, remote.MaxLease)\n\t\trelease, err := c.takePlace(waiting, f, func() bool {\n",
		pkg:  "tier", run: "^TestNestedLoadsDoNotStarve$",
	},
	{
		name: "absence-for-ever", rule: "an absence is remembered for NegativeTTL",
		file: "tier/absent.go", old: `case ttl == 0:`, new: `case ttl == 0 && !gone:`,
		pkg: "tier", run: "^TestNegativeTTL$",
	},
	{
		name: "many-own-tags", rule: "of a batch each identifier has its own dependencies, and those of all",
		file: "tier/batch.go", old: "\t\td.take(forAll)\n", new: "\t\t_ = forAll\n",
		pkg: "tier", run: "^TestGetManyDependencies$",
	},
	{
		name: "many-judged-as-valid", rule: "of the values of a batch that Redis judges at once, each has its own verdict",
		file: "tier/many_fetch.go", old: `return valid[i], true`, new: `return valid[i] || true, true`,
		pkg: "tier", run: "^TestGetManyJudgesInOneRoundTrip$",
	},
	{
		name: "many-joiner-not-checked", rule: "a read of many judges what each flight brings, as a read of one does",
		file: "tier/many.go", old: `case !c.serves(f, came):`, new: `case false:`,
		pkg: "tier", run: "^TestGetManyRacesInvalidation$",
	},
	{
		name: "many-one-call", rule: "loads of one call wait for each other",
		file: "tier/cycle.go", old: "\t\tf.call = shared\n", new: "",
		pkg: "tier", run: "^TestCycleThroughBatches$",
	},
	{
		name: "nested-peek", rule: "a Peek in vain outdates what was made without it",
		file: dependFile, old: `d.putLocked(looked.Text, looked.Tick)`, new: `_ = looked`,
		pkg: "tier", run: "^TestPeekedNothing$",
	},
	{
		name: "nested-set", rule: "a Set inside a loader hands over what its entry stands on",
		file: "tier/set.go", old: "\t\ts.outer.inherit(", new: "\t\t_ = (*dependencies).inherit\n\t\t_ = fmt.Sprint(",
		pkg: "tier", run: "^TestSetInsideALoader$",
	},
	{
		name: "many-interrupted", rule: "what an interrupted LoadMany has given is not stored",
		file: "tier/batch.go", old: "\t\tif cut {\n", new: "\t\tif false && cut {\n",
		pkg: "tier", run: "^TestInterruptedBatchIsNotStored$",
	},
	{
		name: "many-interrupted-one", rule: "nor what a failed load of one by LoadMany has given",
		file: "tier/batch.go", old: "d != nil && interrupted(err) {", new: "d != nil && false {",
		pkg: "tier", run: "^TestInterruptedLoadOfOneIsNotStored$",
	},
	{
		name: "nested-private-outlives", rule: "Close ends a load that is begun once more for one read",
		file: "tier/flight.go", old: "\tif !private {\n", new: "\tif true {\n",
		pkg: "tier", run: "^TestCloseEndsAPrivateLoad$",
	},
}
