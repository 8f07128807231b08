package main

import "time"

const (
	second      = time.Second
	receiveFile = "bus/receive.go"
)

// busMutations are the rules by which a pod knows that it has heard everything.
var busMutations = []mutation{
	{
		name: "bus-gap-not-replayed", rule: "what is missing before a message is handed over first, from the journal",
		file: receiveFile, old: `f.n == r.at.n+1:`, new: `f.n > r.at.n:`,
		pkg: "bus", run: "^TestGapIsReplayed$",
	},
	{
		name: "bus-head-not-read", rule: "the head of the journal shows what was lost before a silence",
		file: "bus/bus.go", old: "\t\t\tlast = now\n\t\t\tr.try(r.catchUp(ctx))\n", new: "\t\t\tlast = now\n",
		pkg: "bus", run: "^TestLostLastMessageIsReplayed$", seed: 1,
	},
	{
		name: "bus-fresh-as-of-the-answer", rule: "a proof is as old as the question for the head",
		file: receiveFile,
		old:  "\t\tasOf := time.Now()\n\t\thead, missing, err := r.bus.after(ctx, r.at)\n",
		new:  "\t\thead, missing, err := r.bus.after(ctx, r.at)\n\t\tasOf := time.Now()\n",
		pkg:  "bus", run: "^TestFreshIsAsOldAsTheQuestion$",
	},
	{
		name: "bus-fresh-before-the-replay", rule: "a pod is fresh when it has reached the head",
		file: receiveFile, old: ` && r.at.n >= head.n {`, new: ` {`,
		pkg: "bus", run: "^TestFreshFollowsTheWholeReplay$",
	},
	{
		name: "bus-journal-too-short", rule: "what the journal does not have any more is told",
		file: receiveFile, old: `len(missing) > 0 && missing[0].n == r.at.n+1`, new: `true`,
		pkg: "bus", run: "^TestForgetfulHeadIsTold$", limit: 30 * second,
	},
	{
		name: "bus-hole-in-the-journal", rule: "a hole in the journal is told",
		file: receiveFile, old: "if f.n == r.at.n+1 { // else", new: "if f.n > r.at.n { // else",
		pkg: "bus", run: "^TestHoleInTheJournalIsTold$",
	},
	{
		name: "bus-lineage-not-told", rule: "another lineage is told",
		file: receiveFile, old: "if head.lineage != r.at.lineage {\n\t\treturn false", new: "if head.lineage != r.at.lineage {\n\t\tr.at.lineage = head.lineage\n\t\treturn true",
		pkg: "bus", run: "^TestNewLineageIsTold$", limit: 30 * second,
	},
	{
		name: "bus-strange-message-dropped", rule: "a numbered message that means nothing to its receiver is made good by a resync",
		file: receiveFile, old: `return r.resync(ctx, r.at)`, new: `return nil`,
		pkg: "bus", run: "^TestMessageNotUnderstoodIsAGap$",
	},
	{
		name: "bus-failed-resync-forgotten", rule: "a resync that failed is due again",
		file: receiveFile, old: "\tr.at = place{} // until it has worked\n", new: "",
		pkg: "bus", run: "^TestResyncIsTriedAgain$",
	},
	{
		name: "bus-no-resync", rule: "a receiver that has just begun is told",
		file: receiveFile, old: `if err := r.bus.cfg.Handler.Resync(ctx); err != nil {`, new: `if err := ctx.Err(); err != nil {`,
		pkg: "bus", run: "^TestRestartedServerIsTold$",
	},
	{
		name: "bus-two-servers", rule: "a subscription on another server than the journal is given up",
		file: receiveFile, old: `return r.at.lineage == "" || f.lineage == r.at.lineage`, new: `return true`,
		pkg: "bus", run: "^TestSubscriptionOnAnotherServerIsRenewed$",
	},
	{
		name: "bus-silence-unnoticed", rule: "a subscription that answers no ping is given up",
		file: "bus/listen.go", old: `case now.Sub(s.alive) > l.bus.cfg.MaxStaleness:`, new: `case now.Sub(s.alive) > time.Hour:`,
		pkg: "bus", run: "^TestFrozenSubscriptionIsFoundOut$",
	},
	{
		name: "bus-unheard-unnoticed", rule: "a pub/sub that brings nothing is told, though its subscription is confirmed and answers pings",
		file: "bus/unheard.go", old: "\tu.looks++\n", new: "",
		pkg: "bus", run: "^TestPubSubThatBringsNothingIsTold$", limit: 90 * second,
	},
	{
		name: "bus-late-counts-as-heard", rule: "a message that comes after the journal has brought it and others is none that pub/sub brought in time",
		file: receiveFile, old: `if f.lineage == r.at.lineage && f.n >= r.at.n {`, new: `if f.lineage == r.at.lineage {`,
		pkg: "bus", run: "^TestLatePubSubIsTold$", limit: 90 * second,
	},
	{
		name: "bus-replayed-counts-as-unheard", rule: "a message that the journal brought while pub/sub brought it is heard",
		file: receiveFile, old: `if f.lineage == r.at.lineage && f.n >= r.at.n {`, new: `if f.lineage == r.at.lineage && f.n > r.at.n {`,
		pkg: "bus", run: "^TestLatePubSubIsTold$", limit: 90 * second,
	},
	{
		name: "bus-suspension-unnoticed", rule: "a clock that stood still is told",
		file: "bus/bus.go", old: `if now.stalled(last, b.turn()) {`, new: `if now.stalled(now, b.turn()) || last == now {`,
		pkg: "bus", run: "^TestSuspendedMachineIsTold$",
	},
	{
		name: "bus-subscription-without-replay", rule: "a new subscription begins with what was published before it",
		file: receiveFile, old: "\t\tr.subscribed = true\n\t\tr.begin(ctx)\n", new: "\t\tr.subscribed = true\n",
		pkg: "bus", run: "^TestSubscriptionBeginsWithAReplay$",
	},
	{
		name: "bus-journal-unbounded", rule: "the journal holds fewer messages when they are large",
		file: "bus/journal.go", old: `journalBytes/(len(payload)+1)`, new: `journalMessages`,
		pkg: "bus", run: "^TestJournalIsBounded$",
	},
	{
		name: "bus-replay-unbounded", rule: "an answer of the journal has bounded bytes",
		file: "bus/lua/replay.lua", old: ` and room > 0 do`, new: ` do`,
		pkg: "bus", run: "^TestLargeReplayComesInParts$",
	},
	{
		name: "bus-lineage-kept", rule: "a journal on another server begins a new lineage",
		file: "bus/lua/head.lua", old: `if not sound or run and not same(head[3], run) then`, new: `if not sound then`,
		pkg: "bus", run: "^TestAnotherServerBeginsALineage$",
	},
	{
		name: "bus-promotion-unnoticed", rule: "a server that was promoted begins a new lineage, though it has its run id",
		file: "internal/script/lua/reign.lua", old: `string.match(info, 'master_replid:(%x+)')`, new: `string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')`,
		pkg: "bus", run: "^TestPromotedServerBeginsALineage$",
	},
	{
		name: "bus-mark-ignored", rule: "a head at the receiver's number with another mark has other messages",
		file: receiveFile, old: `return head.isAt(r.at)`, new: `return true`,
		pkg: "bus", run: "^TestMessagesOfAnotherHistoryAreTold$",
	},
	{
		name: "bus-mark-not-looked-up", rule: "so has a journal that has another mark at the receiver's number",
		file: "bus/lua/replay.lua", old: `leads = last and (last[2] == ARGV[4] or last[2] == '0')`, new: `leads = last ~= nil`,
		pkg: "bus", run: "^TestMessagesOfAnotherHistoryAreTold$",
	},
	{
		name: "bus-mark-restarts", rule: "what pods of the version before publish is marked by those who know marks",
		file: "bus/lua/head.lua", old: `if marked and marked < n then`, new: `if false then`,
		pkg: "bus", run: "^TestVersionsBeforePublishToo$",
	},
	{
		name: "bus-blind-subscription-goes-on", rule: "where the server does not tell who it is, a new subscription begins anew",
		file: receiveFile, old: `if r.bus.blind.Load() {`, new: `if false {`,
		pkg: "bus", run: "^TestBlindSubscriptionBeginsAnew$",
	},
	{
		name: "bus-blind-without-subscription", rule: "where the server does not tell who it is, a pod without a subscription begins anew with each look at the head",
		file: receiveFile, old: `(!knew || !r.subscribed)`, new: `!knew`,
		pkg: "bus", run: "^TestForgottenBesideNoSubscription$",
	},
	{
		name: "bus-blind-revoked", rule: "a pod begins anew when the server ceases to tell who it is",
		file: receiveFile, old: `(!knew || !r.subscribed)`, new: `!r.subscribed`,
		pkg: "bus", run: "^TestForgottenBesideNoSubscription$",
	},
	{
		name: "bus-blind-replica-proves", rule: "a replica proves nothing to who may not ask whether it is one",
		file: "bus/lua/head.lua", old: `if not run then redis.call('PERSIST', KEYS[1]) end`, new: ``,
		pkg: "bus", run: "^TestDemotedServerProvesNothing$",
	},
	{
		name: "spoilt-head-believed", rule: "a head that holds no number or lineage is lost",
		file: "bus/lua/head.lua", old: `local sound = lineage and`, new: `local sound = lineage or`,
		pkg: "bus", run: "^TestSpoiltHeadAndJournalBeginAnew$",
	},
	{
		name: "spoilt-journal-kept", rule: "a journal that takes no message is deleted",
		file: "bus/lua/publish.lua", old: `if appended.err then -- it is`, new: `if false then -- it is`,
		pkg: "bus", run: "^TestSpoiltHeadAndJournalBeginAnew$",
	},
	{
		name: "bus-no-journal", rule: "a published message is in the journal",
		file: "bus/lua/publish.lua", old: `local appended = append()`, new: `local appended = {}`,
		pkg: "bus", run: "^TestJournalAndHead$",
	},
	{
		name: "bus-number-before-the-right", rule: "a message that may not be published gets no number",
		file: "bus/lua/publish.lua", old: "local id = id_of(n)\n", new: "local id = id_of(n)\nredis.call('HSET', KEYS[1], 'n', id)\n",
		pkg: "bus", run: "^TestUserWithoutTheRightToPublish$",
	},
	{
		name: "bus-heard-before-the-number", rule: "a message is published where its number can be stored",
		file: "bus/lua/publish.lua", old: "redis.call('HSET', KEYS[1], 'n', id_of(n))\n", new: "",
		pkg: "bus", run: "^TestNumberThatCannotBeStoredIsNotHeard$",
	},
	{
		name: "bus-number-repeated", rule: "every message has the next number",
		file: "bus/lua/publish.lua", old: `redis.call('HSET', KEYS[1], 'n', id, 'last', id .. '-' .. mark)`, new: ``,
		pkg: "bus", run: "^TestJournalAndHead$",
	},
	{
		name: "resync-without-flush", rule: "a new subscription flushes L1",
		file: "tier/listen.go", old: "\tc.guard.Flush()\n", new: "",
		pkg: "tier", run: "^TestLostJournalFlushesL1$",
	},
	{
		name: "resync-without-floor", rule: "a new subscription raises the pod's floor to the counter",
		file: "tier/listen.go", old: "\tc.guard.RaiseFloor(tick)\n", new: "\t_ = tick\n",
		pkg: "tier", run: "^TestMissedInvalidationIsFoundInTheTable$",
	},
	{
		name: "fresh-for-ever", rule: "a proof is good for MaxStaleness",
		file: "tier/listen.go", old: `asOf.Add(c.cfg.MaxStaleness)`, new: `asOf.Add(time.Hour)`,
		pkg: "tier", run: "^TestUnprovenL1IsSilent$", seed: 4,
	},
	{
		name: "stalled-still-trusted", rule: "a proof is void after the clock stood still",
		file: "tier/listen.go", old: `func (l listener) Stalled() { l.cache.trusted.Store(0) }`, new: `func (l listener) Stalled() {}`,
		pkg: "tier", run: "^TestStalledClockStopsL1$",
	},
	{
		name: "resync-still-trusted", rule: "a pod that starts anew does not trust what it knew",
		file: "tier/listen.go", old: "\tc.trusted.Store(0)\n\ttick, err", new: "\ttick, err",
		pkg: "tier", run: "^TestUntrustedPodAsksTheTable$",
	},
	{
		name: "resync-flushes-first", rule: "L1 is flushed when the counter is above all that the pod has heard",
		file: "tier/listen.go",
		old:  "\tc.trusted.Store(0)\n\ttick, err := c.lastTick(ctx)\n\tif err != nil {\n\t\treturn fmt.Errorf(\"tier: resync: %w\", err)\n\t}\n\tc.guard.RaiseFloor(tick)\n\tc.guard.Flush()\n",
		new:  "\tc.trusted.Store(0)\n\tc.guard.Flush()\n\ttick, err := c.lastTick(ctx)\n\tif err != nil {\n\t\treturn fmt.Errorf(\"tier: resync: %w\", err)\n\t}\n\tc.guard.RaiseFloor(tick)\n",
		pkg:  "tier", run: "^TestLoadDuringAResyncIsFlushed$",
	},
	{
		name: "bus-demoted-still-proves", rule: "a server that was told to follow another proves nothing",
		file: "bus/lua/head.lua", old: `if replica then`, new: `if false then`,
		pkg: "bus", run: "^TestDemotedServerProvesNothing$",
	},
	{
		name: "l1-answers-untrusted", rule: "L1 answers only while the pod is trusted",
		file: "tier/read.go", old: `int64(now) < c.trusted.Load() && `, new: ``,
		pkg: "tier", run: "^TestRedisDiesAndComesBack$", seed: 1,
	},
	{
		name: "table-not-asked-untrusted", rule: "Redis decides on a value from L2 while the pod is not trusted",
		file: "tier/l2.go", old: `case verdict == local.Valid && trusted:`, new: `case verdict == local.Valid && (trusted || true):`,
		pkg: "tier", run: "^TestUntrustedPodAsksTheTable$",
	},
	{
		name: "table-not-asked-below-floor", rule: "Redis decides on a value from L2 that is below the pod's floor",
		file: "tier/l2.go", old: `case verdict == local.Valid && trusted:`, new: `case trusted:`,
		pkg: "tier", run: "^TestMissedInvalidationIsFoundInTheTable$",
	},
	{
		name: "heard-not-final", rule: "what the pod has heard against a value from L2 is final",
		file: "tier/l2.go", old: "\tcase verdict == local.Dead:\n\t\treturn false, true\n\tcase verdict == local.Valid &&", new: "\tcase verdict != local.Unknown &&",
		pkg: "tier", run: "^TestPausedBetweenL2AndL1$", seed: 2,
	},
}
