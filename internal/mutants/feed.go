package main

const (
	sessionFile = "cdc/session.go"
	settleFile  = "cdc/settle.go"
)

// feedMutations are the rules by which a feed loses no change.
var feedMutations = []mutation{
	{
		name: "feed-checkpoint-first", rule: "the checkpoint moves after the invalidations of its batch",
		file: sessionFile,
		old:  "\tif err := s.f.invalidate(ctx, w); err != nil {\n\t\treturn err\n\t}\n",
		new:  "\tdefer func() { _ = s.f.invalidate(ctx, w) }()\n\tto := w.batch.Position\n",
		pkg:  "cdc", run: "^TestFailoverWithinABatch$",
	},
	{
		name: "feed-server-not-compared", rule: "the checkpoint moves only on the server that it was read from",
		file: "remote/lua/advance.lua", old: `if run ~= ARGV[1] then return 0 end`, new: ``,
		pkg: "remote", run: "^TestCheckpointStaysOnAnotherServer$",
	},
	{
		name: "feed-server-noted-late", rule: "the server is noted before the batch",
		file: sessionFile, old: "\tok, err := s.f.cfg.Feed.Advance(", new: "\t_, s.server, _ = s.f.cfg.Feed.Checkpoint(ctx)\n\tok, err := s.f.cfg.Feed.Advance(",
		pkg: "cdc", run: "^TestFailoverWithinABatch$",
	},
	{
		name: "feed-idle-server-not-compared", rule: "another server is noticed while nothing happens",
		file: sessionFile, old: ` || server != s.server:`, new: ` || server == "another":`,
		pkg: "cdc", run: "^TestFailoverWithinATransaction$",
	},
	{
		name: "feed-idle-checkpoint-not-compared", rule: "a checkpoint that was forgotten is noticed while nothing happens",
		file: sessionFile, old: `case stored != s.stored || server != s.server:`, new: `case stored == "another" || server != s.server:`,
		pkg: "cdc", run: "^TestSteppedDown$",
	},
	{
		name: "fallback-l1", rule: "in L1 an entry whose feed is silent lives for FallbackTTL",
		file: "tier/read.go", old: ` && sp.current(now, e.Read, extraOf(e).otherFeeds())`, new: ``,
		pkg: "tier", run: "^TestSilentFeedFallsBack$",
	},
	{
		name: "fallback-l2", rule: "in L2 too",
		file: "tier/l2.go", old: `; !sp.current(`, new: `; false && sp.current(`,
		pkg: "tier", run: "^TestOldValueInL2IsNotGoodWithoutTheFeed$",
	},
	{
		name: "fallback-age-reset", rule: "an entry from L2 is as old in L1 as it was there",
		file: "tier/l2.go", old: `e.Read = c.now() - age(env)`, new: `e.Read = c.now()`,
		pkg: "tier", run: "^TestValueFromL2KeepsItsAge$",
	},
	{
		name: "fallback-lag-ignored", rule: "a feed that lags beyond FeedLimit is not fresh",
		file: "tier/feed.go", old: `c.now() - status.Lag() + c.cfg.FeedLimit`, new: `c.now() + c.cfg.FeedLimit`,
		pkg: "tier", run: "^TestLaggingFeedFallsBack$",
	},
	{
		name: "fallback-unconnected-fresh", rule: "a report of no connection proves nothing",
		file: "tier/feed.go", old: `if status.Connected && lately && !recent(s.refused) {`, new: `if lately && !recent(s.refused) {`,
		pkg: "tier", run: "^TestReconnectingFeedStaysFresh$",
	},
	{
		name: "fallback-late-report-counts", rule: "a report that was long under way proves nothing",
		file: "tier/feed.go", old: `if status.Connected && lately && !recent(s.refused) {`, new: `if status.Connected && !recent(s.refused) {`,
		pkg: "tier", run: "^TestLateReportProvesNothing$",
	},
	{
		name: "feed-not-yet-visible", rule: "a change is handed over when a new read sees it",
		file: "cdc/postgres/stream.go", old: `for n < len(s.pending) && snap.sees(s.pending[n].xid) {`, new: `for n < len(s.pending) {`,
		pkg: "cdc/postgres", run: "^TestVisibility$",
	},
	{
		name: "feed-stand-by-hides-the-active", rule: "a report of no connection does not replace one of a connection just heard",
		file: "tier/feed.go", old: `if !status.Connected && s.status.Connected && recent(s.heard) {`, new: `if false {`,
		pkg: "tier", run: "^TestHealthHidesNoFollower$",
	},
	{
		name: "feed-demoted-has-a-checkpoint", rule: "a server that was told to follow another has no checkpoint",
		file: "remote/lua/checkpoint.lua", old: `if replica then`, new: `if false then`,
		pkg: "remote", run: "^TestDemotedServerHasNoCheckpoint$",
	},
	{
		name: "feed-acknowledged-at-once", rule: "acknowledgements upstream lag by the rewind window",
		file: "cdc/ack.go", old: `if e.now || now.Sub(e.at) >= q.window {`, new: `if true {`,
		pkg: "cdc", run: "^TestFailoverWhileIdle$",
	},
	{
		name: "feed-not-repeated", rule: "after the settle time an invalidation is repeated",
		file: settleFile, old: "\t\tnames.add(one.names)\n", new: "",
		pkg: "cdc", run: "^TestLaggingReplica$", seed: 7,
	},
	{
		name: "feed-loss-not-repeated", rule: "so is the flush for what the source lost",
		file: settleFile, old: "\t\tw.flush = cmp.Or(w.flush, one.flush)\n", new: "\t\t_ = cmp.Or(w.flush, one.flush)\n",
		pkg: "cdc", run: "^TestLostIsRepeated$",
	},
	{
		name: "feed-checkpoint-before-repeat", rule: "the checkpoint waits for the repeat",
		file: sessionFile, old: `s.insist(ctx, w, s.f.invalidate)`, new: `s.insist(ctx, w, s.attempt)`,
		pkg: "cdc", run: "^TestSettlingIsLeftToTheNext$", seed: 7,
	},
	{
		name: "feed-applied-before-repeat", rule: "a change counts as applied after its repeat: the feed lags until then",
		file: "cdc/report.go", old: `range f.held {`, new: `range f.held[:0] {`,
		pkg: "cdc", run: "^TestLagUntilTheRepeat$",
	},
	{
		name: "feed-problem-of-a-stream-ignored", rule: "a feed whose open stream has a problem is not connected",
		file: "cdc/report.go", old: `st.Connected = connected && broken == ""`, new: `st.Connected = connected`,
		pkg: "cdc", run: "^TestProblemOfAnOpenStream$",
	},
	{
		name: "feed-settling-unbounded", rule: "the source is not read while as much settles as may",
		file: settleFile, old: `return n >= maxSettling || q.names >= maxSettlingNames || n > 0`, new: `return n > 0`,
		pkg: "cdc", run: "^TestSettlingIsBounded$",
	},
	{
		name: "feed-read-on-after-a-loss", rule: "after a loss the source is read on when the flush has been repeated",
		file: settleFile, old: ` || n > 0 && q.waiting[n-1].batch.Lost`, new: ``,
		pkg: "cdc", run: "^TestLostIsRepeated$",
	},
	{
		name: "feed-busy-server-not-compared", rule: "another server is noticed also while the source is busy and nothing moves the checkpoint yet",
		file: sessionFile, old: `if time.Since(s.compared) < s.f.cfg.Heartbeat {`, new: `if ok || time.Since(s.compared) < s.f.cfg.Heartbeat {`,
		pkg: "cdc", run: "^TestFailoverWhileSettling$",
	},
	{
		name: "pause-not-ended", rule: "a follower's pause ends when the cache hears Redis again",
		file: "cdc/session.go", old: `sleepUntil(ctx, wait, back)`, new: `sleepUntil(context.WithValue(ctx, s, back), wait, nil)`,
		pkg: "cdc", run: "^TestPauseEndsWhenRedisIsBack$",
	},
	{
		name: "lease-not-asked", rule: "of the followers of a source that serves everybody, one opens it",
		file: "cdc/lead.go", old: "\tcase !ok:\n", new: "\tcase !ok && false:\n",
		pkg: "cdc", run: "^TestLease$",
	},
	{
		name: "lease-not-extended", rule: "the leader extends its lease once a heartbeat, and leaves when another has it",
		file: "cdc/lead.go", old: `if time.Since(s.led) < s.f.cfg.Heartbeat {`, new: `if true {`,
		pkg: "cdc", run: "^TestLease$",
	},
	{
		name: "lease-ends-while-opening", rule: "the leader extends its lease also while the source is being opened",
		file: "cdc/lead.go", old: `for sleep(beats, f.cfg.Heartbeat) == nil {`, new: `for false {`,
		pkg: "cdc", run: "^TestLeaseWhileTheSourceOpens$",
	},
	{
		name: "backoff-reset-by-waiting", rule: "a stream that ends before it yielded anything is one failure more",
		file: sessionFile, old: `if time.Since(began) >= s.f.cfg.MaxBackoff {`, new: `if time.Since(began) >= 0 {`,
		pkg: "cdc", run: "^TestBackoffOfStreamsThatYieldNothing$",
	},
	{
		name: "lease-taken", rule: "a lease is not taken from its holder",
		file: "remote/lua/lead.lua", old: `if held and holder ~= ARGV[1] then return 0 end`, new: ``,
		pkg: "remote", run: "^TestLead$",
	},
	{
		name: "lease-resigned-for-another", rule: "only its holder gives a lease back",
		file: "remote/lua/resign.lua", old: `if redis.pcall('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end`, new: `redis.call('DEL', KEYS[1])`,
		pkg: "remote", run: "^TestLead$",
	},
	{
		name: "retry-after-ignored", rule: "a source is left alone for as long as its error says",
		file: "cdc/follower.go", old: `wait = max(retry.next(), retryAfter(err))`, new: `wait = retry.next()`,
		pkg: "cdc", run: "^TestRetryAfter$",
	},
	{
		name: "feed-another-source-followed", rule: "a checkpoint of another source is refused",
		file: "cdc/checkpoint.go", old: `if c.source == "" || c.source == id {`, new: `if true {`,
		pkg: "cdc", run: "^TestCheckpointOfAnotherSource$",
	},
	{
		name: "feed-no-checkpoint-no-flush", rule: "a feed without a checkpoint of its source is flushed",
		file: sessionFile, old: `	if !s.uncovered {`, new: `	if true {`,
		pkg: "cdc", run: "^TestNoCheckpoint$/^nothing_comes$",
	},
	{
		name: "feed-no-checkpoint-batch-first", rule: "a feed without a checkpoint is flushed before its first batch counts",
		file: sessionFile, old: `w.flush = cmp.Or(w.flush, noCheckpoint)`, new: `_ = w`,
		pkg: "cdc", run: "^TestNoCheckpoint$/^a_batch_comes$",
	},
	{
		name: "feed-connected-before-the-flush", rule: "a feed that is to be flushed first is not connected before",
		file: "cdc/report.go", old: `broken == "" && !covering`, new: `broken == ""`,
		pkg: "cdc", run: "^TestNoCheckpoint$",
	},
	{
		name: "feed-refused-source-unheard", rule: "while a follower of another source is refused the feed is not fresh",
		file: "tier/feed.go", old: `		s.freshUntil.Store(0)`, new: ``,
		pkg: "tier", run: "^TestRefusedFollowerMakesItsFeedFallBack$",
	},
	{
		name: "feed-fresh-beside-a-refused-source", rule: "the report of one source's follower does not make the feed fresh while another's is refused",
		file: "tier/feed.go", old: `lately && !recent(s.refused) {`, new: `lately {`,
		pkg: "tier", run: "^TestRefusedFollowerMakesItsFeedFallBack$",
	},
	{
		name: "feeds-first-alone-covers", rule: "a space stands on each of its feeds: a flush of any outdates it",
		file: "tier/space.go", old: `for _, feed := range sp.ofFeeds {
		names = append`, new: `for _, feed := range sp.ofFeeds[:min(1, len(sp.ofFeeds))] {
		names = append`,
		pkg: "tier", run: "^TestSpaceOfTwoFeeds$",
	},
	{
		name: "feeds-one-fresh-is-enough", rule: "a space falls back when any of its feeds is not fresh",
		file: "tier/feed.go", old: `fresh = fresh && feed.isFresh(now)
	}
	for`, new: `fresh = feed.isFresh(now)
		break
	}
	for`,
		pkg: "tier", run: "^TestSpaceOfTwoFeeds$",
	},
}
