package main

import "time"

const (
	second     = time.Second
	listenFile = "bus/listen.go"
)

// busMutations are the rules by which a pod knows that it has heard everything.
var busMutations = []mutation{
	{
		name: "bus-gap-not-told", rule: "a hole in the numbers is told before the next message",
		file: listenFile, old: `(f.lineage != r.lineage || f.n > r.n+1)`, new: `f.lineage != r.lineage`,
		pkg: "bus", run: "^TestGapIsTold$",
	},
	{
		name: "bus-lineage-not-told", rule: "another lineage is a gap",
		file: listenFile, old: `(f.lineage != r.lineage || f.n > r.n+1)`, new: `f.n > r.n+1`,
		pkg: "bus", run: "^TestNewLineageIsTold$",
	},
	{
		name: "bus-lineage-kept", rule: "a journal on another server begins a new lineage",
		file: "bus/lua/head.lua", old: `if not lineage or head[3] ~= run then`, new: `if not lineage then`,
		pkg: "bus", run: "^TestAnotherServerBeginsALineage$",
	},
	{
		name: "bus-frame-lost-silently", rule: "a message of an unknown version is a gap",
		file: listenFile,
		old:  "// of another version: whatever it said is lost to us\n\t\tr.bus.cfg.Logger.Warn(\"bus: message lost\", \"cache\", r.bus.cfg.Name, \"error\", err)\n\t\treturn r.bus.cfg.Handler.Resync(ctx)",
		new:  "// of another version: whatever it said is lost to us\n\t\treturn nil",
		pkg:  "bus", run: "^TestUnreadableMessageIsAGap$", limit: 15 * second,
	},
	{
		name: "bus-strange-message-dropped", rule: "a numbered message that means nothing to its receiver is a gap",
		file: listenFile, old: `if err != nil && f.n != 0 {`, new: `if err != nil && f.n != 0 && len(f.payload) < 0 {`,
		pkg: "bus", run: "^TestMessageNotUnderstoodIsAGap$",
	},
	{
		name: "bus-payload-lost-silently", rule: "a message that does not decode is a gap",
		file: listenFile,
		old:  "m, err := decode(f.payload)\n\tif err != nil {\n\t\tr.bus.cfg.Logger.Warn(\"bus: message lost\", \"cache\", r.bus.cfg.Name, \"error\", err)\n\t\treturn r.bus.cfg.Handler.Resync(ctx)",
		new:  "m, err := decode(f.payload)\n\tif err != nil {\n\t\treturn nil",
		pkg:  "bus", run: "^TestUnreadableMessageIsAGap$", limit: 15 * second,
	},
	{
		name: "bus-silence-unnoticed", rule: "a connection that answers no ping is given up",
		file: listenFile, old: `silence > maxSilence {`, new: `silence > maxSilence && false {`,
		pkg: "bus", run: "^TestFrozenServerIsTold$",
	},
	{
		name: "bus-resync-before-confirmation", rule: "the owner takes its bearings after the subscription was confirmed",
		file: listenFile,
		old:  "\tif err := confirmed(ctx, sub); err != nil {\n\t\treturn err\n\t}\n\tr := receiver{bus: b}\n\tif err := r.start(ctx); err != nil {\n\t\treturn err\n\t}\n",
		new:  "\tr := receiver{bus: b}\n\tif err := r.start(ctx); err != nil {\n\t\treturn err\n\t}\n\tif err := confirmed(ctx, sub); err != nil {\n\t\treturn err\n\t}\n",
		pkg:  "bus", run: "^TestResyncFollowsTheSubscription$",
	},
	{
		name: "bus-no-resync", rule: "a new subscription is told",
		file: listenFile, old: "head.lineage, head.n\n\treturn r.bus.cfg.Handler.Resync(ctx)", new: "head.lineage, head.n\n\treturn nil",
		pkg: "bus", run: "^TestCutConnectionIsTold$",
	},
	{
		name: "bus-down-not-told", rule: "a lost subscription is told",
		file: listenFile, old: "\t\tb.cfg.Handler.Down()\n", new: "",
		pkg: "bus", run: "^TestCutConnectionIsTold$",
	},
	{
		name: "bus-no-journal", rule: "a published message is in the journal",
		file: "bus/lua/publish.lua", old: `redis.call('XADD',`, new: `local _ = ('XADD' or`,
		pkg: "bus", run: "^TestJournalAndHead$",
	},
	{
		name: "bus-number-repeated", rule: "every message has the next number",
		file: "bus/lua/publish.lua", old: `redis.call('HSET', KEYS[1], 'n', id)`, new: ``,
		pkg: "bus", run: "^TestJournalAndHead$",
	},
	{
		name: "resync-without-flush", rule: "a new subscription flushes L1",
		file: "tier/listen.go", old: "\tc.guard.Flush()\n", new: "",
		pkg: "tier", run: "^TestLostSubscriptionFlushesL1$",
	},
	{
		name: "resync-without-floor", rule: "a new subscription raises the pod's floor to the counter",
		file: "tier/listen.go", old: "\tc.guard.RaiseFloor(tick)\n", new: "\t_ = tick\n",
		pkg: "tier", run: "^TestMissedInvalidationIsFoundInTheTable$",
	},
	{
		name: "down-still-trusted", rule: "a pod that hears nothing does not trust its L1",
		file: "tier/listen.go", old: `func (l listener) Down() { l.cache.distrust() }`, new: `func (l listener) Down() {}`,
		pkg: "tier", run: "^TestRedisDiesAndComesBack$",
	},
	{
		name: "l1-answers-untrusted", rule: "L1 answers only while the pod is trusted",
		file: "tier/read.go", old: `int64(now) < c.trusted.Load() && `, new: ``,
		pkg: "tier", run: "^TestRedisDiesAndComesBack$",
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
		file: "tier/l2.go", old: "\tcase verdict == local.Dead:\n\t\treturn false, nil\n\tcase verdict == local.Valid &&", new: "\tcase verdict != local.Unknown &&",
		pkg: "tier", run: "^TestPausedBetweenL2AndL1$",
	},
}
