package main

const (
	readFile    = "tier/read.go"
	breakerFile = "tier/breaker.go"
	sourceFile  = "tier/source.go"
)

// late is why a number noted between reading L2 and the verdict does no harm.
const late = "what was applied before the late number is known to the table when the verdict is taken, and what is applied after it moves a stripe"

// readMutations are the rules of what an entry carries, and of reading L2 and the source.
var readMutations = []mutation{
	{
		name: "read-number-after-l2", rule: "a read notes the pod's number before it touches L2",
		file: readFile,
		old:  "\tborn, at := c.guard.Number(), c.now() // before L2 is read: an invalidation applied after this shows in the entry's stripes\n\traw, err := f.space.remoteGet(ctx, f.id)\n",
		new:  "\tat := c.now()\n\traw, err := f.space.remoteGet(ctx, f.id)\n\tborn := c.guard.Number()\n",
		pkg:  "tier", run: "^TestPausedBetweenL2AndL1$|^TestInvalidatedAfterTheVerdict$", survives: late,
	},
	{
		name: "read-number-after-lease", rule: "a read notes the pod's number before the answer to a miss, which may be a value",
		file: "tier/lease.go",
		old:  "\t\tborn, at, asked := c.guard.Number(), c.now(), time.Now()\n\t\tanswer := c.desk.acquire(ctx, remote.Ask{Hold: hold, Dead: dead, Life: life})\n",
		new:  "\t\tat, asked := c.now(), time.Now()\n\t\tanswer := c.desk.acquire(ctx, remote.Ask{Hold: hold, Dead: dead, Life: life})\n\t\tborn := c.guard.Number()\n",
		pkg:  "tier", run: "^TestPausedBetweenL2AndL1$|^TestInvalidatedAfterTheVerdict$", survives: late,
	},
	{
		name: "read-number-after-verdict", rule: "the number of an entry from L2 is from before the verdict on it",
		file: "tier/l2.go", old: `local.NewEntry(sp.number, id, value, born, names)`, new: `local.NewEntry(sp.number, id, value, max(born, c.guard.Number()), names)`,
		pkg: "tier", run: "^TestInvalidatedAfterTheVerdict$",
	},
	{
		name: "read-number-after-load", rule: "a load notes the pod's number before it reads the source",
		file: sourceFile,
		old:  "\tr := c.runSingle(ctx, f, began.tick, release)\n",
		new:  "\tr := c.runSingle(ctx, f, began.tick, release)\n\tbegan.born = c.guard.Number()\n",
		pkg:  "tier", run: "^TestOldLoaderReturnsAfterInvalidation$", seed: 1,
	},
	{
		name: "read-tick-after-load", rule: "a load notes the highest tick heard before it reads the source",
		file: sourceFile,
		old:  "\te, env := sp.enter(id, began, r)\n",
		new:  "\tbegan.tick = max(began.tick, sp.cache.guard.Heard())\n\tfor i := range r.names {\n\t\tr.names[i].Tick = began.tick\n\t}\n\te, env := sp.enter(id, began, r)\n",
		pkg:  "tier", run: "^TestOldLoaderReturnsAfterInvalidation$", seed: 1,
	},
	{
		name: "name-of-key", rule: "an entry stands on its key",
		file: "tier/space.go", old: `local.NewName(Key(sp.name, id), tick), `, new: ``,
		pkg: "tier", run: "^TestJoinerAfterInvalidationLoadsAgain$/^Invalidate$", seed: 1,
	},
	{
		name: "name-of-space", rule: "an entry stands on its space",
		file: "tier/space.go", old: `, sp.spaceName.At(tick))`, new: `)`,
		pkg: "tier", run: "^TestJoinerAfterInvalidationLoadsAgain$/^Flush$", seed: 2,
	},
	{
		name: "name-of-feed", rule: "an entry stands on the feed that covers its space",
		file: "tier/space.go", old: `names = append(names, feed.At(tick))`, new: ``,
		pkg: "tier", run: "^TestJoinerAfterInvalidationLoadsAgain$/^Feed.Flush$",
	},
	{
		name: "name-of-tag", rule: "an entry stands on each tag that its load recorded",
		file: "tier/depend.go", old: `d.putLocked(Tag(entity, id), d.tick)`, new: ``,
		pkg: "tier", run: "^TestJoinerAfterInvalidationLoadsAgain$/^InvalidateTag$", seed: 1,
	},
	{
		name: "name-of-entity", rule: "an entry stands on the entity of each of its tags",
		file: "tier/depend.go", old: `d.putLocked(Entity(entity), d.tick)`, new: ``,
		pkg: "tier", run: "^TestJoinerAfterInvalidationLoadsAgain$/^Entity$", seed: 2,
	},
	{
		name: "tags-not-in-l2", rule: "a value in L2 carries its tags",
		file: sourceFile,
		old:  "\t\tenv.Token = held.hold.Token\n",
		new:  "\t\tenv.Names = nil\n\t\tenv.Token = held.hold.Token\n",
		pkg:  "tier", run: "^TestPausedBetweenL2AndL1$/^heard$/^InvalidateTag$", seed: 1,
	},
	{
		name: "l2-tick-not-heard", rule: "the tick of a value that a pod takes from L2 counts as heard",
		file: "tier/l2.go", old: "\tc.guard.Hear(e.Names[0].Tick) //", new: "\t//",
		pkg: "tier", run: "^TestTickOfAValueFromL2IsHeard$",
	},
	{
		name: "l2-schema-ignored", rule: "a value of another schema is a miss",
		file: "tier/l2.go", old: `case env.Schema != sp.schema:`, new: `case false:`,
		pkg: "tier", run: "^TestUnreadableEnvelopeIsOverwritten$",
	},
	{
		name: "l2-codec-ignored", rule: "a value of another codec is a miss",
		file: "tier/l2.go", old: ` || env.Codec != sp.format.name`, new: ``,
		pkg: "tier", run: "^TestUnreadableEnvelopeIsOverwritten$",
	},
	{
		name: "l2-version-ignored", rule: "an envelope of another version is unreadable",
		file: "remote/envelope.go", old: `b[1] != formatVersion || b[18]`, new: `b[18]`,
		pkg: "remote", run: "^TestUnreadableEnvelopes$",
	},
	{
		name: "l2-expiry-ignored", rule: "an expired value is a miss, whether Redis has dropped it or not",
		file: "tier/l2.go", old: `case !env.Hard.IsZero() && sp.life(env) <= 0, `, new: `case `,
		pkg: "tier", run: "^TestUnreadableEnvelopeIsOverwritten$",
	},
	{
		name: "l2-immortal-in-ttl-space", rule: "a value without an expiry is a miss in a space with a TTL",
		file: "tier/l2.go", old: `sp.life(env) <= 0, env.Hard.IsZero() && sp.strategy.ttl > 0:`, new: `sp.life(env) <= 0:`,
		pkg: "tier", run: "^TestLifeIsBoundedByTheSpace$",
	},
	{
		name: "l2-life-unbounded", rule: "a value from L2 lives no longer than its space gives, whatever its writer's clock said",
		file: "tier/l2.go", old: `left = min(left, ttl)`, new: `_ = left`,
		pkg: "tier", run: "^TestLifeIsBoundedByTheSpace$",
	},
	{
		name: "l1-expiry-ignored", rule: "an expired entry is not served from L1",
		file: readFile, old: ` && now < e.Expires && `, new: ` && now < now+1 && `,
		pkg: "tier", run: "^TestTTL$",
	},
	{
		name: "ttl-from-after-load-l1", rule: "a TTL counts from before the load, in L1",
		file: sourceFile, old: `e.Expires = expiry(began.at, ttl)`, new: `e.Expires = expiry(sp.cache.now(), ttl)`,
		pkg: "tier", run: "^TestTTL$",
	},
	{
		name: "ttl-from-after-load-l2", rule: "a TTL counts from before the load, in L2",
		file: sourceFile, old: `env.Hard = began.wall.Add(e.Expires - began.at)`, new: `env.Hard = time.Now().Add(e.Expires - began.at)`,
		pkg: "tier", run: "^TestTTLCountsFromBeforeTheLoadInL2$",
	},
	{
		name: "breaker-waits-for-a-read", rule: "a bus that has read its head shows that Redis answers: reads ask it at once",
		file: "tier/listen.go", old: "\tc.breaker.answered(c.now())\n", new: "",
		pkg: "tier", run: "^TestLoadsAreSharedAtOnceAfterAnOutage$", count: 5,
	},
	{
		name: "breaker-counts-a-stall", rule: "reads that were under way together count as one failure",
		file: breakerFile, old: ` || began < b.counted {`, new: ` {`,
		pkg: "tier", run: "^TestFailuresOfOneStallCountOnce$",
	},
	{
		name: "breaker-answer-forgets-nothing", rule: "an answer of Redis ends the count of failures",
		file: breakerFile, old: `b.failures, b.counted = 0, now //`, new: `b.counted = now //`,
		pkg: "tier", run: "^TestAnswerEndsTheCount$",
	},
	{
		name: "breaker-hears-reads-alone", rule: "whatever Redis answers, to anybody, closes the breaker",
		file: "tier/stats.go", old: "\t\ts.heal()\n", new: "",
		pkg: "tier", run: "^TestAnyAnswerClosesTheBreaker$",
	},
	{
		name: "breaker-pauses-steady", rule: "the pauses between probes grow",
		file: breakerFile, old: `b.pause = min(2*b.pause, maxPause)`, new: ``,
		pkg: "tier", run: "^TestPausesGrow$",
	},
	{
		name: "breaker-reads-probe", rule: "reads leave L2 out while the breaker is open",
		file: "tier/line.go", old: "\tif l.open() {\n\t\treturn nil, errLeftOut", new: "\tif false {\n\t\treturn nil, errLeftOut",
		pkg: "tier", run: "^TestReadsDoNotProbe$",
	},
	{
		name: "line-without-turns", rule: "reads beyond a few share calls: a wait for a connection is no failure of Redis",
		file: "tier/line.go", old: `l.direct < l.maxDirect {`, new: `l.direct < 1<<30 {`,
		pkg: "tier", run: "^TestReadersShareCalls$",
	},
	{
		name: "line-clock-from-asking", rule: "RemoteTimeout counts from when a read has a connection",
		file: "remote/sending.go", old: `if c.roomy++; c.crowded() {`, new: `if c.roomy++; false {`,
		pkg: "tier", run: "^TestWaitForAConnectionIsNoFailure$",
	},
	{
		name: "line-loses-a-caller", rule: "a sender that finds nobody ends under the lock under which callers join",
		file: "tier/line.go", old: "\tif n == 0 {\n\t\tl.senders--\n", new: "\tif n == 0 {\n",
		pkg: "tier", run: "^TestLineGoesOnAfterARest$",
	},
	{
		name: "cause-not-asked", rule: "health tells why Redis does not answer, not that a time was over",
		file: "remote/client.go", old: `refused != nil && ctx.Err() == nil`, new: `refused != nil && false`,
		pkg: "tier", run: "^TestRefusedRedisIsNamed$",
	},
	{
		name: "redis-error-is-an-error", rule: "a Redis that fails leads to the loader",
		file: readFile,
		old:  "\traw, err := f.space.remoteGet(ctx, f.id)\n\tif err != nil {\n\t\treturn c.loadSkipping(ctx, f, err)\n",
		new:  "\traw, err := f.space.remoteGet(ctx, f.id)\n\tif err != nil {\n\t\treturn fetched{err: err}\n",
		pkg:  "tier", run: "^TestRedisRefusesFromTheStart$",
	},
	{
		name: "away-forgotten", rule: "what is loaded while Redis is away takes the place of the older entry in L1",
		file: "tier/flight.go", old: `return f.space.sound(f.entry)`, new: `return f.space.usable(f.entry)`,
		pkg: "tier", run: "^TestReadsDoNotGoBackAfterRedisFroze$",
	},
	{
		name: "away-older-in-l2", rule: "a value in L2 from before such a load is not taken",
		file: "tier/flight.go", old: `return newer(prior) || newer(sp.cache.store.Get(sp.number, id))`, new: `return newer(nil)`,
		pkg: "tier", run: "^TestOlderValueInL2IsNotTaken$",
	},
	{
		name: "away-older-in-l1", rule: "what a flight has brought outdates the older entry in L1, also if it is not kept itself",
		file: "tier/flight.go", old: `older.Outdate()`, new: `_ = older`,
		pkg: "tier", run: "^TestOlderEntryIsNotTrustedAgain$",
	},
	{
		name: "away-resurrected", rule: "a check does not bring back an entry that was outdated meanwhile",
		file: "local/guard.go", old: `e.verified.CompareAndSwap(v, n) //`, new: `e.verified.Store(n) //`,
		pkg: "local", run: "^TestOutdatedEntryStaysDead$", count: 10,
	},
	{
		name: "away-tick-ahead", rule: "what is loaded while Redis is away stands at no higher tick than the pod had heard",
		file: "tier/source.go", old: `tick: max(tick, c.guard.Heard())`, new: `tick: max(tick, uint64(time.Now().Add(time.Hour).UnixMicro()))`,
		pkg: "tier", run: "^TestLoadedWhileRedisWasAwayIsInvalidated$",
	},
	{
		name: "lone-unbounded", rule: "loads without a lease have a quarter of the places",
		file: "tier/lone.go", old: `return max(1, maxLoads/4)`, new: `return maxLoads`,
		pkg: "tier", run: "^TestLoneLoadsAreBounded$",
	},
	{
		name: "start-without-grace", rule: "a pod that has just started asks a slow Redis for a lease, and asks again, before it loads without",
		file: "tier/lone.go", old: `return c.now() < startGrace && (timely`, new: `return c.now() < 0 && (timely`,
		pkg: "tier", run: "^TestStartHasAGrace$",
	},
	{
		name: "lease-call-as-short", rule: "a call about a lease may take longer than a plain read",
		file: "tier/lone.go", old: `return max(c.cfg.RemoteTimeout, leaseTimeout)`, new: `return c.cfg.RemoteTimeout`,
		pkg: "tier", run: "^TestLeaseCallsOutlastRemoteTimeout$",
	},
	{
		name: "desk-one-at-a-time", rule: "flights that ask for leases share calls",
		file: "tier/desk.go", old: `min(len(d.waiting), deskAsks)`, new: `min(len(d.waiting), 1)`,
		pkg: "tier", run: "^TestLeaseCallsAreShared$",
	},
	{
		name: "lease-error-is-an-error", rule: "a lease that Redis does not answer leads to the loader",
		file: "tier/lease.go",
		old:  "\t\t\tgot := c.loadAlone(ctx, f)\n",
		new:  "\t\t\tgot := fetched{err: err}\n",
		pkg:  "tier", run: "^TestRedisFailsBetweenCalls$",
	},
	{
		name: "lease-answer-lost", rule: "a lease that may have been granted is given back by its load",
		file: "tier/lease.go", old: `got.lease = &lease{space: f.space, hold: hold}`, new: ``,
		pkg: "tier", run: "^TestLostAnswersHoldNobody$",
	},
	{
		name: "lease-kept-after-failed-fill", rule: "a fill that failed gives the lease back",
		file: "tier/lease.go", old: `filled.Err != nil { // give the marker back`, new: `false { // give the marker back`,
		pkg: "tier", run: "^TestLostAnswersHoldNobody$",
	},
	{
		name: "lease-tick-below-heard", rule: "a load's tick is not above the counter: one that is lower than what was heard is raised first",
		file: "tier/l2.go", old: `if tick < heard && `, new: `if tick < heard && false && `,
		pkg: "tier", run: "^TestCounterMadeAnewIsAboveWhatPodsHaveHeard$",
	},
	{
		name: "judge-error-is-valid", rule: "a value that Redis's table was not asked about is not taken",
		file: "tier/l2.go", old: `return valid[0], err`, new: `return valid[0] || err != nil, nil`,
		pkg: "tier", run: "^TestRedisFailsBetweenCalls$",
	},
}

// invalidateMutations are the rules of an invalidation's steps.
var invalidateMutations = []mutation{
	{
		name: "invalidate-seen-not-told", rule: "the counter is told the highest tick that the pod has heard",
		file: "tier/invalidate.go", old: `c.remote.TakeTick(ctx, c.guard.Heard())`, new: `c.remote.TakeTick(ctx, 0)`,
		pkg: "tier", run: "^TestTicksRiseAboveWhatAPodHeard$",
	},
	{
		name: "invalidate-l2-not-deleted", rule: "an invalidation deletes its keys from L2",
		file: "tier/invalidate.go", old: `c.remote.Delete(ctx, keys)`, new: `c.remote.Delete(ctx, nil)`,
		pkg: "tier", run: "^TestL2ComesBeforeTheBroadcast$",
	},
	{
		name: "invalidate-table-not-touched", rule: "an invalidation writes its names into Redis's table",
		file: "tier/invalidate.go", old: `news, whole, err := c.remote.Touch(ctx, names, tick)`, new: "whole, err := true, error(nil)\n\tnews = true",
		pkg: "tier", run: "^TestMissedInvalidationIsFoundInTheTable$",
	},
	{
		name: "invalidate-broadcast-first", rule: "L2 comes before the broadcast",
		file: "tier/invalidate.go",
		old:  "\tif err := c.deleteRemote(ctx, names); err != nil {\n",
		new:  "\tif err := c.publish(ctx, origin, names, tick); err != nil {\n\t\treturn err\n\t}\n\tif err := c.deleteRemote(ctx, names); err != nil {\n",
		pkg:  "tier", run: "^TestL2ComesBeforeTheBroadcast$",
	},
	{
		name: "invalidate-not-broadcast", rule: "an invalidation reaches every pod by the bus",
		file: "tier/invalidate.go",
		old:  "return c.bus.Publish(ctx, bus.Message{Kind: bus.Invalidate, Tick: tick, Origin: origin, Names: names})",
		new:  "_ = bus.Invalidate\n\treturn ctx.Err()",
		pkg:  "tier", run: "^TestPausedBetweenL2AndL1$/^heard$/^Invalidate$", seed: 1,
	},
	{
		name: "invalidate-own-pod-waits", rule: "an acknowledged invalidation is applied in its own pod",
		file: "tier/invalidate.go", old: "\tdefer func() { c.apply(names, tick) }() // also after an error: the source may have changed; it is counted when the bus brings it\n", new: "",
		pkg: "tier", run: "^TestNoStaleReadUnderLoad$/^redis$", count: 5,
	},
	{
		name: "invalidate-error-not-applied", rule: "an invalidation that failed half-way is still applied in its own pod",
		file: "tier/invalidate.go",
		old:  "\tdefer func() { c.apply(names, tick) }() // also after an error: the source may have changed; it is counted when the bus brings it\n\tif err := c.deleteRemote(ctx, names); err != nil {\n\t\treturn err\n\t}\n",
		new:  "\tif err := c.deleteRemote(ctx, names); err != nil {\n\t\treturn err\n\t}\n\tdefer func() { c.apply(names, tick) }()\n",
		pkg:  "tier", run: "^TestFailedInvalidationIsAppliedHere$",
	},
	{
		name: "invalidate-bucket-not-mended", rule: "a bucket found missing is made again",
		file: "tier/invalidate.go", old: "\tif err == nil && !whole {\n", new: "\tif err == nil && !whole && false {\n",
		pkg: "tier", run: "^TestMissingBucketIsMended$",
	},
}

// flightMutations are the rules by which the callers of a pod share a load.
var flightMutations = []mutation{
	{
		name: "flight-joiner-not-checked", rule: "a joiner who came after an invalidation does not take the value from before it",
		file: readFile, old: `(f.entry.Verified() >= came.number || `, new: `(f.entry.Verified() >= came.number || true || `,
		pkg: "tier", run: "^TestJoinerAfterInvalidationLoadsAgain$", seed: 1,
	},
	{
		name: "flight-joined-untrusted", rule: "on a pod that is not trusted a joiner takes only what was read less than MaxStaleness ago",
		file: readFile, old: `inTime := came.trusted || `, new: `inTime := came.trusted || true || `,
		pkg: "tier", run: "^TestUntrustedJoinerTakesNothingOld$",
	},
	{
		name: "flight-not-joined", rule: "callers of one key share a load",
		file: "tier/flight.go", old: `case f != nil && !f.finished:`, new: `case false:`,
		pkg: "tier", run: "^TestOneLoadForManyCallers$",
	},
	{
		name: "flight-l1-not-looked-at", rule: "L1 is looked at again under the flights' lock",
		file: "tier/flight.go", old: `if e := sp.local(id); e != nil {`, new: `if e := (*local.Entry)(nil); e != nil {`,
		pkg: "tier", run: "^TestOneLoadForManyCallers$|^TestNobodyLoadsBetweenFlightAndL1$", count: 5,
	},
	{
		name: "flight-leaves-early", rule: "a finished flight stays findable until L1 shows its entry",
		file: "tier/flight.go", old: ` || !c.keeper.offer(keeperJob{flight: f}) {`, new: ` || !c.keeper.offer(keeperJob{flight: f}) || true {`,
		pkg: "tier", run: "^TestNobodyLoadsBetweenFlightAndL1$", count: 5,
	},
	{
		name: "flight-keeper-does-not-wait", rule: "the keeper lets flights go when ristretto has caught up",
		file: "tier/keeper.go", old: "\tk.cache.store.Wait()\n", new: "",
		pkg: "tier", run: "^TestNobodyLoadsBetweenFlightAndL1$", count: 5,
	},
	{
		name: "flight-finished-not-checked", rule: "a finished flight's entry is judged like one in L1",
		file: "tier/flight.go", old: `case f != nil && sp.usable(f.entry):`, new: `case f != nil:`,
		pkg: "tier", run: "^TestNoStaleReadUnderLoad$/^L1$", count: 20,
	},
	{
		name: "flight-follows-first-caller", rule: "a load outlives the caller who started it",
		file: "tier/flight.go", old: "\t\tctx = context.WithoutCancel(ctx)\n", new: "\t\t_ = ctx\n",
		pkg: "tier", run: "^TestLoadOutlivesItsFirstCaller$",
	},
	{
		name: "flight-second-set-is-lost", rule: "L1 keeps the second of two quick fills of a key",
		file: "tier/keeper.go", old: `k.set[key]; again {`, new: `k.set[key]; again && false {`,
		pkg: "tier", run: "^TestSecondOfTwoQuickFillsIsKept$",
	},
	{
		name: "flight-nested-waits", rule: "a load that one inside another waits for goes ahead of MaxLoads",
		file: "tier/cycle.go", old: "\tf.call.hurryLocked()\n\treturn nil", new: "\treturn nil",
		pkg: "tier", run: "^TestNestedLoadDoesNotWaitForItself$",
	},
	{
		name: "flight-hits-beside-close", rule: "a hit may run beside Close",
		file: "local/store.go", old: "\t\t\t_ = recover()\n", new: "",
		pkg: "tier", run: "^TestHitsDuringClose$", count: 10,
	},
	{
		name: "flight-goexit-is-lost", rule: "a loader that calls runtime.Goexit gives an error",
		file: "tier/load.go",
		old:  "\t\tif !returned {\n\t\t\terr = &PanicError{Value: recover(), Stack: debug.Stack()}\n\t\t}\n",
		new:  "\t\tif p := recover(); p != nil {\n\t\t\terr = &PanicError{Value: p, Stack: debug.Stack()}\n\t\t} else if !returned {\n\t\t\treturn\n\t\t}\n",
		pkg:  "tier", run: "^TestPanicAndGoexitAreErrorsForAll$",
	},
}
