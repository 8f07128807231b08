package main

// sourceMutations are the rules of sources, and of the suite that checks them.
var sourceMutations = []mutation{
	{
		name: "source-acknowledges-by-itself", rule: "a source forgets only what was acknowledged",
		file: "cdc/postgres/stream.go", old: "\ts.progress.hand(s.at, b.Committed)\n",
		new: "\ts.progress.hand(s.at, b.Committed)\n\ts.reader.acked.Store(uint64(s.at))\n",
		pkg: "cdc/postgres", run: "^TestSource$/^redeliver",
	},
	{
		name: "source-malformed-position-taken", rule: "a position that can't be read is a loss",
		file: "cdc/postgres/source.go", old: `return found.confirmed, "the position is malformed", nil`, new: `return found.confirmed, "", nil`,
		pkg: "cdc/postgres", run: "^TestSource$/^malformed",
	},
	{
		name: "source-expired-position-unsaid", rule: "a replay id that the service doesn't know is a loss",
		file: "cdc/salesforce/reader.go", old: `r.at, r.lost = nil, true`, new: `r.at, r.lost = nil, false`,
		pkg: "cdc/salesforce", run: "^TestSource$/^position_lost$",
	},
	{
		name: "source-poison-ends-the-feed", rule: "an event that can't be read is one of the whole entity, and the next comes",
		file: "cdc/salesforce/reader.go", old: "\tit := item{event: &event,", new: "\tif err != nil {\n\t\treturn item{}, err\n\t}\n\tit := item{event: &event,",
		pkg: "cdc/salesforce", run: "^TestSource$/^whole_entity$",
	},
	{
		name: "source-buffers-everything", rule: "a source whose consumer is slow holds a bounded number of events",
		file: "cdc/salesforce/queue.go", old: `return q.events+events <= q.max && q.bytes < maxBytes`, new: `return true`,
		pkg: "cdc/salesforce", run: "^TestSource$/^slow_consumer$",
	},
	{
		name: "source-acknowledged-before-the-effect", rule: "a source hears of a batch when the checkpoint is behind it",
		file: sessionFile, old: "\tif err := s.insist(ctx, w, s.attempt); err != nil {\n",
		new: "\ts.acks.push(w.batch.Position, time.Now(), true)\n\t_ = s.ack(ctx)\n\tif err := s.insist(ctx, w, s.attempt); err != nil {\n",
		pkg: "cdc/salesforce", run: "^TestKill$",
	},
	{
		name: "suite-checkpoint-unwatched", rule: "the ledger objects to a checkpoint that moves before the effect",
		file: "cdc/cdctest/life.go", old: `if name := l.staleLocked(d.names, d.at); name != "" {`, new: `if name := l.staleLocked(d.names, d.at); false {`,
		pkg: "cdc/cdctest", run: "^TestLedger$",
	},
	{
		name: "suite-acknowledgement-unwatched", rule: "the ledger objects to an acknowledgement before the checkpoint",
		file: "cdc/cdctest/life.go", old: `n := slices.Index(f.stored, position)`, new: `n := max(0, slices.Index(f.stored, position))`,
		pkg: "cdc/cdctest", run: "^TestLedger$",
	},
	{
		name: "suite-large-batch-passes", rule: "the suite objects to a batch of more events than the source was told",
		file: "cdc/cdctest/reading.go", old: `if len(b.Events) > r.rig.MaxBatch {`, new: `if false {`,
		pkg: "cdc/cdctest", run: "^TestFlaws$/^hands_over",
	},
	{
		name: "salesforce-in-hand-not-counted", rule: "an event that is being decoded waits, and the lag isn't 0",
		file: "cdc/salesforce/progress.go", old: `	p.inHand = now`, new: ``,
		pkg: "cdc/salesforce", run: "^TestLagWhileAnEventIsDecoded$",
	},
	{
		name: "salesforce-loss-known-late", rule: "from the moment that changes are known to be lost the lag is unknown",
		file: "cdc/salesforce/reader.go", old: `r.progress.end() // now`, new: `// now`,
		pkg: "cdc/salesforce", run: "^TestLagAfterALoss$",
	},
	{
		name: "postgres-timeline-ignored", rule: "a position of another timeline is a loss",
		file: "cdc/postgres/source.go", old: `case p.timeline == log.timeline:`, new: `case true:`,
		pkg: "cdc/postgres", run: "^TestPromotedBehindTheCheckpoint$|^TestPromotedAheadOfTheCheckpoint$",
	},
	{
		name: "postgres-timeline-by-number", rule: "timelines are told apart by where they begin, too",
		file: "cdc/postgres/source.go", old: `case p.timeline == log.timeline:`, new: `case p.timeline.number == log.timeline.number:`,
		pkg: "cdc/postgres", run: "^TestTwoTimelinesOfOneNumber$",
	},
	{
		name: "postgres-beyond-the-fork", rule: "with synchronous standbys, what lies behind the promotion's place is a loss",
		file: "cdc/postgres/timeline.go", old: `return p.lsn <= a.end`, new: `return true`,
		pkg: "cdc/postgres", run: "^TestPromotedBehindTheCheckpoint$",
	},
	{
		name: "postgres-acknowledged-before-the-fork", rule: "without a position, an acknowledgement on another timeline is a loss",
		file: "cdc/postgres/source.go", old: `if found.confirmed < c.identity.timeline.begin && !s.cfg.SynchronousStandbys {`, new: `if false {`,
		pkg: "cdc/postgres", run: "^TestAcknowledgedOnAnotherTimeline$",
	},
	{
		name: "postgres-removed-log-retried", rule: "a slot whose log is gone is made anew",
		file: "cdc/postgres/source.go", old: `	s.barren = found.restart`, new: ``,
		pkg: "cdc/postgres", run: "^TestLogOfTheSlotRemoved$",
	},
	{
		name: "postgres-two-servers", rule: "both connections of a stream lead to one server",
		file: "cdc/postgres/timeline.go", old: `if here != replicates {`, new: `if false {`,
		pkg: "cdc/postgres", run: "^TestConnectionsToTwoServers$",
	},
	{
		name: "postgres-floats-rounded", rule: "floats are compared to their last digit, whatever the role's settings",
		file: "cdc/postgres/session.go", old: "\t\"extra_float_digits = 3\",", new: "\t//",
		pkg: "cdc/postgres", run: "^TestChangedInTheLastDigits$",
	},
	{
		name: "postgres-problem-over-too-soon", rule: "a problem lasts until what makes up for it was taken",
		file: "cdc/postgres/watch.go", old: "\t\tw.over[name] = problem\n", new: "\t\t_ = problem\n",
		pkg: "cdc/postgres", run: "^TestProblemsWhileFollowing$",
	},
	{
		name: "postgres-end-of-a-problem-outdates-nothing", rule: "an entity whose problem has ended is outdated",
		file: "cdc/postgres/watch.go", old: "\t\tif name != \"\" {\n\t\t\tw.due[name] = true\n", new: "\t\tif name != \"\" {\n",
		pkg: "cdc/postgres", run: "^TestProblemsWhileFollowing$/^inheritance_child$",
	},
	{
		name: "postgres-silent-change-unnoticed", rule: "a table that is changed without an event is outdated",
		file: "cdc/postgres/watch.go", old: `if !ok || old.sign != e.sign {`, new: `if !ok {`,
		pkg: "cdc/postgres", run: "^TestSilentChanges$",
	},
	{
		name: "postgres-rename-and-back-unnoticed", rule: "changes under another name outdate the table's own",
		file: "cdc/postgres/decode.go", old: `if had != "" && had != r.name {`, new: `if false {`,
		pkg: "cdc/postgres", run: "^TestRenamedAndBack$",
	},
	{
		name: "postgres-print-ignored", rule: "what was changed while nobody followed is a loss",
		file: "cdc/postgres/source.go", old: `err == nil && p.print != st.print {`, new: `err == nil && p.print == "?" {`,
		pkg: "cdc/postgres", run: "^TestChangedWhileNobodyFollowed$",
	},
	{
		name: "postgres-missing-forgotten", rule: "a table that has gone is missed by the next stream, too",
		file: "cdc/postgres/source.go", old: "\ts.known = known\n", new: "",
		pkg: "cdc/postgres", run: "^TestProblemOutlivesTheStream$",
	},
	{
		name: "postgres-skip-unheard", rule: "after a collapse the rest of the entity's rows is not decoded",
		file: "cdc/postgres/stream.go", old: "\tskip.Store(skip.Load().with(s.part.number, entity))\n", new: "\t_ = skip\n",
		pkg: "cdc/postgres", run: "^TestSkip$",
	},
	{
		name: "postgres-skip-next-transaction", rule: "what is left out after a collapse is of that transaction",
		file: "cdc/postgres/decode.go", old: `if s == nil || s.number != d.number ||`, new: `if s == nil ||`,
		pkg: "cdc/postgres", run: "^TestSkip$",
	},
	{
		name: "postgres-skip-other-entity", rule: "what is left out after a collapse is of that entity",
		file: "cdc/postgres/decode.go", old: `return ok && s.entities[table.name]`, new: `return ok && (s.entities[table.name] || true)`,
		pkg: "cdc/postgres", run: "^TestSkip$",
	},
	{
		name: "follower-skip-without-collapse", rule: "the stream leaves out only what All has outdated",
		file: "cdc/apply.go", old: "\tcase m.collapse.over(r, a.rows):\n", new: "\tcase m.skip != nil && !m.collapse.over(r, a.rows):\n\t\tm.skip(e.Transaction, e.Entity)\n\tcase m.collapse.done(r):\n",
		pkg: "cdc", run: "^TestStreamHearsOfACollapse$",
	},
	{
		name: "postgres-settings-unpinned", rule: "the text of a value doesn't follow the settings of the role or the database",
		file: "cdc/postgres/session.go", old: `"SET "+strings.Join(pins, "; SET ")`, new: `"SET "+strings.Join(pins[5:6], "; SET ")`,
		pkg: "cdc/postgres", run: "^TestTextOfValues$",
	},
	{
		name: "postgres-padding-kept", rule: "the padding of char(n) is no part of a name",
		file: "cdc/postgres/decode.go", old: `if r.padded(i) {`, new: `if false {`,
		pkg: "cdc/postgres", run: "^TestTextOfValues$",
	},
	{
		name: "postgres-close-waits-for-status", rule: "the end of a stream ends a read that waits for the server",
		file: "cdc/postgres/reader.go", old: "\t\t_ = r.conn.Conn().SetReadDeadline(time.Unix(1, 0)) // a connection that is closed ends reads by itself\n", new: "",
		pkg: "cdc/postgres", run: "^TestCloseWhileIdle$",
	},
}
