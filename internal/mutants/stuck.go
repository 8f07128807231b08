package main

const stuckFile, placesFile = "tier/stuck.go", "tier/places.go"

// stuckMutations are the rules of loaders that ignore their context.
var stuckMutations = []mutation{
	{
		name: "stuck-space-takes-all", rule: "one of several spaces has half of the places at most",
		file: placesFile, old: `return max(1, places/2)`, new: `return places`,
		pkg: "tier", run: "^TestStuckSpaceLeavesOthersPlaces$/^L1$",
	},
	{
		name: "stuck-space-takes-all-lone", rule: "and of those without a lease",
		file: "tier/lone.go", old: `c.roomOf(c.lone, f.space.lone)`, new: `room{pod: c.lone}`,
		pkg: "tier", run: "^TestStuckSpaceLeavesOthersPlaces$/^refused$",
	},
	{
		name: "stuck-space-place-last", rule: "a load that waits for a place of its space holds none of the pod's",
		file: placesFile,
		old:  "\tif r.space != nil && r.space.Acquire(ctx, 1) != nil {\n\t\treturn fmt.Errorf(\"waiting behind the places of its space, half of MaxLoads: %w\", context.Cause(ctx))\n\t}\n\tif r.pod.Acquire(ctx, 1) != nil {\n\t\tr.leaveSpace()\n",
		new:  "\tif r.pod.Acquire(ctx, 1) != nil {\n\t\treturn fmt.Errorf(\"waiting behind MaxLoads: %w\", context.Cause(ctx))\n\t}\n\tif r.space != nil && r.space.Acquire(ctx, 1) != nil {\n\t\tr.pod.Release(1)\n",
		pkg:  "tier", run: "^TestWaitingForItsSpaceHoldsNoPlace$",
	},
	{
		name: "stuck-alone-has-half", rule: "a space that is alone has all places",
		file: placesFile, old: `if !c.several.Load() {`, new: `if false {`,
		pkg: "tier", run: "^TestLoneSpaceHasAllPlaces$",
	},
	{
		name: "stuck-loaded-again", rule: "a key whose loader was given up and still runs has no second one",
		file: "tier/lone.go", old: `if err := f.awaitStuck(); err != nil {`, new: `if err := f.awaitStuck(); err != nil && false {`,
		pkg: "tier", run: "^TestStuckKeyHasOneLoader$/^L1$",
	},
	{
		name: "stuck-leased-again", rule: "also where it could have a lease",
		file: "tier/lease.go", old: `if err := f.awaitStuck(); err != nil {`, new: `if err := f.awaitStuck(); err != nil && false {`,
		pkg: "tier", run: "^TestStuckKeyHasOneLoader$/^redis$",
	},
	{
		name: "stuck-batched-again", rule: "nor in a call of LoadMany",
		file: "tier/many.go", old: "\t\tmissing, alone = partStuck(missing, alone, leased, lone)\n", new: "",
		pkg: "tier", run: "^TestGetManyBesideAStuckKey$/^LoadMany$",
	},
	{
		name: "stuck-batch-given", rule: "what a call of LoadMany has given before it hung loads again",
		file: "tier/batch.go", old: `if _, ok := b.given[id]; !ok {`, new: `if _, ok := b.given[id]; !ok || ok {`,
		pkg: "tier", run: "^TestStuckBatch$",
	},
	{
		name: "stuck-for-ever", rule: "a key loads again when its loader has ended",
		file: stuckFile, old: "\t\tif s.byID[id] == r {\n", new: "\t\tif s.byID[id] == r && false {\n",
		pkg: "tier", run: "^TestStuckBatch$",
	},
	{
		name: "stuck-noted-after-its-end", rule: "a loader that has ended is not noted as given up",
		file: stuckFile, old: "\tif r.over {\n", new: "\tif r.over && false {\n",
		pkg: "tier", run: "^TestLoaderThatEndsAsItIsGivenUp$", count: 20,
	},
	{
		name: "stuck-without-a-moment", rule: "a loader has a moment to end when its context has",
		file: stuckFile, old: `left <= 0 ||`, new: `left <= heedTime ||`,
		pkg: "tier", run: "^TestLoaderThatHeedsItsContextIsNotRefused$",
	},
	{
		name: "stuck-untold", rule: "health names the space whose loaders were given up",
		file: stuckFile, old: "\tsum := sp.stuck.since(heedTime)\n\tif sum.count == 0 {", new: "\tsum := sp.stuck.since(heedTime)\n\tif sum.count >= 0 {",
		pkg: "tier", run: "^TestStuckLoadersAreTold$",
	},
}
