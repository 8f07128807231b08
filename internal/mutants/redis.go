package main

// tableMutations are the rules of the table of recent names in Redis.
var tableMutations = []mutation{
	{
		name: "table-late-tick-wins", rule: "a bucket keeps the highest tick of a name (ZADD GT)",
		file: "remote/lua/note.lua", old: `bucket, 'GT', 'CH', unpack(members)`, new: `bucket, 'CH', unpack(members)`,
		pkg: "remote", run: "^TestTableJudges$",
	},
	{
		name: "table-tick-ignored", rule: "a name in Redis's table with a tick above the value's is death",
		file: "remote/table.go", old: ` && n.Tick >= tick`, new: ` && tick >= 0`,
		pkg: "remote", run: "^TestTableJudges$",
	},
	{
		name: "table-floor-ignored", rule: "a value below a bucket's floor is dead",
		file: "remote/table.go", old: ` && n.Tick >= floor && `, new: ` && `,
		pkg: "remote", run: "^TestTableJudges$",
	},
	{
		name: "table-missing-floor-valid", rule: "a bucket without a floor kills what asks it",
		file: "remote/table.go", old: `valid[i] = valid[i] && floor != 0 && `, new: `valid[i] = valid[i] && `,
		pkg: "remote", run: "^TestMissingBucketIsDead$",
	},
	{
		name: "table-stores-without-floor", rule: "an invalidation stores nothing in a bucket without a floor",
		file: "remote/lua/note.lua", old: `  if not floor then`, new: "  floor = floor or '0'\n  if not floor then",
		pkg: "remote", run: "^TestMissingBucketIsDead$",
	},
	{
		name: "table-nonce-kept", rule: "an invalidation deletes the nonce of a bucket in the making",
		file: "remote/lua/note.lua", old: `redis.call('DEL', bucket)`, new: ``,
		pkg: "remote", run: "^TestInvalidationStopsTheMakingOfABucket$",
	},
	{
		name: "table-nonce-ignored", rule: "a bucket gets its floor only if the nonce still stands",
		file: "remote/lua/bucket_end.lua", old: ` ~= 1 then return 0 end`, new: ` ~= 1 then end`,
		pkg: "remote", run: "^TestInvalidationStopsTheMakingOfABucket$",
	},
	{
		name: "table-counter-read-first", rule: "the counter that becomes a floor is read after the nonce was written",
		file: "remote/table.go",
		old:  beginBuckets + readFloor,
		new:  readFloor + beginBuckets,
		pkg:  "remote", run: "^TestBucketIsMadeAroundAnInvalidation$",
	},
	{
		name: "table-full-forgets-silently", rule: "a full bucket's floor rises to the names that go",
		file: "remote/lua/note.lua", old: `gone - 1, gone - 1, 'WITHSCORES'`, new: `0, 0, 'WITHSCORES'`,
		pkg: "remote", run: "^TestFullBucketRaisesItsFloor$",
	},
	{
		name: "table-unbounded", rule: "a bucket has a bounded size",
		file: "remote/lua/note.lua", old: `if size > capacity then`, new: `if false then`,
		pkg: "remote", run: "^TestFullBucketRaisesItsFloor$",
	},
}

// fullMutations are the rules of a Redis that is full.
var fullMutations = []mutation{
	{
		name: "full-not-tried-again", rule: "a script that was refused since Redis is full runs again with the flag that lets it write",
		file: "internal/script/script.go", old: `if !IsFull(cmd.Err()) {`, new: `if true {`,
		pkg: "internal/script", run: "^TestBoundedScriptRunsWhileRedisIsFull$",
	},
	{
		name: "full-pipeline-not-tried-again", rule: "so do the scripts of a pipeline",
		file: "remote/scripts.go", old: `if !script.IsFull(err) {`, new: `if true {`,
		pkg: "remote", run: "^TestFullRedisIsInvalidated$",
	},
}

// claimMutations are the rules by which a Set and an invalidation that races it see each other in the table.
var claimMutations = []mutation{
	{
		name: "claim-not-compared", rule: "a Set whose key was invalidated since its snapshot is told so",
		file: "remote/lua/claim.lua", old: `math.max(tonumber(floor), tonumber(before or '0'))`, new: `tonumber(floor)`,
		pkg: "remote", run: "^TestClaim$",
	},
	{
		name: "claim-floor-ignored", rule: "so is one whose key may have been, and has left the table",
		file: "remote/lua/claim.lua", old: `math.max(tonumber(floor), tonumber(before or '0'))`, new: `tonumber(before or '0')`,
		pkg: "remote", run: "^TestClaim$",
	},
	{
		name: "touch-higher-tick-hidden", rule: "an invalidation that finds a name at a higher tick is told so",
		file: "remote/lua/note.lua", old: `changed < last - first + 1 or `, new: ``,
		pkg: "remote", run: "^TestTouchTellsWhetherItsTickIsNews$",
	},
	{
		name: "touch-floor-hidden", rule: "so is one that finds the floor above its tick",
		file: "remote/lua/note.lua", old: ` or tonumber(floor) > tonumber(tick) then`, new: ` then`,
		pkg: "remote", run: "^TestTouchTellsWhetherItsTickIsNews$",
	},
}

// tickMutations are the rules of the counter.
var tickMutations = []mutation{
	{
		name: "tick-below-seen", rule: "a tick is above what the caller has seen",
		file: "remote/lua/tick.lua", old: `last = math.max(last, now, seen) + 1`, new: `last = math.max(last, now) + 1`,
		pkg: "remote", run: "^TestTicksRise$",
	},
	{
		name: "tick-below-last", rule: "a tick is above the one before it",
		file: "remote/lua/tick.lua", old: `last = math.max(last, now, seen) + 1`, new: `last = math.max(now, seen) + 1`,
		pkg: "remote", run: "^TestTicksRise$",
	},
	{
		name: "tick-below-clock", rule: "a tick is not below the server's clock",
		file: "remote/lua/tick.lua", old: `last = math.max(last, now, seen) + 1`, new: `last = math.max(last, seen) + 1`,
		pkg: "remote", run: "^TestTicksFollowTheClock$",
	},
	{
		name: "tick-jumps-to-the-same-place", rule: "each reign begins further ahead of the clock than the one before, though its jump is lost",
		file: "remote/lua/tick.lua", old: `  last = now + ahead`, new: `  last = math.max(last, now, seen) + jump`,
		pkg: "remote", run: "^TestTicksRiseThoughTheJumpIsLost$",
	},
	{
		name: "tick-read-below-seen", rule: "reading the counter raises it to what the caller has seen",
		file: "remote/lua/tick.lua", old: "last = math.max(last, seen) -- also", new: "-- also",
		pkg: "tier", run: "^TestCounterMadeAnewIsAboveWhatPodsHaveHeard$",
	},
	{
		name: "tick-no-jump", rule: "a counter on another server, or none, jumps by more than a failover can lose",
		file: "remote/lua/tick.lua", old: `math.max(ahead, last - now) + jump or math.max(jump, seen`, new: `math.max(ahead, last - now) or math.max(0, seen`,
		pkg: "remote", run: "^TestTicksJumpOnAnotherServer$",
	},
	{
		name: "tick-server-not-compared", rule: "a counter that another server made is known by its run id",
		file: "remote/lua/tick.lua", old: ` or run and not same(had[2], run)`, new: ``,
		pkg: "remote", run: "^TestTicksJumpOnAnotherServer$",
	},
	{
		name: "tick-promotion-unnoticed", rule: "a counter on a server that was promoted jumps, though the server has its run id",
		file: "internal/script/lua/reign.lua", old: `string.match(info, 'master_replid:(%x+)')`, new: `string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')`,
		pkg: "remote", run: "^TestServerThatIsPromotedAgainIsAnother$",
	},
	{
		name: "tick-implausible-believed", rule: "a tick far ahead of the clock is not believed: it would use up the counter",
		file: "tier/listen.go", old: `m.Tick > remote.LatestTick()`, new: `m.Tick > remote.MaxTick`,
		pkg: "tier", run: "^TestStrangeMessages$",
	},
	{
		name: "tick-lost-alone", rule: "a counter that was lost alone goes on above what the table of recent names knows",
		file: "remote/tick.go", old: "text, err = run(least)", new: "text, err = run(0 * least)",
		pkg: "remote", run: "^TestCounterLostAloneGoesOn$",
	},
	{
		name: "tick-implausible-seen", rule: "a tick that no pod would believe is not taken for seen: it would use up the counter",
		file: "remote/lua/tick.lua", old: `if seen > latest then`, new: `if false then`,
		pkg: "remote", run: "^TestImplausibleTicks$",
	},
	{
		name: "tick-blind-stands", rule: "a counter whose reign is not to be known runs with the clock",
		file: "remote/lua/tick.lua", old: `if not run then last = math.max(last, now + ahead) end`, new: ``,
		pkg: "remote", run: "^TestForgottenTicksAreNotGivenOutAgain$",
	},
	{
		name: "reign-of-the-version-before", rule: "the identity as the version before wrote it is the same reign",
		file: "internal/script/lua/reign.lua", old: `string.match(stored or '', '/%x*$') == identity or stored`, new: `stored`,
		pkg: "remote", run: "^TestReignAsTheVersionBeforeWroteIt$",
	},
	{
		name: "checkpoint-witness-anywhere", rule: "a server that does not know the witness is another",
		file: "remote/checkpoint.go", old: `witnessScript(token).EvalSha(ctx, s.client, s.witnessKeys(feed), "move"`, new: `witnessScript(token).Run(ctx, s.client, s.witnessKeys(feed), "new"`,
		pkg: "remote", run: "^TestCheckpointStaysOnAnotherServer$",
	},
	{
		name: "checkpoint-witness-sent-twice", rule: "a witness is another each time that it is sent",
		file: "remote/checkpoint.go", old: `[]byte(witnessText(rand.Text()))`, new: `[]byte(witnessText(rand.Text()[:0] + "A"))`,
		pkg: "remote", run: "^TestWitnessIsNotSentTwice$",
	},
	{
		name: "checkpoint-witness-loaded", rule: "a server that has loaded another's data is another, though it knows the witness",
		file: "remote/lua/witness.lua", old: `encoding ~= 'raw' or `, new: ``,
		pkg: "remote", run: "^TestWitnessEndsWithTheDataBesideIt$",
	},
	{
		name: "checkpoint-witness-shared", rule: "each pod has a witness of its own",
		file: "remote/client.go", old: `":witness:" + s.pod`, new: `":witness:"`,
		pkg: "remote", run: "^TestWitnessesOfTwoPods$",
	},
	{
		name: "checkpoint-witness-refused-while-full", rule: "without INFO a checkpoint moves also while Redis is full",
		file: "remote/checkpoint.go", old: `return script.AllowOOM + "local`, new: `return "local`,
		pkg: "remote", run: "^TestWitnessWhileRedisIsFull$",
	},
	{
		name: "spoilt-counter-believed", rule: "a counter that holds no tick is lost",
		file: "remote/lua/tick.lua", old: `if n and n >= 0 and n < latest and n % 1 == 0 then return n end`, new: `if n then return n end`,
		pkg: "remote", run: "^TestSpoiltCounterBeginsAnew$",
	},
	{
		name: "spoilt-bucket-believed", rule: "a bucket with a score that no tick has is lost",
		file: "remote/lua/note.lua", old: `if highest and highest <= latest then return floor end`, new: `return floor`,
		pkg: "remote", run: "^TestSpoiltBucketIsMadeAgain$",
	},
	{
		name: "spoilt-checkpoint-kept", rule: "something else in the place of a checkpoint is deleted",
		file: "remote/lua/move.lua", old: `if type(position) == 'table' then`, new: `if false then`,
		pkg: "remote", run: "^TestSpoiltFeedBeginsAnew$",
	},
	{
		name: "spoilt-lease-held", rule: "a lease of a feed that never ends is nobody's",
		file: "remote/lua/lead.lua", old: ` and left >= 0 and left <= tonumber(ARGV[3])`, new: ``,
		pkg: "remote", run: "^TestSpoiltFeedBeginsAnew$",
	},
	{
		name: "tick-reading-takes", rule: "reading the counter gives out no tick",
		file: "remote/lua/tick.lua", old: `if ARGV[2] == 'take' then last`, new: `if true then last`,
		pkg: "remote", run: "^TestReadingGivesOutNothing$",
	},
}

// leaseMutations are the rules of markers and fills.
var leaseMutations = []mutation{
	{
		name: "fill-token-ignored", rule: "a fill stores only over the marker of its own load",
		file: "remote/lua/fill.lua", old: ` or string.sub(current, 3, 18) ~= ARGV[1] then`, new: ` then`,
		pkg: "remote", run: "^TestFillOnlyOverItsOwnMarker$",
	},
	{
		name: "fill-without-marker", rule: "a fill whose marker is gone stores nothing",
		file: "remote/lua/fill.lua", old: `if type(current) ~= 'string' or `, new: `if current and `,
		pkg: "remote", run: "^TestFillOnlyOverItsOwnMarker$",
	},
	{
		name: "delete-keeps-marker", rule: "an invalidation takes the value or the marker away",
		file: "remote/entry.go", old: `p.Unlink(ctx, call...)`, new: `p.Exists(ctx, call...)`,
		pkg: "remote", run: "^TestFillOnlyOverItsOwnMarker$",
	},
	{
		name: "lease-granted-twice", rule: "a lease that another load holds is not granted",
		file: "remote/lua/acquire.lua", old: `if kind == 'M' and left >= 0 and`, new: `if false and`,
		pkg: "remote", run: "^TestLeaseIsGrantedOnce$",
	},
	{
		name: "lease-never-expires", rule: "the marker of a dead holder expires",
		file: "remote/lua/acquire.lua", old: `, 'PX', ARGV[2])`, new: `)`,
		pkg: "remote", run: "^TestLeaseIsGrantedOnce$",
	},
	{
		name: "lease-dead-not-compared", rule: "a dead value is replaced by comparing its token: a fresher one is returned",
		file: "remote/lua/acquire.lua", old: `head == ARGV[3] then`, new: `ARGV[3] ~= '' then`,
		pkg: "remote", run: "^TestDeadValueIsReplacedByItsHead$",
	},
	{
		name: "lease-renewed-by-another", rule: "a renewal extends only its own marker",
		file: "remote/lua/renew.lua", old: ` or string.sub(current, 3, 18) ~= ARGV[1] then`, new: ` then`,
		pkg: "remote", run: "^TestRenewAndReleaseOnlyOnesOwn$",
	},
	{
		name: "lease-released-by-another", rule: "a lease is given back only by its holder",
		file: "remote/lua/release.lua", old: ` or string.sub(current, 3, 18) ~= ARGV[1] then`, new: ` then`,
		pkg: "remote", run: "^TestRenewAndReleaseOnlyOnesOwn$",
	},
	{
		name: "lease-waiters-forgotten", rule: "who is told to wait leaves a note for the fill",
		file: "remote/lua/acquire.lua", old: `redis.call('SETRANGE', KEYS[1], 18, '1')`, new: ``,
		pkg: "remote", run: "^TestFillTellsOfWaiters$",
	},
	{
		name: "lease-tick-not-read", rule: "the last tick comes with a lease, before the source is read",
		file: "remote/lease.go", old: "\t\tlease.Tick = last\n", new: "\t\t_ = last\n",
		pkg: "remote", run: "^TestAcquireReadsTheLastTick$",
	},
	{
		name: "lease-token-per-client", rule: "a token names one load",
		file: "tier/lease.go", old: `Token: c.pod.NewToken()`, new: `Token: remote.Token{1}`,
		pkg: "tier", run: "^TestEachLoadHasItsOwnToken$",
	},
	{
		name: "lease-not-given-back", rule: "a failed load gives its lease back at once",
		file: sourceFile, old: `from: tierSource, lease: held}
	}
	e, env`, new: `from: tierSource}
	}
	e, env`,
		pkg: "tier", run: "^TestFailedLoadGivesTheLeaseBack$",
	},
	{
		name: "lease-not-renewed", rule: "a load under way renews its lease",
		file: "tier/lease.go", old: `	c.renew(ctx, []*lease{held}, life)`, new: ``,
		pkg: "tier", run: "^TestLeaseIsRenewed$", limit: 40 * second,
	},
	{
		name: "lease-any-life", rule: "a marker with more life than a lease keeps nobody waiting",
		file: "remote/lua/acquire.lua", old: `if left <= 2 * life then`, new: `if life then`,
		pkg: "remote", run: "^TestMarkerWithMoreLifeThanALeaseIsFree$",
	},
	{
		name: "lease-of-fixed-life", rule: "a lease lasts for a few of the space's loads",
		file: "tier/lease_life.go", old: `life = leaseLoads * min(usual, remote.MaxLease)`, new: `life = remote.MaxLease`,
		pkg: "tier", run: "^TestLeaseFollowsWhatLoadsTake$",
	},
	{
		name: "lease-renewed-at-its-end", rule: "a lease is renewed well before it ends",
		file: "tier/lease_life.go", old: `leaseTurns = 3 `, new: `leaseTurns = 1 `,
		pkg: "tier", run: "^TestLeaseOutlastsALongLoad$",
	},
	{
		name: "lease-not-held-until-the-fill", rule: "a lease is renewed until its value is in L2",
		file: "tier/lease.go", old: "	for i, filled := range c.fillMany(ctx, fills) {\n		held := gots[i].lease\n", new: "	for _, got := range gots {\n		if got.lease.stop != nil {\n			got.lease.stop()\n		}\n	}\n	for i, filled := range c.fillMany(ctx, fills) {\n		held := gots[i].lease\n",
		pkg: "tier", run: "^TestLeaseIsHeldUntilTheFill$",
	},
	{
		name: "lease-granted-late-is-used", rule: "a lease counts from when the attempt began: one that was granted late is asked for again",
		file: "tier/lease.go", old: `(took <= life/2 || late == maxLate)`, new: `(took >= 0 || late == maxLate)`,
		pkg: "tier", run: "^TestLeaseThatWasGrantedLateIsAskedForAgain$",
	},
	{
		name: "lease-waiters-not-woken", rule: "waiters are woken by the fill, not by polling alone",
		file: "tier/listen.go", old: `c.waiters.wake(m.Names...)`, new: ``,
		pkg: "tier", run: "^TestFillWakesWaiters$",
	},
	{
		name: "lease-fill-not-told", rule: "a fill for which another pod waits is broadcast",
		file: "tier/lease.go", old: "\tc.notifyFilled(ctx, woken)\n", new: "",
		pkg: "tier", run: "^TestFillWakesWaiters$",
	},
	{
		name: "lease-dead-value-filled", rule: "a value whose names were invalidated during its load is not stored in L2",
		file: "tier/lease.go", old: `if c.guard.Judge(got.entry.Names) == local.Dead {`, new: `if c.guard.Judge(got.entry.Names) == local.Dead && false {`,
		pkg: "tier", run: "^TestDeadLoadIsNotStored$",
	},
}

// Two steps of MakeTable.
const (
	beginBuckets = `	nonce := rand.Text()
	err = s.bounded(ctx, bucketBeginScript, func(p redis.Pipeliner, begin *redis.Script) {
		for _, b := range missing {
			begin.EvalSha(ctx, p, []string{s.bucketKey(b)}, nonce, LatestTick())
		}
	})
	if err != nil {
		return fmt.Errorf("remote: begin %d buckets: %w", len(missing), err)
	}
`
	readFloor = `	floor, err := s.LastTick(ctx, seen)
	if err != nil {
		return err
	}
`
)
